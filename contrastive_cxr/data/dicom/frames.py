"""One frame of a DICOM file that holds several, as a file of its own."""

from __future__ import annotations

import copy
import io
from typing import Any

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.dicom import reader


def alone(content: bytes, number: int) -> bytes:
    """A DICOM file with one frame of another, its functional groups those of the frame (PS3.3 C.7.6.16).

    Raises
    ------
    DecodeError
        No such frame, a damaged file, or pydicom is missing.
    """
    try:
        import pydicom
        from pydicom.encaps import encapsulate, get_frame
        from pydicom.errors import BytesLengthException, InvalidDicomError
    except ImportError as error:
        raise DecodeError(f"is a DICOM file, and pydicom is not installed; {reader.INSTALL}") from error
    try:
        data = pydicom.dcmread(io.BytesIO(content))
        count = int(data.get("NumberOfFrames") or 1)
        if "PixelData" not in data:
            raise DecodeError("is a DICOM file without pixels")
        if number >= count:
            raise DecodeError(f"has {count} frames, 0 to {count - 1}; there is no frame {number}")
        if data.file_meta.TransferSyntaxUID.is_compressed and not data.file_meta.TransferSyntaxUID.is_deflated:
            pixels = encapsulate([get_frame(data.PixelData, number, number_of_frames=count)])
        else:
            pixels = _plain(data, number, count)
        return _written(data, number, pixels)
    except (InvalidDicomError, BytesLengthException, *reader.DAMAGED) as error:
        raise DecodeError("is a DICOM file of several frames that is truncated or damaged") from error


def _plain(data: Any, number: int, count: int) -> bytes:
    """The bytes of an uncompressed frame, of an even length."""
    bits = int(data.Rows) * int(data.Columns) * int(data.get("SamplesPerPixel", 1)) * int(data.BitsAllocated)
    if bits % 8 or len(data.PixelData) < count * (bits // 8):
        raise DecodeError("is a DICOM file with fewer pixels than its frames need, or of 1 bit a pixel; not read")
    part = data.PixelData[number * (bits // 8) : (number + 1) * (bits // 8)]
    return bytes(part) + b"\0" * (len(part) % 2)


def _written(data: Any, number: int, pixels: bytes) -> bytes:
    """The file with these pixels alone, and the functional group of the frame."""
    single = copy.copy(data)
    single.NumberOfFrames = 1
    single["PixelData"] = copy.copy(data["PixelData"])
    single["PixelData"].value = pixels
    for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if name in single:
            del single[name]
    groups = data.get("PerFrameFunctionalGroupsSequence")
    if groups:
        single.PerFrameFunctionalGroupsSequence = [groups[number]]
    buffer = io.BytesIO()
    single.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
