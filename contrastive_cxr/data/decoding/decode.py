"""One image file becomes one grey uint8 picture and its facts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from contrastive_cxr.data.decoding import filters, intensity, picture_files, volumes
from contrastive_cxr.data.decoding.intensity import Bytes, DecodeError, Stored
from contrastive_cxr.data.decoding.picture_files import LARGEST, Picture
from contrastive_cxr.data.dicom import frames, reader
from contrastive_cxr.data.files import addresses, reading
from contrastive_cxr.data.files.kinds import HEAD, VOLUMES, kind_of
from contrastive_cxr.recipe import schema

__all__ = ["LARGEST", "VERSION", "DecodeError", "Decoded", "Facts", "decode", "fit_square", "grey_of"]

VERSION = 2
"""Raised when the same file and settings give other pixels; caches of another version are left aside."""


@dataclass(frozen=True)
class Facts:
    """What is known of a file besides its pixels.

    Attributes
    ----------
    format : str
        PNG, JPEG, MPO, TIFF, BMP, GIF, WebP, JPEG 2000, PNM or DICOM, by content.
    mode : str
        Pillow's mode as stored (L, RGB, RGBA, I;16, ...), or DICOM's photometric interpretation.
    width, height : int
        Pixels as shown: after the EXIF orientation, before any crop.
    bytes : int
        Size of the file.
    digest : str
        SHA-256 of the file's content, hexadecimal.
    grey_low, grey_high : float
        The stored values that became 0 and 255; of DICOM after its rescale, of CT in HU.
    squeezed : int
        Grey levels that are left, where they are fewer than 64 and the file tells more apart; else 0.
    """

    format: str
    mode: str
    width: int
    height: int
    bytes: int
    digest: str
    grey_low: float
    grey_high: float
    squeezed: int


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


def decode(
    content: bytes | Path | str, settings: schema.Data, source: str = "", *, frame: int | None = None,
    largest: int = LARGEST, side: int | None = None,
) -> Decoded:  # fmt: skip
    """Decode one picture of a file, known by its content and never by its name.

    In order: EXIF orientation, grey (ITU-R 601 luma; alpha over black, ignored where it is 0 everywhere), border crop,
    `intensity`, `denoise`, `equalise`.

    Parameters
    ----------
    content : bytes, Path or str
        The file's content, or where it is: an address of `places`, which may name a frame or a slice.
    settings : schema.Data
        `border_crop`, `intensity`, `denoise`, `equalise` and `decoding` are read.
    source : str
        Name of the source that the file is of, of which `intensity.ranges` may hold the range.
    frame : int, optional
        Of bytes that hold several pictures: which, from 0. An address names it itself.
    largest : int
        Of bytes: pixels above which the declared size is refused, at most `LARGEST`.
    side : int, optional
        Side of the square that the picture is wanted for, pixels. From `decoding` 3 on a JPEG may then come reduced to
        no less than twice that (`picture_files.read`), unless a filter (`denoise`, `equalise`) is to see its pixels.

    Returns
    -------
    Decoded
        uint8 [H, W] at the file's size (or as `side` allows) less the border, and its facts. The digest of a frame or
        slice is that of the file's digest and its number.

    Raises
    ------
    DecodeError
        Missing, empty, truncated, no image, too large, several pictures in one file, or values that are no intensities.
    """
    if settings.decoding < 3 or (settings.denoise, settings.equalise) != ("none", "none"):
        side = None
    if isinstance(content, bytes):
        return _decoded(_of_bytes(content, settings, frame, largest, side), settings, source)
    try:
        return _decoded(_at(addresses.of_path(content), settings, side), settings, source)
    except DecodeError as error:
        raise DecodeError(error.reason, str(content)) from error


class _Read(NamedTuple):
    """A picture, and what is known of its file: bytes, digest."""

    picture: Picture
    size: int
    digest: str


def _at(address: str, settings: schema.Data, side: int | None = None) -> _Read:
    """The picture at an address."""
    file, inside = addresses.split(address)
    if inside is None:
        content = reading.content(file)
        if kind_of(content[:HEAD]) in VOLUMES:
            raise DecodeError(volumes.refusal(content))
        return _of_file(content, settings, side=side)
    if kind_of(reading.content(file, HEAD)) in VOLUMES:
        volume = volumes.held(file)
        stored, size = volumes.picture(volume, inside, settings.intensity), volume.size
        picture, digest = _whole(stored, volume.kind, str(volume.values.dtype)), volume.digest
    else:
        content, digest = reading.held(file)
        picture, size = _frame(content, inside, settings), len(content)
    return _Read(picture, size, hashlib.sha256(f"{digest}{inside}".encode()).hexdigest())


def _whole(stored: Stored, kind: str, mode: str) -> Picture:
    """A picture of the size of its values."""
    height, width = stored.values.shape
    return Picture(stored, kind, mode, (height, width))


def _of_bytes(content: bytes, settings: schema.Data, frame: int | None, largest: int, side: int | None) -> _Read:
    """The picture of a file's content, or one of its pictures; with the digest that the same file has at an address."""
    if frame is None:
        return _of_file(content, settings, largest, side)
    inside = addresses.Inside(addresses.FRAME, frame)
    picture = _frame(content, inside, settings, largest)
    digest = hashlib.sha256(content).hexdigest()
    return _Read(picture, len(content), hashlib.sha256(f"{digest}{inside}".encode()).hexdigest())


