"""One image file becomes one grey uint8 picture and its facts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from contrastive_cxr.data import dicom, dicom_frames, filters, intensity, pictures, places, reading, volumes
from contrastive_cxr.data.intensity import Bytes, DecodeError, Stored
from contrastive_cxr.data.kinds import HEAD, VOLUMES, kind_of
from contrastive_cxr.data.pictures import LARGEST
from contrastive_cxr.recipe import schema

__all__ = ["LARGEST", "VERSION", "DecodeError", "Decoded", "Facts", "decode", "fit_square", "grey_of"]

VERSION = 1
"""Raised when the same file and settings give other pixels; caches of another version are left aside."""


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


def decode(content: bytes | Path | str, settings: schema.Data) -> Decoded:
    """Decode one picture of a file, known by its content and never by its name.

    In order: EXIF orientation, grey (ITU-R 601 luma; alpha over black, ignored where it is 0 everywhere), border crop,
    `intensity`, `denoise`, `equalise`.

    Parameters
    ----------
    content : bytes, Path or str
        The file's content, or where it is: an address of `places`, which may name a frame or a slice.
    settings : schema.Data
        `border_crop`, `intensity`, `denoise` and `equalise` are read.

    Returns
    -------
    Decoded
        uint8 [H, W] at the file's size less the border, and its facts. The digest of a frame or slice is that of the
        file's digest and its number.

    Raises
    ------
    DecodeError
        Missing, empty, truncated, no image, too large, several pictures in one file, or values that are no intensities.
    """
    if isinstance(content, bytes):
        return _decoded(content, settings)
    try:
        return _at(places.of_path(content), settings)
    except DecodeError as error:
        raise DecodeError(error.reason, str(content)) from error


def _at(address: str, settings: schema.Data) -> Decoded:
    """The picture at an address."""
    file, inside = places.split(address)
    if inside is None:
        content = reading.content(file)
        if kind_of(content[:HEAD]) in VOLUMES:
            raise DecodeError(volumes.refusal(content))
        return _decoded(content, settings)
    if kind_of(reading.content(file, HEAD)) in VOLUMES:
        volume = volumes.held(file)
        stored, size = volumes.picture(volume, inside), volume.size
        kind, mode, digest = volume.kind, str(volume.values.dtype), volume.digest
    else:
        content, digest = reading.held(file)
        stored, kind, mode = _frame(content, inside, settings)
        size = len(content)
    height, width = stored.values.shape
    facts = Facts(kind, mode, width, height, size, hashlib.sha256(f"{digest}{inside}".encode()).hexdigest())
    return Decoded(_finish(stored, settings), facts)


def _frame(content: bytes, inside: places.Inside, settings: schema.Data) -> tuple[Stored, str, str]:
    """Stored values of one picture of a file that holds several, and the file's format and mode."""
    if inside.way != places.FRAME:
        raise DecodeError(f"is no volume, so it has no {inside.way} slices; #frame= names one of its pictures")
    if not dicom.is_dicom(content):
        return pictures.read(content, inside.number)
    stored, mode = dicom.read(dicom_frames.alone(content, inside.number), settings.intensity.kind, LARGEST)
    return stored, "DICOM", mode


def _decoded(content: bytes, settings: schema.Data) -> Decoded:
    """The one picture of a file's content."""
    if not content:
        raise DecodeError("is empty (0 bytes)")
    if dicom.is_dicom(content):
        kind = "DICOM"
        stored, mode = dicom.read(content, settings.intensity.kind, LARGEST)
    else:
        stored, kind, mode = pictures.read(content)
    height, width = stored.values.shape
    facts = Facts(kind, mode, width, height, len(content), hashlib.sha256(content).hexdigest())
    return Decoded(_finish(stored, settings), facts)


def grey_of(image: Image.Image, settings: schema.Data) -> Bytes:
    """The same for an open picture: uint8 [H, W], with the same settings and errors as `decode`."""
    return _finish(pictures.stored(image), settings)


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
