"""The tensors of a family of published weights under the names of our backbones; `families.NAMES` are the families."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from contrastive_cxr.models.checkpoints.families import Names

Tensors = Mapping[str, Tensor]
COUNTER = "num_batches_tracked"
CLASSIFIERS = ("AuxLogits", "aux1", "aux2", "classifier", "fc", "head", "heads", "_fc")
"""First words of the names of layers that a backbone has lost."""


def renamed(tensors: Tensors, family: Names, wanted: Tensors) -> dict[str, Tensor]:
    """The tensors under the backbone's names, what stood before them kept."""
    if family.in_order:
        return _in_order(tensors, family, wanted)
    named: dict[str, Tensor] = {}
    for key, value in tensors.items():
        for pattern, replacement in family.renames:
            key = re.sub(pattern, replacement, key)
        named[key] = value
    return _joined(named, family) if family.parts else named


def _joined(named: dict[str, Tensor], family: Names) -> dict[str, Tensor]:
    """Queries, keys and values as the one layer that they are in the backbone; a bias that is not there is 0."""
    first = family.parts[0]
    for key in [key for key in named if first in key]:
        names = [key.replace(first, part) for part in family.parts]
        values = [named.pop(name, None) for name in names]
        some = next(value for value in values if value is not None)
        whole = [torch.zeros_like(some) if value is None else value for value in values]
        named[key.replace(first, family.joined)] = torch.cat(whole)
    return named


def _in_order(tensors: Tensors, family: Names, wanted: Tensors) -> dict[str, Tensor]:
    """The tensors under the backbone's names, one after the other; none of another number or of other last names."""
    marked = next(match for name in tensors if (match := re.search(family.mark, name)))
    prefix = marked.string[: marked.start()] + (marked[1] if marked.lastindex else "")
    kept = {key: value for key, value in tensors.items() if key.removeprefix(prefix).split(".")[0] not in CLASSIFIERS}
    counters = any(key.endswith(COUNTER) for key in kept)
    names = [key for key in wanted if counters or not key.endswith(COUNTER)]
    if [key.rpartition(".")[2] for key in kept] != [key.rpartition(".")[2] for key in names]:
        return dict(tensors)
    return dict(zip(names, kept.values(), strict=True)) | {key: tensors[key] for key in tensors if key not in kept}
