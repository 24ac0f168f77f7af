"""Stored values of any depth become 8 bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.recipe import schema

Bytes = npt.NDArray[np.uint8]


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


class Stored(NamedTuple):
    """One grey channel as a file stores it.

    Attributes
    ----------
    values : uint8, uint16, int32 or float [H, W]
    low, high : float
        The range of the type, in units of `values`: what `data.intensity.kind: dtype` maps to 0 and 255.
    turned : bool
        Whether low values are bright (MONOCHROME1, WhiteIsZero).
    """

    values: npt.NDArray[Any]
    low: float
    high: float
    turned: bool = False


def check(setting: schema.Intensity) -> None:
    """Raise `RequestError` where the ends of the range of `setting` make no range."""
    low, high = setting.low, setting.high
    if setting.kind in ("percentile", "window") and low >= high:
        raise RequestError(f"data.intensity: low {low} is not below high {high}; swap or widen them")
    if setting.kind == "percentile" and (low < 0 or high > 100):
        raise RequestError(f"data.intensity: percentiles {low} and {high} are not in 0..100")


def to_bytes(stored: Stored, setting: schema.Intensity) -> Bytes:
    """Map stored values to 0..255, linearly, rounded and clipped.

    Parameters
    ----------
    stored : Stored
        Values [H, W] and the range of their type.
    setting : schema.Intensity
        `dtype` maps the type's range: 12 bits stored in 16 stay dark, and `min-max`, `percentile` or `window` is then
        right.

    Returns
    -------
    uint8 [H, W]

    Raises
    ------
    DecodeError
        Where a value is no number, or where `dtype` meets floats outside 0..1.

    Examples
    --------
    >>> import numpy as np
    >>> stored = Stored(np.array([[0, 2048, 4095]], np.uint16), 0, 65535)
    >>> to_bytes(stored, schema.Intensity(kind="dtype")).tolist()
    [[0, 8, 16]]
    >>> to_bytes(stored, schema.Intensity(kind="min-max")).tolist()
    [[0, 128, 255]]
    """
    values = stored.values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DecodeError("holds values that are no number (NaN or infinite)")
    low, high = _range(stored, setting)
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        grey = values
    elif values.dtype == np.uint16 and values.size > 65536:
        grey = _scale(np.arange(65536), low, high)[values]
    else:
        grey = _scale(values, low, high)
    return np.asarray(255 - grey if stored.turned else grey, dtype=np.uint8)


def _range(stored: Stored, setting: schema.Intensity) -> tuple[float, float]:
    """The two stored values that become 0 and 255."""
    values = stored.values
    if setting.kind == "window":
        return setting.low, setting.high
    if setting.kind == "percentile":
        low, high = np.percentile(values, [setting.low, setting.high])
        return float(low), float(high)
    if setting.kind == "min-max":
        return float(values.min()), float(values.max())
    if values.dtype.kind == "f" and (values.min() < stored.low or values.max() > stored.high):
        raise DecodeError(
            f"holds floats from {values.min():g} to {values.max():g}, and data.intensity.kind 'dtype' reads floats as "
            f"{stored.low:g}..{stored.high:g}; use min-max, percentile or window"
        )
    return stored.low, stored.high


def _scale(values: npt.NDArray[Any], low: float, high: float) -> Bytes:
    """Map low..high to 0..255; an empty range becomes a step, so that a constant image is black."""
    if high <= low:
        return np.where(values > high, 255, 0).astype(np.uint8)
    scaled = (values.astype(np.float64) - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled, out=scaled), 0, 255, out=scaled).astype(np.uint8)
