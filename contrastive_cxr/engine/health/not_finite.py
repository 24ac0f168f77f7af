"""A loss or weights that are NaN or infinite: what is kept of the step, and a word on why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from contrastive_cxr.engine.fabric import gather
from contrastive_cxr.engine.spec import Batch, FitSpec
from contrastive_cxr.engine.state import TrainState
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.run.folder import write_json
from contrastive_cxr.run.seeds import globals_from

FILE = "not_finite.json"
LISTED = 5
ROSE = 10.0
"""A loss this many times the median of the steps before it has run away, not jumped in the noise of a batch."""


@dataclass(frozen=True)
class FailedStep:
    """The step that is looked into.

    Attributes
    ----------
    values : dict of float
        What the step gave to log, `loss` among it.
    rate : float
        The learning rate of its update.
    losses : sequence of float
        Of the steps before it that were read, the newest last.
    index : int
        Its number in its epoch.
    late : int
        Updates made since: where values are not read at every step (on a GPU), weights are looked at that much later.
    """

    fabric: Fabric
    spec: FitSpec
    parts: TrainState
    batch: Batch
    index: int
    values: Mapping[str, float]
    rate: float
    losses: Sequence[float] = ()
    late: int = 0


@dataclass
class Pass:
    """What came of the same forward pass, done again.

    Attributes
    ----------
    inputs, lengths : bool tensor [B] or None
        Whether each image went in finite; whether its output has a length above 0.
    module : str
        The first module with an output that is not finite where its input was; empty: there is none.
    """

    inputs: Tensor | None = None
    lengths: Tensor | None = None
    module: str = ""


def weights_of(network: nn.Module) -> list[str]:
    """Names of parameters that hold a NaN or an infinity, the same on every process; reads all of them."""
    values = {name: value.detach() for name, value in network.named_parameters()}
    # the largest absolute value is not finite where any is not; which ones is asked only then
    if _finite(get_total_norm(values.values(), math.inf)):
        return []
    return [name for name, value in values.items() if not _finite(value)]


class NotFinite(CcxrError):
    """The loss or the weights became NaN or infinite."""


def refuse(scene: FailedStep) -> NotFinite:
    """Write the step's `not_finite.json` and return the error to raise; called by all processes at once."""
    spec, batch, rows = scene.spec, scene.batch, scene.batch.global_rows
    weights, gradients = weights_of(scene.parts.network), _gradients(scene.parts.network)
    again = _again(scene)
    broken = _rows(scene, again.inputs)
    flat = _rows(scene, again.lengths)
    why = _why(scene, weights, broken, flat, again.module)
    facts = {
        "phase": spec.name,
        "epoch": batch.epoch + 1,
        "step": batch.step + 1,
        "why": why,
        "values": scene.values,
        "learning_rate": scene.rate,
        "gradient_norm": _norm(gradients),
        "gradients_not_finite": [name for name, value in gradients.items() if not _finite(value)][:LISTED],
        "weights_not_finite": weights[:LISTED],
        "looked_at_updates_later": scene.late,
        "first_module_not_finite": again.module,
        "losses_before": list(scene.losses),
        "precision": scene.fabric.strategy.precision.precision,
        "clip_norm": spec.optimiser.clip_norm,
        "rows_not_finite": broken,
        "rows_without_length": flat,
        "rows": spec.describe(rows) if spec.describe is not None else [{"row": int(row)} for row in rows],
    }
    path = spec.folder / FILE
    if scene.fabric.is_global_zero:
        write_json(path, _said(facts))
    return NotFinite(_message(scene, why, path))


def _message(scene: FailedStep, why: str, path: Path) -> str:
    spec, batch = scene.spec, scene.batch
    what = (
        f"the loss is {scene.values['loss']}" if not math.isfinite(scene.values["loss"]) else "weights are not finite"
    )
    clip, precision = spec.optimiser.clip_norm, scene.fabric.strategy.precision.precision
    remedies = [
        f"lower the learning rate ({spec.name}.optimiser.lr is {spec.optimiser.lr:g})",
        f"{'clip' if clip == 0 else 'clip harder'} ({spec.name}.optimiser.clip_norm is {clip:g})",
        *([] if precision == "32-true" else [f"use runtime.precision=32-true (now {precision})"]),
    ]
    last = path.parent / "checkpoints" / "last.ckpt"
    kept = f"'{last}' is from before it" if last.exists() else "there is no checkpoint from before it"
    return (
        f"{spec.name}: {what} in epoch {batch.epoch + 1}, step {batch.step + 1}: {why}; {', '.join(remedies)}. "
        f"The batch is in '{path}'; {kept}"
    )


