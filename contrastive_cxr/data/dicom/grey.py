"""How the stored numbers of a DICOM image become grey values: rescale, padding, window (PS3.3 C.7.6.3, C.11)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrastive_cxr.data.decoding.intensity import DecodeError, Stored
from contrastive_cxr.data.dicom import tags
from contrastive_cxr.data.dicom.tags import UNREAD
from contrastive_cxr.recipe import schema

Values = npt.NDArray[Any]
Ends = tuple[float, float]
FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1")  # CT, enhanced CT
# Lossy compression moves values a little beyond the bits that are stored; what stands there is no foreign bit.
LOSSY = ("1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203")


class Rescaled(NamedTuple):
    """Values in the modality's units, the range that they can have, and whether the units are Hounsfield's."""

    values: Values
    ends: Ends
    hounsfield: bool


def grey(data: Any, setting: schema.Intensity, frame: int = 0) -> Stored:
    """Values of one frame in the modality's units (of CT in HU), and the range that becomes 0 and 255.

    The rescale, the window and its function are those of the frame's functional groups where it has such. Pixels of
    the padding value are marked, unused high bits removed. `auto` and `dtype` apply the file's own VOI table or first
    window; without one they map the range of BitsStored, and `auto` of CT in HU `setting.ct`.

    Parameters
    ----------
    data : pydicom.Dataset
        MONOCHROME1 or MONOCHROME2.
    frame : int
        The frame that `data.pixel_array` [H, W] is of.

    Raises
    ------
    DecodeError
        An attribute that is needed has a value that cannot be: named, with what does without it.
    """
    signed, bits = bool(tags.whole(data, "PixelRepresentation", 0)), int(data.BitsStored)
    raw = _used_bits(data.pixel_array, bits, signed, str(data.file_meta.TransferSyntaxUID) in LOSSY)
    ends = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    scaled = _rescaled(data, raw, ends, setting.kind, frame)
    turned = data.PhotometricInterpretation == "MONOCHROME1" or tags.word(data, "PresentationLUTShape") == "INVERSE"
    found = Stored(scaled.values, *scaled.ends, turned=turned, padding=_padding(data, raw))
    return _windowed(data, found, scaled, setting, frame) if setting.kind in ("auto", "dtype") else found


def _used_bits(raw: Values, bits: int, signed: bool, lossy: bool) -> Values:
    """The values without the bits above BitsStored, which may hold anything (PS3.5 8.1.1)."""
    spare = raw.dtype.itemsize * 8 - bits
    if spare <= 0 or raw.dtype.kind not in "iu":
        return raw
    if lossy:
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return np.clip(raw, low, high)
    if raw.max() < 2 ** (bits - signed) and (not signed or raw.min() >= -(2 ** (bits - 1))):
        return raw
    kind = np.dtype(f"{raw.dtype.byteorder}{'i' if signed else 'u'}{raw.dtype.itemsize}")
    return raw.view(kind) << spare >> spare


def _padding(data: Any, raw: Values) -> npt.NDArray[np.bool_] | None:
    """Pixels of the padding value, or between it and its range limit (PS3.3 C.7.5.1.1.2); None without one."""
    value = tags.number(data, "PixelPaddingValue", tags.CORRECT)
    if value is None:
        return None
    limit = tags.number(data, "PixelPaddingRangeLimit", tags.CORRECT)
    # A writer may give -2000 as the unsigned number of the same bits.
    first, last = (_wrapped(each, raw.dtype) for each in (value, value if limit is None else limit))
    mask = (raw >= min(first, last)) & (raw <= max(first, last))
    return mask if mask.any() else None


def _wrapped(value: float, dtype: np.dtype[Any]) -> int:
    """A number as the pixels' type holds it."""
    info = np.iinfo(dtype)
    return (int(value) - info.min) % (info.max - info.min + 1) + info.min


