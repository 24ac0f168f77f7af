"""The picture files that Pillow reads, checked before and while they are unpacked."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from contrastive_cxr.data.decoding.intensity import Bytes, DecodeError, Stored, TooManyPixels
from contrastive_cxr.data.files.kinds import HEAD, PICTURES, kind_of

__all__ = ["LARGEST", "read", "stored"]

LARGEST = 2**26
"""Pixels of the largest picture that is read (8192 x 8192): a declared size is believed only up to here."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
NAMES = {"WEBP": "WebP", "JPEG2000": "JPEG 2000", "PPM": "PNM"}  # Pillow's words, where they are not the usual ones
READ = "PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000, PNM and DICOM are read, by content, not by name"
# What Pillow's readers are known to raise on damaged files.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
ORIENTATION = 274  # EXIF tag; 1 is upright
ON_ITS_SIDE = (5, 6, 7, 8)  # its values that exchange width and height
FRAMES = 100  # pictures of one TIFF that are counted: a small file can hold a million


class Picture(NamedTuple):
    """What a file holds: stored values, format, mode, and (height, width) in pixels as shown, before any reduction."""

    stored: Stored
    kind: str
    mode: str
    shape: tuple[int, int]


def read(content: bytes, frame: int | None = None, largest: int = LARGEST, side: int | None = None) -> Picture:
    """The picture of a file that Pillow reads.

    Parameters
    ----------
    content : bytes
        The whole file.
    frame : int, optional
        Which picture of several, from 0.
    largest : int
        Pixels above which the declared size is refused.
    side : int, optional
        A JPEG may come reduced to a half, a quarter or an eighth, each side no less than twice this (pixels): its
        cosine transform is then computed for fewer pixels, each the mean of those that it stands for.

    Raises
    ------
    DecodeError
        Truncated, damaged, no image, of a kind that is not read, too large, or several pictures in one file.
    """
    found = kind_of(content[:HEAD])
    known = found if found in PICTURES else ""
    try:
        if known == "PNG":
            _check_sums(content, largest)
        elif known == "WebP":  # Pillow takes memory for the whole picture when it opens it
            _check_size(_webp_size(content), largest)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image, frame, largest)
            kind, mode, size = NAMES.get(str(image.format), str(image.format)), image.mode, image.size
            if side is not None and image.format == "JPEG":
                image.draft(mode, (2 * side, 2 * side))
            found_values = stored(image)
            width, height = size[::-1] if image.getexif().get(ORIENTATION, 1) in ON_ITS_SIDE else size
            return Picture(found_values, kind, mode, (height, width))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"declares more than {LARGEST} pixels") from error
    except UnidentifiedImageError as error:
        if known:
            raise DecodeError(f"begins as {known} and is truncated, damaged or of a kind that is not read") from error
        what = (
            f"is {'an' if found[0] in 'AEIOU' else 'a'} {found} file; {READ}" if found else f"is not an image: {READ}"
        )
        raise DecodeError(what) from error
    except DAMAGED as error:
        raise DecodeError(
            f"is {known or 'an image'}, truncated or damaged; get the file again from where it came"
        ) from error


def is_deep(file: Path | io.BytesIO) -> bool:
    """Whether a picture has more than 8 bits a pixel, by its header; False where that cannot be read."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            return _many_bits(image.mode)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, *DAMAGED):
        return False


def _many_bits(mode: str) -> bool:
    return mode in ("I", "F") or mode.startswith("I;16")


def _check_sums(content: bytes, largest: int) -> None:
    """Hold every chunk of a PNG to its checksum up to the last: unpacking alone stops at the last row it wants."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        _check_size(image.size, largest)
        image.verify()


def _check(image: Image.Image, frame: int | None, largest: int) -> None:
    """Refuse what is not one picture of a bearable size, before its pixels are unpacked; go to the `frame`."""
    _check_size(image.size, largest)
    if frame is not None:
        try:
            image.seek(frame)
        except EOFError as error:
            raise DecodeError(f"has no picture {frame}; its pictures are counted from 0") from error
        return _check_size(image.size, largest)
    frames = _frames(image)
    if frames > 1:
        raise DecodeError(
            f"holds {frames}{' or more' * (frames >= FRAMES)} pictures; name one, such as #frame=0 behind the file, or "
            "say which are read (data.frames in a recipe, --frames elsewhere)"
        )
    return None


def _check_size(size: tuple[int, int], largest: int) -> None:
    width, height = size
    if width * height > largest:
        raise TooManyPixels(f"declares {width} x {height} pixels; at most {largest} are read")


def _webp_size(content: bytes) -> tuple[int, int]:
    """Width and height that a WebP file declares (RFC 9649, 2.5 to 2.7)."""
    kind, body = content[12:16], content[20:30]
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _frames(image: Image.Image) -> int:
    """How many pictures a file holds; those of a TIFF are counted up to `FRAMES`."""
    if image.format == "MPO":  # a camera's JPEG with previews behind the picture
        return 1
    if image.format != "TIFF":
        return int(getattr(image, "n_frames", 1))
    frames = 1
    try:
        while frames < FRAMES:
            image.seek(frames)
            frames += 1
    except EOFError:
        pass
    image.seek(0)
    return frames


def stored(image: Image.Image) -> Stored:
    """Grey values of an open picture, in its own depth, upright; of more than 8 bits `container` is said."""
    tags = getattr(image, "tag_v2", {})
    image.load()  # a PNG may say behind its pixels how it is turned
    # each copy of a large picture costs a tenth of its decoding
    upright = image if image.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    if _many_bits(upright.mode):
        return _deep(upright, tags)
    if upright.mode == "L" and tags.get(SAMPLE_FORMAT) == (2,):
        return Stored(np.asarray(upright).view(np.int8), -128, 127)
    if upright.has_transparency_data:
        return Stored(_over_black(upright.convert("RGBA")), 0, 255)
    if upright.mode not in ("1", "L", "RGB"):
        upright = upright.convert("RGB")
    return Stored(np.asarray(upright if upright.mode == "L" else upright.convert("L")), 0, 255)


def _deep(image: Image.Image, tags: Any) -> Stored:
    """Values of more than 8 bits and the range of their type, of which Pillow's mode says little."""
    values: npt.NDArray[Any] = np.asarray(image)
    # Pillow inverts WhiteIsZero up to 8 bits, and leaves it above.
    turned = tags.get(PHOTOMETRIC) == 0
    if image.mode == "F":
        return Stored(values, 0.0, 1.0, turned, container=True)
    if image.mode == "I" and tags:
        bits = tags.get(BITS_PER_SAMPLE, (32,))[0]
        if tags.get(SAMPLE_FORMAT, (1,)) == (2,):
            return Stored(values, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, turned, container=True)
        return Stored(values.view(np.uint32), 0, 2**bits - 1, turned, container=True)
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    return Stored(values.astype(np.uint16), 0, 2**bits - 1, turned, container=True)


def _over_black(image: Image.Image) -> Bytes:
    """Luma of RGBA over black; an alpha of 0 everywhere says nothing about the picture and is ignored."""
    grey = np.asarray(image.convert("RGB").convert("L"))
    alpha = np.asarray(image.getchannel("A"))
    if not alpha.any() or alpha.min() == 255:
        return grey
    shown: Bytes = ((grey.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    return shown
