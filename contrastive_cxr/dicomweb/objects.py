"""DICOM objects of what was found, which belong to the searched study: what they say of it, and secondary captures."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom import UID
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DA, TM, PersonName

from contrastive_cxr import __version__
from contrastive_cxr.dicomweb.study import MAKER, Instance
from contrastive_cxr.errors import visible

PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "IssuerOfPatientID")
STUDY = ("StudyInstanceUID", "AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName")
IMAGE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
SERIES = 9000  # numbers of the new series begin here, above those of usual scanners
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,16}")


@dataclass(frozen=True)
class Maker:
    """What made the result.

    Attributes
    ----------
    digest : SHA-256 of the embedding model's weights, which is its identity in the gallery
    network : its backbone
    words : parameters of the search, one sentence each; none names a patient, a path or a server
    """

    digest: str
    network: str
    words: tuple[str, ...]

    @property
    def uid(self) -> str:
        """A UID of the model: its digest's first 128 bits as a number (PS3.5 B.2); the same model has the same."""
        return f"2.25.{int(self.digest[:32], 16)}"

    def equipment(self) -> dict[str, Any]:
        """The General Equipment attributes of its objects, as highdicom takes them."""
        return {
            "manufacturer": MAKER,
            "manufacturer_model_name": visible(self.network)[:64],
            "software_versions": __version__,
            "device_serial_number": self.digest[:64],
            "specific_character_set": "ISO_IR 192",
        }


@dataclass(frozen=True)
class Query:
    """A searched image and what was found for it.

    Attributes
    ----------
    image : Instance
    frame : from 1; None where the file has one
    found : its entry in the facts of `inference.search`
    prediction : its entry of `inference.loaded_answers.predictions`; None without a classifier
    """

    image: Instance
    frame: int | None
    found: Mapping[str, Any]
    prediction: Mapping[str, Any] | None


def subject(header: Dataset) -> Dataset:
    """Of a header what is copied into the objects: the patient, the study, and which image it is; nothing else.

    Values that DICOM does not allow (a sex that is none of M, F, O; a date that is none) become empty; of several names
    the first is taken.
    """
    found = Dataset()
    for name in (*PATIENT, *STUDY):
        setattr(found, name, _single(header.get(name)))
    for name in IMAGE:
        if header.get(name):
            setattr(found, name, header.get(name))
    if str(found.PatientSex) not in ("M", "F", "O"):
        found.PatientSex = ""
    for name, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
        try:
            kind(str(found.get(name)) or None)
        except ValueError:
            setattr(found, name, "")
    if not found.IssuerOfPatientID:
        del found.IssuerOfPatientID
    return found


def _single(value: Any) -> Any:
    """The value of a text attribute, of several the first; '' where a file says that it is no text."""
    first = (value[0] if len(value) else "") if isinstance(value, MultiValue) else value
    return first if isinstance(first, str | PersonName) and first else ""


def code_of(text: str) -> tuple[str, str]:
    """A code (at most 16 characters) and its meaning (at most 64) for a class or label of ours, without backslashes.

    Examples
    --------
    >>> code_of("covid")
    ('covid', 'covid')
    >>> code_of("bacterial pneumonia")[1]
    'bacterial pneumonia'
    """
    meaning = visible(" ".join(text.split())).replace("\\", "/")[:64].strip() or "(empty)"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (text if _PLAIN.fullmatch(text) else f"H{digest[:15]}"), meaning


def captures(queries: Sequence[Query], pictures: Sequence[NDArray[np.uint8]], made: Maker) -> list[Dataset]:
    """A secondary capture (Secondary Capture Image Storage) a query.

    Parameters
    ----------
    pictures : of uint8 [H, W, 3]
        As `picture.composed` draws them.
    """
    series, objects = UID(), list[Dataset]()
    for number, (query, picture) in enumerate(zip(queries, pictures, strict=True), 1):
        one: Any = SCImage.from_ref_dataset(
            subject(query.image.header), picture, "RGB", 8, "PATIENT", series, SERIES + 1, UID(), number,
            patient_orientation=("L", "F"), series_description="ccxr search: pictures of similar cases",
            transfer_syntax_uid="1.2.840.10008.1.2.1", **made.equipment(),
        )  # fmt: skip
        one.PatientOrientation = one.Laterality = None  # a page of several pictures has none
        one.ConversionType = "WSD"
        one.DerivationDescription = "Similar cases with maps of the likeness; neighbours are images of other patients"
        one.SourceImageSequence = [_reference(query)]
        objects.append(one)
    return objects


def content(made: Dataset) -> bytes:
    """The bytes of the file of an object."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _reference(query: Query) -> Dataset:
    found = Dataset()
    found.ReferencedSOPClassUID = query.image.header.SOPClassUID
    found.ReferencedSOPInstanceUID = query.image.name
    if query.frame is not None:
        found.ReferencedFrameNumber = query.frame
    return found
