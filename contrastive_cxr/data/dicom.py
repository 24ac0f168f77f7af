"""DICOM through pydicom, which is optional and is imported only where a DICOM file is met."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from contrastive_cxr.data.intensity import DecodeError, Stored

INSTALL = "pip install 'contrastive_cxr[dicom]'"
# What pydicom is known to raise on damaged files, besides errors of its own.
DAMAGED = (
    OSError, EOFError, ValueError, AttributeError, KeyError, TypeError, IndexError, RuntimeError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
DEFLATED = b"1.2.840.10008.1.2.1.99"
BYTES_A_PIXEL = 16  # four colours of 32 bits: what an inflated file may have at most


def is_dicom(content: bytes) -> bool:
    """Whether `content` begins as a DICOM file (part 10): 128 bytes, then `DICM`."""
    return content[128:132] == b"DICM"


def read(content: bytes, kind: str, largest: int) -> tuple[Stored, str]:
    """Read one DICOM image.

    The modality's rescale (or its table) is always applied: `min-max`, `percentile` and `window` work in its units, of
    CT in HU. `dtype` applies the file's own VOI table or first window, and maps the range of BitsStored where the file
    has none.

    Parameters
    ----------
    content : bytes
        The whole file.
    kind : str
        `data.intensity.kind`.
    largest : int
        Pixels above which the declared size is refused.

    Returns
    -------
    Stored
        Values [H, W]; `turned` for MONOCHROME1.
    str
        The photometric interpretation.

    Raises
    ------
    DecodeError
        pydicom is missing; the file is damaged, has several frames, or is compressed in a way that is not installed.
    """
    try:
        import pydicom
        from pydicom.errors import BytesLengthException, InvalidDicomError
    except ImportError as error:
        raise DecodeError(f"is a DICOM file, and pydicom is not installed; {INSTALL}") from error
    try:
        check_deflated(content, largest * BYTES_A_PIXEL)
        data = pydicom.dcmread(io.BytesIO(content))
        _check(data, largest)
        photometric = str(data.PhotometricInterpretation)
        if photometric.startswith("MONOCHROME"):
            values, low, high = _values(data, kind)
            return Stored(values, low, high, turned=photometric == "MONOCHROME1"), photometric
        return Stored(_colour(data), 0, 255), photometric
    except (InvalidDicomError, BytesLengthException, *DAMAGED) as error:
        raise DecodeError(f"is a DICOM file that cannot be read ({_first_line(error)})") from error


def _check(data: Any, largest: int) -> None:
    """Refuse what is not one image of a bearable size, before its pixels are unpacked."""
    if "PixelData" not in data:
        raise DecodeError("is a DICOM file without pixels")
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise DecodeError(
            f"is a DICOM file of {data.NumberOfFrames} frames; name one, such as #frame=0 behind the file, or say "
            "which are read (data.frames in a recipe, --frames elsewhere)"
        )
    grey = str(data.PhotometricInterpretation).startswith("MONOCHROME")
    if int(data.get("SamplesPerPixel", 1)) != (1 if grey else 3):
        raise DecodeError(
            f"is a DICOM file in {data.PhotometricInterpretation} of {data.SamplesPerPixel} channels; not read"
        )
    if data.Rows * data.Columns > largest:
        raise DecodeError(f"declares {data.Columns} x {data.Rows} pixels; at most {largest} are read")
    if data.file_meta.TransferSyntaxUID.is_compressed:
        _check_inner(data)


def check_deflated(content: bytes, most: int) -> None:
    """Refuse a deflated file that grows beyond `most` bytes: pydicom would inflate it whole, a thousandfold."""
    # (0002,0000), the length of the header that is never deflated, stands first: 4 bytes after tag and type.
    if DEFLATED not in content[132:4096]:
        return
    begin = 144 + int.from_bytes(content[140:144], "little")
    inflating, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), content[begin:], 0
    while rest and size <= most:
        size += len(inflating.decompress(rest, 2**20))
        rest = inflating.unconsumed_tail
    if size > most:
        raise DecodeError(f"is a deflated DICOM file of more than {most} bytes; not read")


def _check_inner(data: Any) -> None:
    """Refuse a compressed picture of another size than its file declares: the picture's own size is allocated."""
    from pydicom.encaps import get_frame

    try:
        with Image.open(io.BytesIO(get_frame(data.PixelData, 0, number_of_frames=1))) as inner:
            size = inner.size
    except UnidentifiedImageError:  # RLE, which declares none, or damaged
        return
    except Image.DecompressionBombError as error:
        raise DecodeError("is a DICOM file around a picture that declares far more pixels; not read") from error
    if size != (data.Columns, data.Rows):
        raise DecodeError(
            f"is a DICOM file that declares {data.Columns} x {data.Rows} pixels around a picture of "
            f"{size[0]} x {size[1]}; not read"
        )


def _values(data: Any, kind: str) -> tuple[np.ndarray[Any, Any], float, float]:
    """Grey values after rescale and, for `dtype`, after the file's own window; and their range."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    stored = data.pixel_array
    if stored.ndim != 2:  # pydicom counts the frames by the bytes where they are more than are declared
        raise DecodeError(f"is a DICOM file with the pixels of {len(stored)} frames; give one file an image")
    signed, bits = bool(data.PixelRepresentation), int(data.BitsStored)
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], dtype=np.float64)
    if data.get("ModalityLUTSequence"):
        ends = np.array([0, 2 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2]) - 1], dtype=np.float64)
    elif "RescaleSlope" in data and "RescaleIntercept" in data:
        ends = ends * float(data.RescaleSlope) + float(data.RescaleIntercept)
    values = apply_modality_lut(stored, data)
    if kind == "dtype":
        if data.get("VOILUTSequence"):
            ends = np.array([0, 2 ** int(data.VOILUTSequence[0].LUTDescriptor[2]) - 1], dtype=np.float64)
        # A window's ends can leave the range of its type by the rounding of a float.
        values = np.clip(apply_voi_lut(values, data), ends.min(), ends.max())
    return values, float(ends.min()), float(ends.max())


def _colour(data: Any) -> np.ndarray[Any, Any]:
    """Luma of a colour image of 8 bits."""
    if int(data.BitsAllocated) != 8:
        raise DecodeError(f"is a DICOM file in {data.PhotometricInterpretation} of {data.BitsAllocated} bits; not read")
    return np.asarray(Image.fromarray(np.ascontiguousarray(data.pixel_array)).convert("L"))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
