"""What the ranges of an augmentation have to be to each other and to the input size."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from contrastive_cxr.recipe.augment_sets import SETS, AugmentSet
from contrastive_cxr.recipe.augmentation import Augment, resolved

SMALLEST = 16  # pixels of a reduced picture
LEAST_SHOWN = 0.05  # of the image's area, with crop and zoom at their ends
LEAST_FILLED = 0.25  # of the picture's width and height, with crop, zoom, aspect and shift at their ends
# What is read only where another range is set: (what, where, the value that leaves it unread).
_READ_WITH = (
    ("ratio", "crop", (1.0, 1.0)),
    ("noise_rate", "noise", 0.0),
    ("jpeg_rate", "jpeg", None),
    ("sigma", "blur", 0.0),
    ("resolution_rate", "resolution", None),
    ("erase_area", "erase", 0.0),
    ("frame_rate", "frame", 0.0),
)


def faults(place: str, choice: str | Augment, size: int) -> Iterator[str]:
    """What is wrong with a mapping, one sentence each; a set's name is right.

    Parameters
    ----------
    place : str
        Dotted name of the setting, such as `pretrain.augment`.
    choice : str or Augment
    size : int
        Smallest side of the network's input, pixels.
    """
    if isinstance(choice, str):
        return
    ranges, own, given = resolved(choice), SETS[choice.set], choice.given()
    for name, other, off in _READ_WITH:
        changed = getattr(ranges, name) != getattr(own, name)
        unread = getattr(ranges, other) == off
        if changed and unread and (other not in given or name.endswith("_rate")):
            there = f"is {given[other]:g}" if other in given else f"set {choice.set} leaves out"
            yield f"`{place}.{name}` is read only with {place}.{other}, which {there}; give both"
    if ranges.resolution is not None and round(ranges.resolution[0] * size) < SMALLEST:
        yield (
            f"`{place}.resolution`: {ranges.resolution[0]:g} of an input of {size} pixels leaves "
            f"{round(ranges.resolution[0] * size)}; a picture keeps at least {SMALLEST}, so begin at "
            f"{math.ceil(1000 * SMALLEST / size) / 1000:g}"
        )
    yield from _framing(place, ranges)


def _framing(place: str, ranges: AugmentSet) -> Iterator[str]:
    shown = ranges.crop[0] / max(1.0, ranges.zoom[1]) ** 2
    if shown < LEAST_SHOWN:
        yield (
            f"`{place}.crop`: {ranges.crop[0]:g} with a zoom of {ranges.zoom[1]:g} shows as little as {shown:.1%} of "
            f"the image; crop / zoom^2 is at least {LEAST_SHOWN:g}"
        )
    if filled(ranges, ranges.shift) < LEAST_FILLED:
        most = next((step / 100 for step in range(50, 0, -1) if filled(ranges, step / 100) >= LEAST_FILLED), 0.0)
        yield (
            f"`{place}.shift`: {ranges.shift:g} can move the image out of the picture, of whose width or height as "
            f"little as {filled(ranges, ranges.shift):.0%} would show it (crop from {ranges.crop[0]:g}, zoom "
            f"{ranges.zoom[0]:g} to {ranges.zoom[1]:g}); set it to at most {most:g}, or crop larger"
        )


def filled(ranges: AugmentSet, shift: float) -> float:
    """Smallest share of the picture's width or height that shows the image, 0 to 1, before it is turned."""
    area = ranges.crop[0]
    narrow = math.sqrt(area * max(ranges.ratio[0], area)), math.sqrt(area / min(ranges.ratio[1], 1 / area))
    stretch = math.exp(ranges.aspect / 2)
    found = 1.0
    for side, zoom, factor in itertools.product((min(1.0, *narrow), 1.0), ranges.zoom, (1 / stretch, stretch)):
        # The window's centre and half its side, the image spanning -1..1, as in augment/draws.py.
        centre, half = 1 - side + 2 * shift, side / zoom * factor
        found = min(found, max(0.0, min(1.0, centre + half) - max(-1.0, centre - half)) / (2 * half))
    return found