def _why(scene: FailedStep, weights: list[str], broken: list[int], flat: list[int], module: str) -> str:
    """The likeliest cause, in words; the first that applies."""
    if broken:
        return f"{len(broken)} of the batch's images went into the network as NaN or infinity (rows {_few(broken)})"
    if weights:
        when = f"{scene.late} updates later" if scene.late else "already"
        return f"{len(weights)} weights are {when} not finite (such as {_few(weights)}), so an update broke them"
    losses = [abs(value) for value in scene.losses]
    middle = sorted(losses)[len(losses) // 2] if losses else math.inf
    if losses and losses[-1] > ROSE * middle:
        return f"the loss ran away before (from about {middle:.3g} to {losses[-1]:.3g}), so the steps are too large"
    if module:
        return f"the output of {module} overflowed on a batch that was finite"
    if flat:
        return f"{len(flat)} images have an embedding of length 0 (rows {_few(flat)})"
    terms = [name for name, value in scene.values.items() if name != "loss" and math.isinf(value)]
    return f"the network's output is finite and the loss of it is not{f' (nor {_few(terms)})' if terms else ''}"


def _again(scene: FailedStep) -> Pass:
    """The same forward pass with the same draws, watched module by module. What it changes is never saved."""
    spec, batch, found = scene.spec, scene.batch, Pass()
    count = len(batch.rows)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            entered = all(_finite(value) for value in inputs if isinstance(value, Tensor))
            if isinstance(output, Tensor) and not found.module and entered and not _finite(output):
                found.module = name or type(module).__name__

        return hook

    def outer(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            found.inputs = _each(inputs[0].isfinite(), count)
        if isinstance(output, Tensor) and _finite(output):
            found.lengths = _each(output.flatten(1).norm(dim=1, keepdim=True) > 0, count)

    leaves = [(name, each) for name, each in scene.parts.network.named_modules() if not list(each.children())]
    hooks = [each.register_forward_hook(watch(name)) for name, each in leaves]
    hooks.append(scene.parts.network.register_forward_hook(outer))
    rank = scene.fabric.global_rank
    try:
        with torch.no_grad(), globals_from(spec.seed, spec.name, batch.epoch, scene.index, rank):
            spec.step(scene.parts.wrapped, batch)
    except (RuntimeError, ValueError, ArithmeticError, AssertionError):
        pass  # what NaNs do to a step is not the fault that is told
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _each(good: Tensor, count: int) -> Tensor | None:
    """bool [B] of [V * B, ...]: whether all is good in all V views of an image; None where it is of no such shape."""
    if not good.ndim or good.shape[0] % count:
        return None
    return good.reshape(good.shape[0] // count, count, -1).all(dim=2).all(dim=0)


def _rows(scene: FailedStep, good: Tensor | None) -> list[int]:
    """The rows of the global batch that are not good."""
    mine = torch.ones(len(scene.batch.rows), dtype=torch.bool) if good is None else good
    every = gather(scene.fabric, mine.to(scene.fabric.device), grads=False).cpu().numpy()
    return [int(row) for row in scene.batch.global_rows[~every]]


def _gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad for name, value in network.named_parameters() if value.grad is not None}


def _norm(gradients: Mapping[str, Tensor]) -> float | None:
    """Norm of all gradients together; None where there are none (an update has used them)."""
    if not gradients:
        return None
    return float(torch.stack([value.float().norm() for value in gradients.values()]).norm())


def _finite(value: Tensor) -> bool:
    return bool(value.isfinite().all()) if value.is_floating_point() else True


def _few(names: Iterable[object]) -> str:
    found = [str(name) for name in names]
    return ", ".join(found[:LISTED]) + (" ..." if len(found) > LISTED else "")


def _said(value: Any) -> Any:
    """NaN and infinity in words, as JSON has no numbers for them."""
    if isinstance(value, Mapping):
        return {name: _said(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_said(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
