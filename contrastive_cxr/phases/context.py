"""What a phase is given, and the few things that all three do alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr import augment, models
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import (
    Batch,
    Fabric,
    FitResult,
    FitSpec,
    Place,
    drop_checkpoints,
    encode,
    is_done,
    mark_done,
)
from contrastive_cxr.models import transfer, weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.objectives.classes import LOSSES
from contrastive_cxr.recipe.schema import Embed, Finetune, Phase, Recipe, Supervised
from contrastive_cxr.run import seeds
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_layout import PhaseName

View = Callable[[Tensor, NDArray[np.int64]], Tensor]


@dataclass(frozen=True)
class PhaseContext:
    """The inputs of a phase: recipe, images, device, the phase's folder, and the model that it starts from.

    Attributes
    ----------
    folder : Path
        The phase's own folder, `RUN/<phase>`.
    start : Path or None
        Folder of the phase whose model is the start; None: `recipe.model.weights`.
    resume : bool
        Go on from `folder/checkpoints/last.ckpt` where there is one.
    place : Place
        Of the phase in its run.
    """

    recipe: Recipe
    data: Dataset
    fabric: Fabric
    folder: Path
    start: Path | None
    tracker: Tracker
    resume: bool = False
    place: Place = field(default_factory=Place)

    def images(self) -> Images:
        """The cached images, for the device."""
        return Images(self.data.images, self.fabric.device)

    def statistics(self) -> tuple[float, float]:
        """Mean and deviation that the network normalises by: of the training part, ImageNet's, or a half."""
        if self.recipe.model.normalise == "imagenet":
            return catalogue.grey_statistics(self.recipe.model.backbone)
        if self.recipe.model.normalise == "half":
            return 0.5, 0.5
        return self.data.mean, max(self.data.std, 1 / 255)

    def build(
        self,
        name: PhaseName,
        *,
        projection: Sequence[int] = (),
        classes: Sequence[str] = (),
        hidden: Sequence[int] = (),
    ) -> models.Network:
        """Network of a phase: seeded, then started from the earlier phase's model or the recipe's weights."""
        mean, std = self.statistics()
        network = models.build(
            self.recipe.model,
            projection=projection,
            classes=len(classes),
            hidden=hidden,
            mean=mean,
            std=std,
            seed=seeds.key(self.recipe.seed, name, "weights"),
        )
        if self.start is None:
            weights.start(network, self.recipe.model.weights, self.recipe.model.stem)
        else:
            transfer.carry_over(network, weights.load(self.start)[0].state_dict())
        if self.recipe.runtime.sync_batchnorm and self.fabric.world_size > 1:
            models.synchronised(network)
        return network

    def spec(self, name: PhaseName, phase: Phase, network: nn.Module, **parts: Any) -> FitSpec:
        """The loop's orders: what the recipe says, and the phase's own `parts` (step, batches, validate, ...)."""
        runtime = self.recipe.runtime
        return FitSpec(
            name=name,
            folder=self.folder,
            seed=self.recipe.seed,
            network=network,
            optimiser=phase.optimiser,
            schedule=phase.schedule,
            epochs=phase.epochs,
            validate_every=phase.validate_every,
            average=phase.ema_decay,
            channels_last=runtime.channels_last is not False,
            compile=runtime.compile,
            checkpoint_minutes=runtime.checkpoint_minutes,
            keep_checkpoints=runtime.keep_checkpoints,
            checkpoint_mib=runtime.checkpoint_mib,
            tracker=self.tracker,
            describe=self.describe,
            place=self.place,
            out_of_memory_hint=out_of_memory_hint(name, phase, len(self.data.classes)),
            **parts,
        )

    def describe(self, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Facts of rows for the error about a loss that is not finite: path, class, range of grey (0..255)."""
        table = self.data.manifest_table().iloc[rows]
        pixels = self.data.take(rows).reshape(len(rows), -1)
        greys = zip(pixels.min(axis=1).tolist(), pixels.max(axis=1).tolist(), strict=True)
        names = [name for name in ("path", "source", "patient", "class", "digest") if name in table]
        told = table[names].to_dict("records")
        return [
            {"row": int(row), **{str(key): value for key, value in facts.items()}, "darkest": low, "brightest": high}
            for row, facts, (low, high) in zip(rows, told, greys, strict=True)
        ]

    def encode(
        self,
        network: nn.Module,
        images: Images,
        rows: NDArray[np.int64],
        view: View | None = None,
        function: Callable[[Tensor], Tensor] | None = None,
    ) -> NDArray[np.float32]:
        """Outputs of the network, or of `function`, for the plain images of `rows` or for `view(pixels, rows)`."""
        size = self.recipe.model.image_size

        def load(part: NDArray[np.int64]) -> Tensor:
            pixels = images.take(part)
            return augment.plain(pixels, size) if view is None else view(pixels, part)

        size_of_batch = self.recipe.runtime.eval_batch_size
        return images.encoded(
            lambda part: encode(self.fabric, function or network, part, size_of_batch, load, network=network), rows
        )

    def done(self, name: PhaseName) -> bool:
        """Whether the phase is complete already; the tracker then gets what a killed sitting may have lost."""
        if not is_done(self.folder):
            return False
        if self.fabric.is_global_zero:
            self.tracker.replay(name, MetricsLog(self.folder / "metrics.jsonl").rows())
            self.tracker.model(self.folder)
            self._drop_checkpoints()
        return True

    def _drop_checkpoints(self) -> None:
        """Remove what a finished phase no longer needs, as the recipe says."""
        runtime = self.recipe.runtime
        if not runtime.keep_finished:
            drop_checkpoints(self.folder, best=runtime.keep_checkpoints > 1)

    def answers(self, name: PhaseName) -> dict[str, Any]:
        """Fields of a classifier's `model.json`: the link of its loss, decision costs, test-time augmentation."""
        phase, evaluation = self.recipe.phase(name), self.recipe.evaluation
        if not isinstance(phase, Supervised):
            return {}
        return {"link": LOSSES[phase.loss].link, "costs": evaluation.costs, "tta": evaluation.tta}

    def finish(self, name: PhaseName, network: models.Network, result: FitResult, classes: Sequence[str] = ()) -> Path:
        """Write the exported model, then the mark that this phase is done; its checkpoints go, unless they are kept."""
        self.fabric.barrier()  # every process has read the chosen checkpoint
        if self.fabric.is_global_zero:
            counts = network.trainable_counts().values()
            card = {
                "phase": name,
                "experiment": self.recipe.name,
                "task": self.recipe.task.model_dump(mode="json"),
                "channels_last": self.recipe.runtime.channels_last is not False,
                "classes": list(classes),
                **self.answers(name),
                "decode": decode_settings(self.recipe),
                "training": {
                    "best_epoch": result.best_epoch,
                    "best_value": result.best_value,
                    "epochs": result.epochs,
                    "steps": result.steps,
                    "images_seen": result.images_seen,
                    "trainable": sum(trained for trained, _ in counts),
                    "parameters": sum(every for _, every in counts),
                },
            }
            weights.save(network, self.folder, card)
            self.tracker.model(self.folder)
            mark_done(self.folder, result)
            self._drop_checkpoints()
        self.fabric.barrier()
        return self.folder


def out_of_memory_hint(name: PhaseName, phase: Phase, classes: int) -> str:
    """What to set where a step's batch is too large for the device.

    Examples
    --------
    >>> smaller("pretrain", Supervised(batch_size=32), 3)
    'set pretrain.batch_size=16 pretrain.accumulate=2 (updates stay as they are), or model.image_size lower'
    """
    if isinstance(phase, Finetune) and phase.contrastive:
        return f"set {name}.batch_size={max(1, phase.batch_size // 2)}, or model.image_size lower"
    if isinstance(phase, Supervised):
        half = f"{name}.batch_size={max(1, phase.batch_size // 2)} {name}.accumulate={2 * phase.accumulate}"
        return f"set {half} (updates stay as they are), or model.image_size lower"
    assert isinstance(phase, Embed), "there is no third kind of phase"
    if not phase.uses_labels:
        return f"set {name}.batch_size={max(2, phase.batch_size // 2)}, or model.image_size lower"
    count, each = phase.classes_per_batch or classes, phase.images_per_class
    fewer = f" or {name}.classes_per_batch={max(2, count // 2)}" if count > 2 else ""
    return (
        f"a batch is {count} classes of {each} images; set {name}.images_per_class={max(2, each // 2)}{fewer}, or "
        "model.image_size lower"
    )


def decode_settings(recipe: Recipe) -> dict[str, Any]:
    """The part of `recipe.data` that a file must be decoded with to look as it did in training."""
    names = {"cache_size", "resize", "intensity", "border_crop", "denoise", "equalise", "decoding"}
    return recipe.data.model_dump(mode="json", include=names)


def input_size(phase: Phase, full: int, epoch: int) -> int:
    """Side of the network's input in an epoch, pixels.

    From `initial_image_size` it grows to `full` over the first two thirds of the epochs, in steps of 16.

    Examples
    --------
    >>> [input_size(Phase(epochs=9, initial_image_size=64), 128, epoch) for epoch in (0, 3, 6, 8)]
    [64, 96, 128, 128]
    """
    if phase.initial_image_size is None:
        return full
    growing = max(1, round(phase.epochs * 2 / 3))
    share = epoch / growing
    if share >= 1:
        return full  # also where it is not a whole number of steps away
    return min(full, phase.initial_image_size + round((full - phase.initial_image_size) * share / 16) * 16)


@dataclass(frozen=True)
class Views:
    """Augmented views of a batch's images; their dice are keyed by seed, phase, step and purpose."""

    context: PhaseContext
    name: PhaseName
    phase: Phase
    images: Images

    def __call__(self, batch: Batch, choice: augment.Choice, purpose: str, places: Tensor | None = None) -> Tensor:
        """Views of this process's images of the batch: float32 [B,1,S,S] in 0..1.

        `places`: int64 [B] on the CPU, other places of the global batch, each image with the draw that it has there.
        """
        recipe = self.context.recipe
        return augment.augment(
            self.images.of_step(batch) if places is None else self.images.take(batch.global_rows[places.numpy()]),
            input_size(self.phase, recipe.model.image_size, batch.epoch),
            choice,
            seeds.key(recipe.seed, self.name, batch.step, purpose),
            batch.rank_slice if places is None else places,
            len(batch.global_rows),
        )
