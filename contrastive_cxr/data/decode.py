"""One image file becomes one grey uint8 picture and its facts."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from contrastive_cxr.data import dicom, filters, intensity
from contrastive_cxr.data.intensity import Bytes, DecodeError, Stored
from contrastive_cxr.recipe import schema

__all__ = ["LARGEST", "VERSION", "DecodeError", "Decoded", "Facts", "decode", "fit_square", "grey_of"]

VERSION = 1
"""Raised when the same file and settings give other pixels; caches of another version are left aside."""

LARGEST = 2**26
"""Pixels of the largest picture that is read (8192 x 8192): a declared size is believed only up to here."""

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
SIGNATURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP"}
# What Pillow's readers are known to raise on damaged files.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF tags


@dataclass(frozen=True)
class Facts:
    """What is known of a file besides its pixels.

    Attributes
    ----------
    format : str
        PNG, JPEG, MPO, TIFF, BMP or DICOM, by content.
    mode : str
        Pillow's mode as stored (L, RGB, RGBA, I;16, ...), or DICOM's photometric interpretation.
    width, height : int
        Pixels as shown: after the EXIF orientation, before any crop.
    bytes : int
        Size of the file.
    digest : str
        SHA-256 of the file's content, hexadecimal.
    """

    format: str
    mode: str
    width: int
    height: int
    bytes: int
    digest: str


class Decoded(NamedTuple):
    """A picture, uint8 [H, W] at its own size, and its facts."""

    grey: Bytes
    facts: Facts


class Box(NamedTuple):
    """Pixels of padding at each side of a square."""

    left: int
    top: int
    right: int
    bottom: int


def decode(content: bytes | Path, settings: schema.Data) -> Decoded:
    """Decode one PNG, JPEG, TIFF, BMP or DICOM, known by its content and never by its name.

    In order: EXIF orientation, grey (ITU-R 601 luma; alpha over black, ignored where it is 0 everywhere), border crop,
    `intensity`, `denoise`, `equalise`.

    Parameters
    ----------
    content : bytes or Path
        The file's content, or where it is.
    settings : schema.Data
        `border_crop`, `intensity`, `denoise` and `equalise` are read.

    Returns
    -------
    Decoded
        uint8 [H, W] at the file's size less the border, and its facts.

    Raises
    ------
    DecodeError
        Missing, empty, truncated, no image, too large, several pictures in one file, or values that are no intensities.
    """
    if isinstance(content, Path):
        try:
            return decode(_content(content), settings)
        except DecodeError as error:
            raise DecodeError(error.reason, str(content)) from error
    if not content:
        raise DecodeError("is empty (0 bytes)")
    if dicom.is_dicom(content):
        kind = "DICOM"
        stored, mode = dicom.read(content, settings.intensity.kind, LARGEST)
    else:
        stored, kind, mode = _read_picture(content)
    height, width = stored.values.shape
    facts = Facts(kind, mode, width, height, len(content), hashlib.sha256(content).hexdigest())
    return Decoded(_finish(stored, settings), facts)


def grey_of(image: Image.Image, settings: schema.Data) -> Bytes:
    """The same for an open picture: uint8 [H, W], with the same settings and errors as `decode`."""
    return _finish(_stored(image), settings)


def fit_square(grey: Bytes, size: int, resize: str) -> tuple[Bytes, Box]:
    """Make a picture square, antialiased (a triangle filter, which never leaves the range of its neighbours).

    Parameters
    ----------
    grey : uint8 [H, W]
    size : int
        Side of the square, pixels.
    resize : str
        `stretch`; `pad` (aspect kept, zeros around, centred); `crop` (the largest centred square).

    Returns
    -------
    uint8 [size, size]
    Box
        The padding, all 0 but for `pad`.
    """
    height, width = grey.shape
    if resize == "pad":
        scale = size / max(height, width)
        tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (size - tall) // 2, (size - wide) // 2
        square = np.zeros((size, size), np.uint8)
        square[top : top + tall, left : left + wide] = _resized(grey, wide, tall)
        return square, Box(left, top, size - wide - left, size - tall - top)
    if resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        grey = grey[top : top + side, left : left + side]
    return _resized(grey, size, size), Box(0, 0, 0, 0)


def _resized(grey: Bytes, width: int, height: int) -> Bytes:
    picture = Image.fromarray(np.ascontiguousarray(grey))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def _finish(stored: Stored, settings: schema.Data) -> Bytes:
    values = filters.crop_border(stored.values, settings.border_crop)
    return filters.clean(intensity.to_bytes(stored._replace(values=values), settings.intensity), settings)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DecodeError("does not exist") from error
    except OSError as error:
        raise DecodeError(f"cannot be opened ({error.strerror})") from error


def _read_picture(content: bytes) -> tuple[Stored, str, str]:
    """Stored values, format and mode of a file that Pillow reads."""
    known = next((name for start, name in SIGNATURES.items() if content.startswith(start)), "")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check(image)
            kind, mode = str(image.format), image.mode
            return _stored(image), kind, mode
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError(f"declares more than {LARGEST} pixels") from error
    except UnidentifiedImageError as error:
        if known:
            raise DecodeError(f"begins as {known} and is truncated, damaged or of a kind that is not read") from error
        raise DecodeError(
            "is not an image: PNG, JPEG, TIFF, BMP and DICOM are read, by content, not by name"
        ) from error
    except DAMAGED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DecodeError(f"is {known or 'an image'}, truncated or damaged ({reason})") from error


def _check(image: Image.Image) -> None:
    """Refuse what is not one picture of a bearable size, before its pixels are unpacked."""
    width, height = image.size
    if width * height > LARGEST:
        raise DecodeError(f"declares {width} x {height} pixels; at most {LARGEST} are read")
    frames = getattr(image, "n_frames", 1)
    # MPO is a camera's JPEG with previews behind the picture.
    if frames > 1 and image.format != "MPO":
        raise DecodeError(f"holds {frames} pictures; give one file an image")


def _stored(image: Image.Image) -> Stored:
    """Grey values of a picture, in its own depth, upright."""
    tags = getattr(image, "tag_v2", {})
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        return _deep(upright, tags)
    if upright.mode == "L" and tags.get(SAMPLE_FORMAT) == (2,):
        return Stored(np.asarray(upright).view(np.int8), -128, 127)
    if upright.has_transparency_data:
        return Stored(_over_black(upright.convert("RGBA")), 0, 255)
    if upright.mode not in ("1", "L", "RGB"):
        upright = upright.convert("RGB")
    return Stored(np.asarray(upright.convert("L")), 0, 255)


def _deep(image: Image.Image, tags: Any) -> Stored:
    """Values of more than 8 bits and the range of their type, of which Pillow's mode says little."""
    values: npt.NDArray[Any] = np.asarray(image)
    # Pillow inverts WhiteIsZero up to 8 bits, and leaves it above.
    turned = tags.get(PHOTOMETRIC) == 0
    if image.mode == "F":
        return Stored(values, 0.0, 1.0, turned)
    if image.mode == "I" and tags:
        bits = tags.get(BITS_PER_SAMPLE, (32,))[0]
        if tags.get(SAMPLE_FORMAT, (1,)) == (2,):
            return Stored(values, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, turned)
        return Stored(values.view(np.uint32), 0, 2**bits - 1, turned)
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    return Stored(values.astype(np.uint16), 0, 2**bits - 1, turned)


def _over_black(image: Image.Image) -> Bytes:
    """Luma of RGBA over black; an alpha of 0 everywhere says nothing about the picture and is ignored."""
    grey = np.asarray(image.convert("RGB").convert("L"))
    alpha = np.asarray(image.getchannel("A"))
    if not alpha.any() or alpha.min() == 255:
        return grey
    shown: Bytes = ((grey.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)
    return shown
