"""Volumes of NIfTI and NRRD files as slices; nibabel and pynrrd are optional and are imported where there is one.

A slice is shown as DICOM shows it: axial with the patient's right at the left and the front at the top, coronal with
the right at the left and the head at the top, sagittal with the front at the left and the head at the top. Slices are
counted from 0: axial ones from the feet, coronal ones from the front, sagittal ones from the patient's right.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import threading
import zlib
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrastive_cxr.data.decoding.intensity import DecodeError, Stored
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import AXES, Inside
from contrastive_cxr.data.files.kinds import HEAD, VOLUMES, kind_of
from contrastive_cxr.recipe import schema

INSTALL = "pip install 'contrastive_cxr[volumes]'"
LARGEST_VOLUME = 2**31
"""Bytes of the largest unpacked volume: 512 x 512 x 2,000 voxels of 32 bits."""
AIR = -500.0
"""A volume with values below this is a CT in Hounsfield units: air is -1000, nothing else in them is so low."""
_WAY = {name: number for number, name in zip((2, 1, 0), AXES, strict=True)}
_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, OverflowError, zlib.error)
_lock = threading.Lock()


class Volume(NamedTuple):
    """A volume in memory.

    Attributes
    ----------
    values : [x, y, z]
        x grows to the patient's left, y to the back, z to the head (LPS).
    low, high : float
        Least and greatest value.
    kind : str
        NIfTI or NRRD.
    size : int
        Bytes of the file.
    digest : str
        SHA-256 of the file.
    """

    values: npt.NDArray[Any]
    low: float
    high: float
    kind: str
    size: int
    digest: str


def is_volume(file: str) -> bool:
    """Whether a file is a volume, by its first bytes."""
    try:
        return kind_of(reading.content(file, HEAD)) in VOLUMES
    except DecodeError:
        return False


def count(file: str, axis: str) -> int:
    """How many slices a volume has along an axis; errors as `read`."""
    return int(held(file).values.shape[_WAY[axis]])


def picture(volume: Volume, inside: Inside, setting: schema.Intensity) -> Stored:
    """One slice as a stored picture [H, W], a copy; its range is `setting.ct` of a CT in HU, else that of the volume.

    Raises
    ------
    DecodeError
        There is no such slice.
    """
    if inside.way not in _WAY:
        raise DecodeError(
            f"is {_an(volume.kind)} volume, whose slices are #axial=, #coronal= or #sagittal=, not {inside}"
        )
    there = volume.values.shape[_WAY[inside.way]]
    if inside.number >= there:
        raise DecodeError(f"has {there} {inside.way} slices, 0 to {there - 1}; there is no slice {inside.number}")
    plane = np.take(volume.values, inside.number, axis=_WAY[inside.way])
    if inside.way != "axial":
        plane = plane[:, ::-1]  # the head at the top
    low, high = volume.low, volume.high
    if low < AIR:
        centre, width = setting.ct_window
        low, high = centre - width / 2, centre + width / 2
    return Stored(np.ascontiguousarray(plane.T), low, high)


def refusal(content: bytes) -> str:
    """Why a volume is not one picture: what is wrong with it, else how one names its slices."""
    try:
        there = read(content).values.shape[2]
    except DecodeError as error:
        return error.reason
    return (
        f"is a volume of {there} axial slices; name one, such as #axial={there // 2} behind the file, or say which are "
        "read (data.frames in a recipe, --frames elsewhere)"
    )


def held(file: str) -> Volume:
    """A volume, kept while its slices are read one after the other; errors as `read`."""
    with _lock:  # several threads want the same volume at the same time
        return _held(file, reading.stamp(file))


@lru_cache(maxsize=2)
def _held(file: str, when: reading.Stamp) -> Volume:
    return read(reading.content(file))


def read(content: bytes) -> Volume:
    """A volume from the content of its file.

    Raises
    ------
    DecodeError
        The library is missing; the file is damaged, has no orientation, not three dimensions, or colours.
    """
    kind = kind_of(content[:HEAD])
    what = _an(kind)
    try:
        values, codes = _nifti(content) if kind == "NIfTI" else _nrrd(content)
    except ImportError as error:
        raise DecodeError(f"is {what} volume, and the library that reads it is not installed; {INSTALL}") from error
    except _DAMAGED as error:
        raise DecodeError(f"is {what} volume that is truncated or damaged, or of a form that is not read") from error
    if values.dtype.kind not in "iuf" or values.ndim != 3 or 0 in values.shape:
        raise DecodeError(
            f"is {what} volume of shape {list(values.shape)} and type {values.dtype}; grey volumes of three "
            "dimensions are read"
        )
    values = _turned(values, codes)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DecodeError("holds values that are no number (NaN or infinite)")
    low, high = float(values.min()), float(values.max())
    return Volume(values, low, high, kind, len(content), hashlib.sha256(content).hexdigest())


def _an(kind: str) -> str:
    return "an NRRD" if kind == "NRRD" else "a NIfTI"


def _nifti(content: bytes) -> tuple[npt.NDArray[Any], str]:
    """Values, scaled as the file says, and the three directions in which its axes grow, such as `RAS`."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        plain = _unpacked(content)
        kind = nibabel.Nifti2Image if plain[4:8] == b"n+2\0" else nibabel.Nifti1Image
        image = kind.from_bytes(plain)
        if int(image.header["sform_code"]) == 0 and int(image.header["qform_code"]) == 0:
            raise DecodeError(
                "is a NIfTI volume without orientation (its sform and qform codes are 0), so nobody knows what is up "
                "or left; write it again with the scanner's orientation"
            )
        values = _plain_numbers(np.asanyarray(image.dataobj))
    except (ImageFileError, HeaderDataError) as error:
        raise ValueError("a damaged header") from error
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    codes: tuple[str, ...] = nibabel.aff2axcodes(image.affine)  # type: ignore[no-untyped-call]
    return values, "".join(map(str, codes))