def _frame(content: bytes, inside: addresses.Inside, settings: schema.Data, largest: int = LARGEST) -> Picture:
    """One picture of a file that holds several."""
    if inside.way != addresses.FRAME:
        raise DecodeError(f"is no volume, so it has no {inside.way} slices; #frame= names one of its pictures")
    if not reader.is_dicom(content):
        return picture_files.read(content, inside.number, largest)
    alone = frames.alone(content, inside.number)
    stored, mode = reader.read(alone, settings.intensity, largest, settings.decoding)
    return _whole(stored, "DICOM", mode)


def _of_file(content: bytes, settings: schema.Data, largest: int = LARGEST, side: int | None = None) -> _Read:
    """The one picture of a file's content."""
    if not content:
        raise DecodeError("is empty (0 bytes)")
    if reader.is_dicom(content):
        stored, mode = reader.read(content, settings.intensity, largest, settings.decoding)
        picture = _whole(stored, "DICOM", mode)
    else:
        picture = picture_files.read(content, largest=largest, side=side)
    return _Read(picture, len(content), hashlib.sha256(content).hexdigest())


def grey_of(image: Image.Image, settings: schema.Data) -> Bytes:
    """The same for an open picture: uint8 [H, W], with the same settings and errors as `decode`."""
    return filters.clean(_mapped(picture_files.stored(image), settings).grey, settings)


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


def stored_of(address: str) -> Stored:
    """The stored values of a picture that is no DICOM; `DecodeError` where it cannot be read."""
    return _at(address, schema.Data()).picture.stored


def _decoded(read: _Read, settings: schema.Data, source: str) -> Decoded:
    """The picture in 8 bits, and its facts."""
    stored, kind, mode, (height, width) = read.picture
    made = _mapped(stored, settings, source)
    facts = Facts(kind, mode, width, height, read.size, read.digest, made.low, made.high, made.squeezed)
    return Decoded(filters.clean(made.grey, settings), facts)


def _mapped(stored: Stored, settings: schema.Data, source: str = "") -> intensity.Mapped:
    """The picture less its border, in 8 bits."""
    share = settings.border_crop
    padding = None if stored.padding is None else filters.crop_border(stored.padding, share)
    inside = stored._replace(values=filters.crop_border(stored.values, share), padding=padding)
    return intensity.mapped(inside, settings.intensity, source)
