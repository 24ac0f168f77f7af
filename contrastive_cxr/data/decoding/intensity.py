"""Stored values of any depth become 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.recipe import schema

Bytes = npt.NDArray[np.uint8]
ENOUGH = 64
"""Grey levels below which a picture has lost what its file tells apart, and is warned of."""


LOOKED_AT = 2**18  # values of one picture that are compared with the grey levels left of them


class DecodeError(CcxrError):
    """A file is not an image that can be used.

    Parameters
    ----------
    reason : str
        What is wrong with the file, in plain words.
    name : str
        The file, where it has a name.
    """

    def __init__(self, reason: str, name: str = "") -> None:
        self.reason = reason
        super().__init__(f"{name}: {reason}" if name else reason)


class TooManyPixels(DecodeError):
    """A picture declares more pixels than are read."""


class Stored(NamedTuple):
    """One grey channel as a file stores it.

    Attributes
    ----------
    values : uint8, uint16, int32 or float [H, W]
    low, high : float
        The range that `data.intensity.kind` `dtype` maps to 0 and 255, in units of `values`: of the type, or of the
        window that the file brings.
    turned : bool
        Whether low values are bright (MONOCHROME1, WhiteIsZero, an inverse Presentation LUT Shape).
    container : bool
        Whether low and high are no more than what the type can hold, as of a 16-bit PNG, so that `auto` looks for the
        range in use.
    padding : bool [H, W] or None
        Pixels that are no part of the picture (DICOM's padding value): they become 0 and count for no range.
    """

    values: npt.NDArray[Any]
    low: float
    high: float
    turned: bool = False
    container: bool = False
    padding: npt.NDArray[np.bool_] | None = None

    @property
    def inside(self) -> npt.NDArray[Any]:
        """The values of the picture, its padding left out; all of them where there is nothing else."""
        if self.padding is None or self.padding.all():
            return self.values
        return self.values[~self.padding]


class Mapped(NamedTuple):
    """A picture of 8 bits, and how it came to be.

    Attributes
    ----------
    grey : uint8 [H, W]
    low, high : float
        The stored values that became 0 and 255 (255 and 0 where the picture is turned).
    squeezed : int
        Grey levels that are left, where they are fewer than `ENOUGH` and the file tells more apart; else 0.
    """

    grey: Bytes
    low: float
    high: float
    squeezed: int


def check(setting: schema.Intensity) -> None:
    """Raise `RequestError` where the ends of the range of `setting` make no range."""
    low, high = setting.low, setting.high
    if setting.kind in ("percentile", "window") and low >= high:
        raise RequestError(f"data.intensity: low {low} is not below high {high}; swap or widen them")
    if setting.kind == "percentile" and (low < 0 or high > 100):
        raise RequestError(f"data.intensity: percentiles {low} and {high} are not in 0..100")


def to_bytes(stored: Stored, setting: schema.Intensity, source: str = "") -> Bytes:
    """Map stored values to 0..255, linearly, rounded and clipped; padding becomes 0.

    Parameters
    ----------
    stored : Stored
        Values [H, W] and the range of their type.
    setting : schema.Intensity
        `dtype` maps the type's range: 12 bits stored in 16 stay dark. `auto` does so too, but for files of more than 8
        bits that say no range: their source's (`setting.ranges`) is mapped.
    source : str
        The name of the source that the file is of, a key of `setting.ranges`.

    Returns
    -------
    uint8 [H, W]

    Raises
    ------
    DecodeError
        Where a value is no number, or where floats outside 0..1 have no range.

    Examples
    --------
    >>> import numpy as np
    >>> stored = Stored(np.array([[0, 2048, 4095]], np.uint16), 0, 65535, container=True)
    >>> to_bytes(stored, schema.Intensity(kind="dtype")).tolist()
    [[0, 8, 16]]
    >>> to_bytes(stored, schema.Intensity(ranges={"xray": (0, 4095)}), "xray").tolist()
    [[0, 128, 255]]
    """
    return mapped(stored, setting, source).grey


def mapped(stored: Stored, setting: schema.Intensity, source: str = "") -> Mapped:
    """As `to_bytes`, with the range that was mapped and the grey levels that are left."""
    values = stored.values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DecodeError("holds values that are no number (NaN or infinite)")
    low, high = _range(stored, setting, source)
    as_they_are = values.dtype == np.uint8 and (low, high) == (0, 255)
    if as_they_are:
        grey = values
    elif values.dtype == np.uint16 and values.size > 65536:
        grey = _scale(np.arange(65536), low, high)[values]
    else:
        grey = _scale(values, low, high)
    squeezed = 0 if as_they_are else _squeezed(grey, stored)
    grey = 255 - grey if stored.turned else grey
    if stored.padding is not None:
        grey = np.where(stored.padding, 0, grey)
    return Mapped(np.asarray(grey, dtype=np.uint8), low, high, squeezed)


def _squeezed(grey: Bytes, stored: Stored) -> int:
    """Grey levels that are left, where too few are and the file had more; 0 where none were lost."""
    seen = np.zeros(256, dtype=bool)
    seen[grey] = True
    levels = int(seen.sum())
    if levels >= ENOUGH:
        return 0
    values = stored.inside.ravel()
    return levels if len(np.unique(values[:: max(1, values.size // LOOKED_AT)])) > levels else 0


def _range(stored: Stored, setting: schema.Intensity, source: str) -> tuple[float, float]:
    """The two stored values that become 0 and 255."""
    if setting.kind == "window":
        return setting.low, setting.high
    values = stored.inside
    if setting.kind == "percentile":
        low, high = np.percentile(values, [setting.low, setting.high])
        return float(low), float(high)
    if setting.kind == "min-max":
        return float(values.min()), float(values.max())
    if setting.kind == "auto" and stored.container and setting.ranges:
        return _of_source(float(values.max()), setting.ranges, source)
    if values.dtype.kind == "f" and stored.container and (values.min() < stored.low or values.max() > stored.high):
        raise DecodeError(
            f"holds floats from {values.min():g} to {values.max():g}, and data.intensity.kind '{setting.kind}' reads "
            f"floats as {stored.low:g}..{stored.high:g}; use min-max, percentile or window"
        )
    return stored.low, stored.high


def _of_source(most: float, ranges: Mapping[str, tuple[float, float]], source: str) -> tuple[float, float]:
    """The range of a source; of a file of no known source the narrowest recorded one that holds its values."""
    if source in ranges:
        return ranges[source]
    by_width = sorted(ranges.values(), key=lambda ends: ends[1] - ends[0])
    return next((ends for ends in by_width if ends[1] >= most), by_width[-1])


def _scale(values: npt.NDArray[Any], low: float, high: float) -> Bytes:
    """Map low..high to 0..255; an empty range becomes a step, so that a constant image is black."""
    if high <= low:
        return np.where(values > high, 255, 0).astype(np.uint8)
    scaled = (values.astype(np.float64) - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)
