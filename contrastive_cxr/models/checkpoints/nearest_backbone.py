"""The backbone that a file of weights is for, looked for among those with such names of layers."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import contrastive_cxr.models.backbones.catalogue as catalogue
import contrastive_cxr.models.checkpoints.families as families
import contrastive_cxr.models.checkpoints.shapes as shapes
from contrastive_cxr.models.checkpoints.matching import Match, match
from contrastive_cxr.models.checkpoints.unwrap import Content

_MOST = 6  # networks that are built and held to a file, half a second each; the table of shapes has chosen them


def nearest(content: Content, but: str = "", image_size: int | None = None) -> Match | None:
    """The best match of the backbones that a file with these names may be for; None where none of them fits."""
    names = [name for group in content.groups for name in group.tensors]
    given = shapes.counted(tuple(value.shape) for group in content.groups for value in group.tensors.values())
    best: Match | None = None
    for name in [name for name in shapes.ranked(given, candidates(names)) if name != but][:_MOST]:
        try:
            found = match(content, name, image_size)
        except Exception:  # nosec B112  # a candidate that cannot be built at this size is none
            continue
        if found.fits and (best is None or _better(found, best)):
            best = found
        if best is not None and best.share == 1 and all(re.search(families.BY_SIZE, key) for key in best.resized):
            break  # no other can be better
    return best


def _better(found: Match, best: Match) -> bool:
    """Whether a match is to be preferred to the best one before it: less resized, less left out, more of it."""
    return (len(found.resized), len(found.missing), -found.share) < (len(best.resized), len(best.missing), -best.share)


def candidates(names: Sequence[str]) -> list[str]:
    """Backbones that a file with these names may be for, without the tags of their published weights."""
    found: list[str] = []
    every = known()
    for kin in families.KIN:
        if any(re.search(kin.mark, name) for name in names):
            found += [name for pattern in kin.backbones for name in fnmatch.filter(every, pattern)]
    return list(dict.fromkeys(found))


def known() -> list[str]:
    """The backbones that are looked through: not too large, and each once, whatever its published weights."""
    return [name for name in catalogue.known() if "." not in name and not re.search(families.TOO_LARGE, name)]
