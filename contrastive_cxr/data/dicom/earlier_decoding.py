"""Grey values of DICOM as runs of before read them (`data.decoding` 1): their models see what they learned on."""

from __future__ import annotations

from typing import Any

import numpy as np

from contrastive_cxr.data.decoding.intensity import Stored


def grey(data: Any, kind: str) -> Stored:
    """Rescale and, for `dtype`, the file's own window; no padding value, functional groups or Presentation LUT Shape.

    Parameters
    ----------
    data : pydicom.Dataset
        One frame, MONOCHROME1 or MONOCHROME2.
    kind : str
        `data.intensity.kind`.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    stored = data.pixel_array
    signed, bits = bool(data.PixelRepresentation), int(data.BitsStored)
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], dtype=np.float64)
    if data.get("ModalityLUTSequence"):
        ends = np.array([0, 2 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2]) - 1], dtype=np.float64)
    elif "RescaleSlope" in data and "RescaleIntercept" in data:
        ends = ends * float(data.RescaleSlope) + float(data.RescaleIntercept)
    values = apply_modality_lut(stored, data)
    if kind in ("auto", "dtype"):
        if data.get("VOILUTSequence"):
            ends = np.array([0, 2 ** int(data.VOILUTSequence[0].LUTDescriptor[2]) - 1], dtype=np.float64)
        # A window's ends can leave the range of its type by the rounding of a float.
        values = np.clip(apply_voi_lut(values, data), ends.min(), ends.max())
    return Stored(values, float(ends.min()), float(ends.max()), turned=data.PhotometricInterpretation == "MONOCHROME1")
