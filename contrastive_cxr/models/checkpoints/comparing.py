"""Tensors of a file held to those of a backbone: what agrees in name and shape, and the first difference in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from contrastive_cxr.models.checkpoints.naming import CLASSIFIERS, COUNTER, Tensors


def difference(given: Tensors, wanted: Tensors) -> str:
    """The first difference in names, shapes and kinds in words, or an empty string; batch counters may be missing.

    Floats may be of another precision; they are no whole numbers.
    """
    found = unlike(given, wanted)
    if found:
        return found
    missing = [key for key in wanted if key not in given and not key.endswith(COUNTER)]
    unknown = [key for key in given if key not in wanted]
    parts = [f"{len(missing)} tensors are missing ('{missing[0]}', ...)"] if missing else []
    parts += [f"{len(unknown)} are unknown ('{unknown[0]}', ...)"] if unknown else []
    return " and ".join(parts)


def unlike(given: Tensors, wanted: Tensors) -> str:
    """The first tensor of another shape or kind in words, or ''."""
    for key in wanted:
        if key in given and given[key].shape != wanted[key].shape:
            return f"'{key}' is {list(given[key].shape)}, expected {list(wanted[key].shape)}"
        if key in given and given[key].is_floating_point() != wanted[key].is_floating_point():
            return f"'{key}' holds {given[key].dtype}, expected {wanted[key].dtype}"
    return ""


@dataclass(frozen=True)
class Compared:
    """What of some tensors fits a backbone; see `Match`."""

    share: float
    state: dict[str, Tensor]
    missing: tuple[str, ...]
    unlike: str


def compared(given: dict[str, Tensor], wanted: Tensors) -> Compared:
    """Hold tensors to a backbone's. Those inside its layers that it has not count against them: of a larger network."""
    layers = {key.split(".")[0] for key in wanted} - set(CLASSIFIERS)
    state = {key: given[key] for key in wanted if key in given and not unlike({key: given[key]}, {key: wanted[key]})}
    inside = [
        given[key] for key in given if key not in wanted and key.split(".")[0] in layers and not key.endswith(COUNTER)
    ]
    counted = [value for key, value in wanted.items() if not key.endswith(COUNTER)]
    held = [value for key, value in state.items() if not key.endswith(COUNTER)]
    numbers = _numbers(held) / max(1, _numbers(counted) + _numbers(inside))
    return Compared(
        share=min(numbers, len(held) / max(1, len(counted) + len(inside))),
        state=state,
        missing=tuple(key for key in wanted if key not in given and not key.endswith(COUNTER)),
        unlike=unlike(given, wanted),
    )


def _numbers(tensors: Sequence[Tensor]) -> int:
    return sum(value.numel() for value in tensors)
