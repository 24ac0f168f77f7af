"""A real Orthanc with its DICOMweb plugin, and studies that are written here."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
pytest.importorskip("dicomweb_client")

from contrastive_cxr.dicomweb import request  # noqa: E402
from contrastive_cxr.inference.gallery import index  # noqa: E402

PLUGINS = ("/usr/share/orthanc/plugins/libOrthancDicomWeb.so", "/usr/lib/orthanc/libOrthancDicomWeb.so")
CR, SR, PR = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.11.1"
USER, PASSWORD = "reader", "correct horse"


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No login of the environment, no proxy, and a key of patients of its own."""
    for name in (request.USER, request.PASSWORD, request.TOKEN, "http_proxy", "HTTP_PROXY", "CCXR_PATIENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@dataclass(frozen=True)
class Orthanc:
    """A server of this test session."""

    root: str
    login: bool = False

    @property
    def url(self) -> str:
        """Address of its DICOMweb service."""
        return f"{self.root}/dicom-web"

    def ask(self, path: str, content: bytes | None = None) -> Any:
        """Its own REST interface, which is no part of DICOMweb."""
        asked = urllib.request.Request(f"{self.root}{path}", data=content)
        if self.login:
            import base64

            word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            asked.add_header("Authorization", f"Basic {word}")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=20) as answer:
            return json.loads(answer.read())

    def send(self, *contents: bytes) -> None:
        """Store DICOM files."""
        for content in contents:
            self.ask("/instances", content)

    def instances(self, study: str) -> list[Any]:
        """All instances of a study, as pydicom reads what the server holds."""
        asked = json.dumps({"Level": "Instance", "Query": {"StudyInstanceUID": study}}).encode()
        found = []
        for number in self.ask("/tools/find", asked):
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"{self.root}/instances/{number}/file", timeout=20
            ) as answer:
                found.append(pydicom.dcmread(io.BytesIO(answer.read())))
        return found


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _started(folder: Path, login: bool) -> Iterator[Orthanc]:
    program, plugin = shutil.which("Orthanc"), next((each for each in PLUGINS if Path(each).is_file()), None)
    if program is None or plugin is None:
        pytest.skip("Orthanc and its DICOMweb plugin are not installed (Debian: orthanc, orthanc-dicomweb)")
    found = Orthanc(f"http://127.0.0.1:{_free_port()}", login)
    settings = {
        "Name": "ccxr", "HttpPort": int(found.root.rpartition(":")[2]), "DicomServerEnabled": False,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": login, "RegisteredUsers": {USER: PASSWORD},
        "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "index"), "Plugins": [plugin],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log, cwd=folder)
        try:
            for _ in range(600):
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                try:
                    found.ask("/system")
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.1)
            else:
                raise AssertionError((folder / "log").read_text()[-2000:])
            yield found
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A server that anyone on this machine may ask."""
    yield from _started(tmp_path_factory.mktemp("orthanc"), False)


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A server that wants a login."""
    yield from _started(tmp_path_factory.mktemp("guarded"), True)


def written(pixels: NDArray[Any] | None, study: str, **tags: Any) -> bytes:
    """A DICOM file of a computed radiograph; without pixels a basic text SR. `tags` replace attributes."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = CR if pixels is not None else SR
    data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID = generate_uid(), generate_uid(), study
    data.SpecificCharacterSet = "ISO_IR 192"
    data.Modality = "CR" if pixels is not None else "SR"
    data.PatientID, data.PatientName, data.PatientBirthDate, data.PatientSex = "QUERY-7", "Muster^Jörg", "19700102", "M"
    data.AccessionNumber, data.StudyID, data.StudyDate, data.StudyTime = "A1", "S1", "20260102", "101112"
    data.ReferringPhysicianName = "Doctor^Ann"
    if pixels is not None:
        data.Rows, data.Columns = pixels.shape[-2:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = pixels.itemsize * 8
        data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
        if pixels.ndim == 3:
            data.NumberOfFrames = len(pixels)
        data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pixels(finished: Path) -> list[NDArray[np.uint8]]:
    """Two pictures that the run was not trained on, uint8 [H, W]."""
    rows = pd.read_csv(finished / "manifest.csv", dtype=str)
    rows = rows[rows["split"] == "test"].head(2)
    files = [Path(root) / path for root, path in zip(rows["root"], rows["path"], strict=True)]
    return [np.asarray(Image.open(file).convert("L")) for file in files]


@pytest.fixture(scope="session")
def gallery(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the run's training images."""
    folder = tmp_path_factory.mktemp("galleries") / "gallery"
    index(finished, "train", folder)
    return folder


Sent = Callable[..., str]


@pytest.fixture
def sent(orthanc: Orthanc, pixels: list[NDArray[np.uint8]]) -> Sent:
    """`sent(**tags) -> study`: a new study of two radiographs and a text report on the server."""

    def send(**tags: Any) -> str:
        study = pydicom.uid.generate_uid()
        orthanc.send(*(written(each, study, **tags) for each in pixels), written(None, study))
        return str(study)

    return send
