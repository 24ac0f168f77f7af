"""Picture files written byte by byte: kinds that Pillow reads and does not write, and files that lie."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row and column, and steps down and across, of the passes of an interlaced PNG (PNG 1.2, 8.2)."""


def by_pillow(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def packed(values: NDArray[np.unsignedinteger[Any]], bits: int) -> bytes:
    """Rows of numbers [H, W] of `bits` bits, each row from a new byte on, high bits first."""
    ones = (values.astype(np.uint32)[..., None] >> np.arange(bits)[::-1].astype(np.uint32)) & 1
    return np.packbits(ones.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def png(values: NDArray[Any], bits: int, *, interlaced: bool = False, before: bytes = b"", apart: int = 0) -> bytes:
    """A grey PNG of numbers [H, W] of 1, 2, 4, 8 or 16 bits.

    `before`: chunks that stand before the pixels; `apart`: the last bytes of the pixels are in a chunk of their own.
    """
    parts = [values[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [values]
    rows = b"".join(b"\0" + packed(row[None], bits) for part in parts if part.size for row in part)
    height, width = values.shape
    data = zlib.compress(rows)
    end = len(data) - apart
    pixels = chunk(b"IDAT", data[:end]) + (chunk(b"IDAT", data[end:]) if apart else b"")
    return _png(width, height, bits, pixels, interlaced, before)


def _png(width: int, height: int, bits: int, pixels: bytes, interlaced: bool = False, before: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + pixels + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def tiff(data: bytes, width: int, height: int, bits: int, *, form: int = 1, order: str = "<", white: int = 0) -> bytes:
    """A grey TIFF of one strip; `form` 1 unsigned, 2 signed, 3 float; `white` 1: high numbers are dark."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1 - white), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(data)), (339, form)]
    table = struct.pack(order + "H", len(tags))
    table += b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags) + b"\0\0\0\0"
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return start + struct.pack(order + "I", 8 + len(data)) + data + table


def bombs(width: int, height: int) -> dict[str, bytes]:
    """Small files of each kind that declare `width` x `height` pixels and hold next to none."""
    small = Image.new("L", (8, 8), 90)
    bmp = bytearray(by_pillow(small, "BMP"))
    bmp[18:26] = struct.pack("<ii", width, height)
    gif = bytearray(by_pillow(small, "GIF"))
    gif[6:10] = struct.pack("<HH", width, height)
    jpeg = bytearray(by_pillow(small, "JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", height, width)
    # VP8L: 14 bits each of width and height less 1, of which 16384 is the most (RFC 9649).
    webp = bytearray(by_pillow(small, "WEBP", lossless=True))
    place = webp.index(b"VP8L") + 9
    webp[place : place + 4] = struct.pack("<I", (min(width, 16384) - 1) | (min(height, 16384) - 1) << 14)
    return {
        "PNG": _png(width, height, 8, chunk(b"IDAT", zlib.compress(b"\0"))),
        "JPEG": bytes(jpeg),
        "TIFF": tiff(b"\0" * 64, width, height, 8),
        "BMP": bytes(bmp),
        "GIF": bytes(gif),
        "WebP": bytes(webp),
    }


def turned(upright: Grey, orientation: int) -> Grey:
    """What a camera stores, so that turning it by the tag gives `upright` (TIFF 6.0, tag 274)."""
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(stored[orientation])


def dicom(pixels: NDArray[Any], syntax: str = "1.2.840.10008.1.2.1", data: bytes | None = None, **tags: Any) -> bytes:
    """A DICOM file of grey pixels [H, W]; `data`: its pixel data, where they are not the pixels as they lie."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, UID("1.2.3")
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    found.SOPClassUID, found.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    found.Rows, found.Columns = pixels.shape
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = pixels.itemsize * 8
    found.HighBit, found.PixelRepresentation = found.BitsStored - 1, 0
    found.PixelData = pixels.tobytes() if data is None else encapsulate([data])
    found["PixelData"].VR = "OB" if pixels.itemsize == 1 or data is not None else "OW"
    for name, value in tags.items():
        setattr(found, name, value)
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
