"""The images of a study, in a folder that is gone afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_cxr.dicomweb.request import StudyRequest
from contrastive_cxr.dicomweb.server import MALFORMED, Entry, Server, Unreadable
from contrastive_cxr.errors import raise_faults

MAKER = "contrastive_cxr"
"""The Manufacturer of what `objects` makes: a second search of the same study leaves it out."""
NOT_IMAGES = frozenset(
    (
        "SR", "PR", "KO", "SEG", "REG", "FID", "RWV", "ANN", "DOC", "PLAN", "AU", "ECG", "EPS", "HD", "RESP", "EEG",
        "EMG", "EOG", "ARCHIVE", "ASMT", "STAIN", "M3D", "TEXTUREMAP", "SMR", "VA", "OAM", "OPV", "KER", "IOL", "LEN",
        "RTDOSE", "RTPLAN", "RTRECORD", "RTSTRUCT", "RTINTENT", "RTRAD", "RTSEGANN",
    )
)  # fmt: skip
"""Modalities (PS3.3 C.7.3.1.1.1) that are no pictures of a patient."""


@dataclass(frozen=True)
class Instance:
    """An image of the study.

    Attributes
    ----------
    file : Path
        The DICOM file; its name is a number, since a server's texts name no file here.
    header : pydicom.Dataset
        Everything but the pixels.
    """

    file: Path
    header: Any

    @property
    def name(self) -> str:
        """SOP Instance UID, which names it everywhere."""
        return str(self.header.SOPInstanceUID)

    @property
    def patient(self) -> str:
        """PatientID, '' where there is none."""
        return str(self.header.get("PatientID") or "")


@dataclass(frozen=True)
class Fetched:
    """Images of a study, and a note on what was left out ('' where nothing was)."""

    images: list[Instance]
    note: str


def fetch(server: Server, request: StudyRequest, folder: Path) -> Fetched:
    """Fetch the images of a study into `folder`.

    Raises
    ------
    RequestError
        With every fault: no such study or series, no images in it, instances that cannot be read.
    """
    entries = _wanted(server.entries(request.study), request)
    left = Counter(each.modality for each in entries if each.modality in NOT_IMAGES)
    images: list[Instance] = []
    faults: list[str] = []
    for entry in (each for each in entries if each.modality not in NOT_IMAGES):
        try:
            image = _instance(server.fetch(request.study, entry), folder / f"{len(images):06d}.dcm")
        except Unreadable as error:
            faults.append(f"instance {entry.sop}: {error}")
            continue
        if image is None:
            left[entry.modality or "no modality"] += 1
        else:
            images.append(image)
    words = ", ".join(f"{kind} ({count})" for kind, count in sorted(left.items()))
    if not images and not faults:
        faults.append(f"--study {request.study}: holds no images; what it holds is {words}")
    if request.writes:
        faults += faults_of_patients(images)
    raise_faults(faults)
    return Fetched(images, f"Left out, since they are no images to search: {words}." if words else "")


def faults_of_patients(images: Sequence[Instance]) -> list[str]:
    """A study of several patients is refused where a report is written: it can be of one alone."""
    count = len({(each.patient, str(each.header.get("PatientName") or "")) for each in images})
    if count < 2:
        return []
    return [
        f"--dicom-out, --store: the images name {count} patients, and a report is of one; name a part with --series"
    ]


def _wanted(entries: list[Entry], request: StudyRequest) -> list[Entry]:
    known = {each.series for each in entries}
    raise_faults(
        f"--series {uid}: is no series of the study; it has {', '.join(sorted(known)[:10])}"
        for uid in request.series
        if uid not in known
    )
    return [each for each in entries if not request.series or each.series in request.series]


def _instance(data: Any, file: Path) -> Instance | None:
    """Keep an instance as a file; None where it has no pixels, or this program made it.

    Raises
    ------
    Unreadable
    """
    try:
        if "PixelData" not in data or str(data.get("Manufacturer") or "") == MAKER:
            return None
        if not str(data.get("SOPClassUID") or ""):
            raise Unreadable("it does not say its SOP Class")
        data.save_as(file, enforce_file_format=True)
        del data.PixelData
        data.walk(lambda _, element: element.value)  # pydicom reads lazily: damage comes up here
    except MALFORMED as error:
        raise Unreadable("it is a damaged DICOM object; get it again from where it came") from error
    return Instance(file, data)