def _nrrd(content: bytes) -> tuple[npt.NDArray[Any], str]:
    """As `_nifti`."""
    import nrrd

    try:
        file = io.BytesIO(content)
        header = nrrd.read_header(file)
        if "data file" in header or "datafile" in header:
            raise DecodeError("is the header of an NRRD volume in another file; write both into one (.nrrd)")
        if header.get("encoding") in ("gzip", "gz"):
            file, header["encoding"] = io.BytesIO(_unpacked(file.read())), "raw"
        values = nrrd.read_data(header, file)
    except nrrd.NRRDError as error:
        raise ValueError("a damaged header") from error
    space, directions = str(header.get("space", "")), header.get("space directions")
    words = {"left": "L", "right": "R", "anterior": "A", "posterior": "P", "superior": "S", "inferior": "I"}
    names = [words.get(part, "") for part in space.lower().split("-")]
    if "" in names or len(names) != 3 or directions is None or not np.isfinite(np.asarray(directions)).all():
        raise DecodeError(
            "is an NRRD volume without orientation (its header has no anatomical space with directions), so nobody "
            "knows what is up or left; write it again with them"
        )
    return values, _directions(np.asarray(directions, dtype=np.float64), names)


def _directions(vectors: npt.NDArray[np.float64], names: list[str]) -> str:
    """The letter of the direction that each axis grows in; `vectors` [3, 3], a row an axis."""
    turned = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}
    found = []
    for vector in vectors:
        most = int(np.abs(vector).argmax())
        found.append(names[most] if vector[most] > 0 else turned[names[most]])
    return "".join(found)


def _turned(values: npt.NDArray[Any], codes: str) -> npt.NDArray[Any]:
    """The same voxels as [x, y, z] of LPS; `codes` says in which direction each axis grows."""
    order = []
    for first, second in ("LR", "PA", "SI"):
        place = [number for number, code in enumerate(codes) if code in (first, second)]
        if len(place) != 1:
            raise DecodeError("is a volume whose axes are turned so far that its directions are not clear; resample it")
        order += place
    values = values.transpose(order)
    turn = tuple(slice(None, None, 1 if codes[axis] == right else -1) for axis, right in zip(order, "LPS", strict=True))
    return values[turn]


def _plain_numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Float64, which a file's scaling makes, as float32: half the memory, and more digits than a CT has."""
    return values.astype(np.float32) if values.dtype == np.float64 else values


def _unpacked(content: bytes) -> bytes:
    """A volume's file without gzip, at most `LARGEST_VOLUME` bytes."""
    if not content.startswith(b"\x1f\x8b"):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        plain = file.read(LARGEST_VOLUME + 1)
    if len(plain) > LARGEST_VOLUME:
        raise DecodeError(f"unpacks to more than {LARGEST_VOLUME} bytes; at most that is read")
    return plain
