"""DICOM through pydicom, which is optional and is imported only where a DICOM file is met."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from contrastive_cxr.data.decoding.intensity import DecodeError, Stored, TooManyPixels
from contrastive_cxr.data.dicom import codecs, earlier_decoding, grey, tags
from contrastive_cxr.recipe import schema

INSTALL = "pip install 'contrastive_cxr[dicom]'"
# What pydicom is known to raise on damaged files, besides errors of its own.
DAMAGED = (
    OSError, EOFError, ValueError, AttributeError, KeyError, TypeError, IndexError, RuntimeError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
DEFLATED = b"1.2.840.10008.1.2.1.99"
NEEDED = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)
LUMA = np.array([0.299, 0.587, 0.114])
BYTES_A_PIXEL = 16  # four colours of 32 bits: what an inflated file may have at most


def is_dicom(content: bytes) -> bool:
    """Whether `content` begins as a DICOM file (part 10): 128 bytes, then `DICM`."""
    return content[128:132] == b"DICM"


def read(content: bytes, setting: schema.Intensity, largest: int, decoding: int = 2) -> tuple[Stored, str]:
    """Read one DICOM image.

    The modality's rescale (or its table) is always applied: `min-max`, `percentile` and `window` work in its units, of
    CT in HU. `auto` and `dtype` apply the file's own VOI table or first window, and map the range of BitsStored where
    the file has none; `auto` gives CT in HU without a window `setting.ct`.

    Parameters
    ----------
    content : bytes
        The whole file.
    setting : schema.Intensity
        `data.intensity`.
    largest : int
        Pixels above which the declared size is refused.
    decoding : int
        `data.decoding`.

    Returns
    -------
    Stored
        Values [H, W]; `turned` for MONOCHROME1.
    str
        The photometric interpretation.

    Raises
    ------
    DecodeError
        pydicom is missing; the file is damaged, has several frames, is compressed in a way that has no decoder here, or
        an attribute that is needed has a value that cannot be.
    """
    try:
        import pydicom
        from pydicom.errors import BytesLengthException, InvalidDicomError
    except ImportError as error:
        raise DecodeError(f"is a DICOM file, and pydicom is not installed; {INSTALL}") from error
    compressed = ""
    try:
        check_deflated(content, largest * BYTES_A_PIXEL)
        data = pydicom.dcmread(io.BytesIO(content))
        _check(data, largest)
        compressed = codecs.kind(data)
        data = codecs.prepared(data, content)
        photometric = str(data.PhotometricInterpretation)
        if not photometric.startswith("MONOCHROME"):
            return _colour(data), photometric
        _check_one_frame(data)
        if decoding == 1:
            return earlier_decoding.grey(data, setting.kind), photometric
        return grey.grey(data, setting), photometric
    except (InvalidDicomError, BytesLengthException, *DAMAGED) as error:
        raise DecodeError(
            f"is a DICOM file{compressed}, that is damaged or contradicts itself; get it again from where it came"
        ) from error


def _check(data: Any, largest: int) -> None:
    """Refuse what is not one image of a bearable size, before its pixels are unpacked."""
    if "PixelData" not in data:
        raise DecodeError("is a DICOM file without pixels")
    missing = [tags.named(name) for name in NEEDED if data.get(name) in (None, "")]
    if missing:
        raise DecodeError(f"is a DICOM file that lacks {', '.join(missing)}, so its pixels cannot be read")
    if "TransferSyntaxUID" not in data.file_meta:
        raise DecodeError("is a DICOM file that does not say its Transfer Syntax, so its pixels cannot be read")
    if tags.whole(data, "NumberOfFrames", 1) > 1:
        raise DecodeError(
            f"is a DICOM file of {data.NumberOfFrames} frames; name one, such as #frame=0 behind the file, or say "
            "which are read (data.frames in a recipe, --frames elsewhere)"
        )
    photometric = data.PhotometricInterpretation = tags.word(data, "PhotometricInterpretation")
    if int(data.SamplesPerPixel) != (1 if photometric.startswith(("MONOCHROME", "PALETTE")) else 3):
        raise DecodeError(f"is a DICOM file in {photometric} of {data.SamplesPerPixel} channels; not read")
    if data.Rows * data.Columns > largest:
        raise TooManyPixels(f"declares {data.Columns} x {data.Rows} pixels; at most {largest} are read")
    _check_length(data)
    codecs.check(data)


def _check_length(data: Any) -> None:
    """Refuse pixels that are not compressed and fewer than declared."""
    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated:
        return
    samples = 2 if data.PhotometricInterpretation == "YBR_FULL_422" else int(data.SamplesPerPixel)
    declared = (int(data.Rows) * int(data.Columns) * samples * int(data.BitsAllocated) + 7) // 8
    if len(data.PixelData) < declared:
        raise DecodeError(
            f"is a DICOM file that is cut short: it declares {declared} bytes of pixels and holds "
            f"{len(data.PixelData)}; get it again from where it came"
        )


def _check_one_frame(data: Any) -> None:
    """Refuse pixels of several frames: pydicom counts them by the bytes where they are more than are declared."""
    stored = data.pixel_array  # kept by pydicom
    if stored.ndim != 2:
        raise DecodeError(f"is a DICOM file with the pixels of {len(stored)} frames; give one file an image")


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
        raise TooManyPixels(f"is a deflated DICOM file of more than {most} bytes; not read")


def _colour(data: Any) -> Stored:
    """Luma of a colour image (ITU-R 601), in its own depth."""
    from pydicom.pixels.processing import apply_color_lut

    colours, bits = data.pixel_array, int(data.BitsStored)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(colours, data)
        bits = colours.dtype.itemsize * 8
    if colours.ndim != 3:
        raise DecodeError(f"is a DICOM file with the pixels of {len(colours)} frames; give one file an image")
    if colours.dtype == np.uint8:
        return Stored(np.asarray(Image.fromarray(np.ascontiguousarray(colours)).convert("L")), 0, 255)
    return Stored(colours @ LUMA, 0, 2.0**bits - 1)
