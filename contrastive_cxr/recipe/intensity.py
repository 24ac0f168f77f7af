"""How stored intensities become 8 bits: the part of a recipe that says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from contrastive_cxr.recipe.augmentation import MAPPING, WORD
from contrastive_cxr.recipe.section import Section

CtWord = Literal["lung", "mediastinum", "bone"]
Pair = tuple[float, float]
CT_WINDOWS: dict[str, Pair] = {"lung": (-600.0, 1500.0), "mediastinum": (40.0, 400.0), "bone": (400.0, 1800.0)}
"""Centre and width of the usual windows of chest CT, in HU."""


def _wide(pair: Pair) -> Pair:
    """Hold a window to a width above 0."""
    if pair[1] > 0:
        return pair
    raise ValueError(
        f"the width {pair[1]:g} of the window is not above 0; write [centre, width] in HU, as [-600, 1500]"
    )


def _rising(pair: Pair) -> Pair:
    """Hold a range to low < high."""
    if pair[0] < pair[1]:
        return pair
    raise ValueError(f"the range [{pair[0]:g}, {pair[1]:g}] is empty; write [low, high] with low below high")


CtWindow = Annotated[
    Annotated[CtWord, Tag(WORD)] | Annotated[Pair, AfterValidator(_wide), Tag(MAPPING)],
    Discriminator(lambda value: WORD if isinstance(value, str) else MAPPING),
]
Range = Annotated[Pair, AfterValidator(_rising)]


class Intensity(Section):
    """How stored intensities become 8 bits."""

    kind: Literal["auto", "dtype", "min-max", "percentile", "window"] = Field(
        "auto",
        description="the range that is mapped to 0..255: auto (8 bits as they are; of DICOM its own window or "
        "BitsStored; of deeper PNG and TIFF what the source uses), of the type, of the image, two percentiles, window",
    )
    low: float = Field(0.5, description="lower percentile (percent) or lower end of the window (stored units)")
    high: float = Field(99.5, description="upper percentile (percent) or upper end of the window (stored units)")
    ct: CtWindow = Field(
        "lung",
        description="window of CT in HU that brings none of its own (auto): lung [-600, 1500], mediastinum [40, 400], "
        "bone [400, 1800], or [centre, width]",
    )
    ranges: dict[str, Range] | None = Field(
        None,
        description="range of each source's deeper PNG and TIFF files (auto), by the source's name; none: found from a "
        "sample of them and recorded by the run",
    )

    @property
    def ct_window(self) -> Pair:
        """Centre and width of `ct`, in HU."""
        return CT_WINDOWS[self.ct] if isinstance(self.ct, str) else self.ct


def faults(intensity: Intensity) -> Iterator[str]:
    """What the ends of a range have to be to each other, one sentence each."""
    if intensity.kind not in ("percentile", "window"):
        return
    low, high = intensity.low, intensity.high
    if low >= high:
        yield f"`data.intensity`: low {low:g} is not below high {high:g}; give the lower end first"
    if intensity.kind == "percentile" and not (0 <= low <= 100 and 0 <= high <= 100):
        yield f"`data.intensity`: percentiles {low:g} and {high:g} are not both within 0 to 100"
