"""What the header of a DICOM file says of its image: whose it is, which series, how many frames; no pixel is read."""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import secrets
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.decoding.picture_files import LARGEST
from contrastive_cxr.data.dicom import reader
from contrastive_cxr.data.files import reading
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.files import write_bytes

KEY_VARIABLE = "CCXR_PATIENT_KEY"
# Attributes that name a person or lead to one: they are shown as keyed digests unless the recipe asks otherwise.
IDENTIFYING = frozenset(
    (
        "PatientID", "PatientName", "PatientBirthDate", "OtherPatientIDs", "OtherPatientNames", "PatientAddress",
        "PatientTelephoneNumbers", "AccessionNumber", "StudyID", "StudyInstanceUID", "SeriesInstanceUID",
        "SOPInstanceUID", "FrameOfReferenceUID", "IssuerOfPatientID", "ReferringPhysicianName", "OperatorsName",
        "InstitutionName", "InstitutionAddress", "StationName", "DeviceSerialNumber",
    )
)  # fmt: skip
_OWN = (
    "SOPClassUID", "MediaStorageSOPClassUID", "Rows", "NumberOfFrames", "PatientID", "StudyInstanceUID",
    "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber",
)  # fmt: skip
HEADER = 2**16  # bytes of a file that are read first: most headers are shorter
_DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage: a DICOMDIR
# What pydicom is known to raise on damaged files, besides errors of its own.
_DAMAGED = (
    OSError, EOFError, ValueError, AttributeError, KeyError, TypeError, IndexError, RuntimeError, OverflowError,
    struct.error, zlib.error,
)  # fmt: skip


class Header(NamedTuple):
    """One DICOM file; texts are '' where the file does not say.

    Attributes
    ----------
    image : bool
        Whether it has pixels (reports, plans and directories have none); also where it is cut before it could say so:
        decoding then tells what is wrong with it.
    directory : bool
        Whether it is a DICOMDIR.
    frames : int
    patient, study, series : str
        PatientID, StudyInstanceUID and SeriesInstanceUID as they stand in the file.
    along : float or None
        Place of the slice along the series' axis, mm; None where the file has no position in the body.
    number : int
        InstanceNumber, 0 where there is none.
    values : tuple of str
        The attributes that were asked for, in their order.
    """

    image: bool
    directory: bool
    frames: int
    patient: str
    study: str
    series: str
    along: float | None
    number: int
    values: tuple[str, ...]


def header_of(file: str, tags: tuple[str, ...]) -> Header | None:
    """The header of a file; None where it is no DICOM file that pydicom reads, or pydicom is missing.

    Parameters
    ----------
    file : str
        A place as in `reading`.
    tags : tuple of str
        Keywords of the attributes that are wanted, such as `ViewPosition`.
    """
    try:
        return _read(file, reading.stamp(file), tags)
    except DecodeError:
        return None


@lru_cache(maxsize=2**18)
def _read(file: str, when: reading.Stamp, tags: tuple[str, ...]) -> Header | None:
    """As `header_of`; a file that has not changed is opened once in a process."""
    try:
        from pydicom.datadict import keyword_dict
        from pydicom.errors import BytesLengthException, InvalidDicomError
    except ImportError:
        return None
    wanted = [*dict.fromkeys((*_OWN, *(tag for tag in tags if tag in keyword_dict)))]
    try:
        return _header(_elements(file, wanted), tags)
    except (InvalidDicomError, BytesLengthException, DecodeError, *_DAMAGED):
        return None


def _elements(file: str, wanted: list[str]) -> Any:
    """The wanted elements, from the first bytes of the file where its pixels begin among them, else from all of it."""
    import pydicom

    head = reading.content(file, HEADER)
    if reader.DEFLATED not in head[132:4096]:
        buffer = io.BytesIO(head)
        try:
            data = pydicom.dcmread(buffer, stop_before_pixels=True, specific_tags=wanted)
            if buffer.tell() < len(head) or len(head) < HEADER:
                return data
        except EOFError:  # an element goes on behind these bytes
            pass
    content = reading.content(file)
    reader.check_deflated(content, LARGEST * reader.BYTES_A_PIXEL)
    return pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=wanted)


def _header(data: Any, tags: Sequence[str]) -> Header:
    kind = _text(data, "SOPClassUID") or str(getattr(data.file_meta, "MediaStorageSOPClassUID", ""))
    return Header(
        image="Rows" in data or "SOPClassUID" not in data,
        directory=kind == _DIRECTORY,
        frames=int(data.get("NumberOfFrames") or 1),
        patient=_text(data, "PatientID"),
        study=_text(data, "StudyInstanceUID"),
        series=_text(data, "SeriesInstanceUID"),
        along=_along(data),
        number=int(data.get("InstanceNumber") or 0),
        values=tuple(_text(data, name) for name in tags),
    )


def _text(data: Any, name: str) -> str:
    """An attribute's value as text on one line; several values are joined by `/`, an empty one is an absent one."""
    value = data.get(name)
    if value is None:
        return ""
    several = isinstance(value, Sequence) and not isinstance(value, str)
    return " ".join(("/".join(map(str, value)) if several else str(value)).split())


def _along(data: Any) -> float | None:
    """Place along the normal of the slice: the position's component in that direction (PS3.3 C.7.6.2.1.1), mm."""
    position, turned = data.get("ImagePositionPatient"), data.get("ImageOrientationPatient")
    if not position or not turned or len(position) != 3 or len(turned) != 6:
        return None
    (ax, ay, az), (bx, by, bz) = (float(v) for v in turned[:3]), (float(v) for v in turned[3:])
    normal = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    return sum(float(p) * n for p, n in zip(position, normal, strict=True))


def check_tags(tags: Sequence[str], place: str = "data.tags") -> list[str]:
    """Faults of words that are no attribute of DICOM; none are looked for where pydicom is missing."""
    try:
        from pydicom.datadict import keyword_dict
    except ImportError:
        return []
    return [
        f"`{place}`: '{word}' is no attribute of DICOM{nearest(word, keyword_dict)}; write its keyword, such as "
        "ViewPosition"
        for word in tags
        if word not in keyword_dict
    ]


def hashed(text: str, key: bytes) -> str:
    """A name that stands for `text` and tells nothing of it to those without the key: HMAC-SHA256, 16 characters."""
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:16] if text else ""


def patient_key(folder: Path) -> bytes:
    """The key that patients are hashed with: `CCXR_PATIENT_KEY`, else one drawn at random once and kept in `folder`.

    It stands in no recipe and no run folder, so nobody who is given those can try PatientIDs out.

    Raises
    ------
    RequestError
        The folder cannot be written.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return given.encode()
    file = folder / "patient.key"
    try:
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(file, secrets.token_hex(32).encode())
            file.chmod(0o600)
        return file.read_bytes()
    except OSError as error:
        raise RequestError(
            f"the key that patients are hashed with cannot be kept in {file} ({error.strerror}); set {KEY_VARIABLE}, "
            "or data.patient_ids=plain"
        ) from error


def listed_in(directory: str) -> list[str]:
    """Paths of the files that a DICOMDIR names, relative to its folder, with `/`; empty where it cannot be read."""
    import pydicom

    try:
        data = pydicom.dcmread(io.BytesIO(reading.content(directory)))
        records: Sequence[Mapping[str, Any]] = data.get("DirectoryRecordSequence") or ()
        names = [record.get("ReferencedFileID") for record in records]
    except (DecodeError, *_DAMAGED):
        return []
    parts = [[name] if isinstance(name, str) else list(name) for name in names if name]
    return ["/".join(each) for each in parts]