def _rescaled(data: Any, raw: Values, ends: Ends, kind: str, frame: int) -> Rescaled:
    """The modality's table or slope and intercept, applied."""
    from pydicom.pixels.processing import apply_modality_lut

    if tags.tables(data, "ModalityLUTSequence"):
        depth = int(data.ModalityLUTSequence[0].LUTDescriptor[2])
        return Rescaled(apply_modality_lut(raw, data), (0.0, 2.0**depth - 1), False)
    place = tags.group(data, "PixelValueTransformationSequence", frame)
    try:
        slope, intercept = (tags.number(place, name) for name in ("RescaleSlope", "RescaleIntercept"))
        if slope == 0:
            raise DecodeError(f"has a Rescale Slope of 0, which would make all its pixels the same; {UNREAD}")
    except DecodeError:
        if kind not in ("min-max", "percentile"):
            raise
        return Rescaled(raw, ends, False)
    if slope is None and intercept is None:
        return Rescaled(raw, ends, False)
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    first, last = sorted(end * slope + intercept for end in ends)
    hounsfield = _is_ct(data) and tags.word(place, "RescaleType") in ("", "HU")
    return Rescaled(raw * slope + intercept, (first, last), hounsfield)


def _is_ct(data: Any) -> bool:
    """Whether the modality is CT; where the file leaves it empty, by the kind of object that it is."""
    modality = tags.word(data, "Modality")
    return modality == "CT" or (not modality and str(data.get("SOPClassUID") or "") in CT_CLASSES)


def _windowed(data: Any, found: Stored, scaled: Rescaled, setting: schema.Intensity, frame: int) -> Stored:
    """The file's own VOI table or first window; of CT without one the recipe's window."""
    from pydicom.pixels.processing import apply_voi

    tables = tags.tables(data, "VOILUTSequence")
    if tables:
        depth = int(tables[0].LUTDescriptor[2])
        with_table = apply_voi(_integers(found.values), data, list(data.VOILUTSequence).index(tables[0]))
        return found._replace(values=with_table, low=0.0, high=2.0**depth - 1)
    place = tags.group(data, "FrameVOILUTSequence", frame)
    centres, widths = tags.numbers(place, "WindowCenter"), tags.numbers(place, "WindowWidth")
    if centres and widths:
        return _through(found, centres[0], widths[0], tags.word(place, "VOILUTFunction") or "LINEAR", scaled.ends)
    if setting.kind == "auto" and scaled.hounsfield:
        centre, width = setting.ct_window
        return found._replace(low=centre - width / 2, high=centre + width / 2)
    return found


def _integers(values: Values) -> Values:
    """Values for a table: rescaled ones are whole numbers wherever a table follows."""
    return values if values.dtype.kind in "iu" else np.rint(values).astype(np.int64)


def _through(found: Stored, centre: float, width: float, function: str, ends: Ends) -> Stored:
    """A window by its function (PS3.3 C.11.2.1.2 and C.11.2.1.3), as the two values that become black and white."""
    least = 1 if function == "LINEAR" else 0
    if function not in FUNCTIONS:
        raise DecodeError(f"has VOI LUT Function '{function}', which is not one of {', '.join(FUNCTIONS)}; {UNREAD}")
    if width < least or width == 0:
        above = "at least 1" if least else "above 0"
        raise DecodeError(f"has a Window Width of {width:g}, and one of {function} is {above}; {UNREAD}")
    if function == "SIGMOID":
        curve = 1 / (1 + np.exp(-4 * (found.values.astype(np.float64) - centre) / width))
        return found._replace(values=curve, low=0.0, high=1.0)
    middle, half = (centre - 0.5, (width - 1) / 2) if function == "LINEAR" else (centre, width / 2)
    if middle + half < ends[0] or middle - half > ends[1]:
        raise DecodeError(
            f"has a window (Window Center {centre:g}, Window Width {width:g}) outside of all values that it can hold "
            f"({ends[0]:g} to {ends[1]:g}); {UNREAD}"
        )
    return found._replace(low=middle - half, high=middle + half)
