"""Painted files of this field: DICOM slices and series, NIfTI and NRRD volumes, archives."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CT, CR, SEGMENTED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.88.11"
ENDING = {"JPEG": "jfif", "WEBP": "webp"}


def shades(seed: int, side: int = 16) -> NDArray[np.uint8]:
    """Noise, uint8 [side, side]."""
    return np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)


def picture(seed: int, kind: str = "PNG", **options: Any) -> bytes:
    """A file of noise that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(shades(seed)).save(buffer, kind, **options)
    return buffer.getvalue()


def put(path: Path, content: bytes) -> Path:
    """A file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def dicom(pixels: NDArray[Any] | None, **tags: Any) -> bytes:
    """A DICOM file of one frame [H, W] or several [F, H, W]; without pixels a report."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    kind = SEGMENTED if pixels is None else CT if "ImagePositionPatient" in tags else CR
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    if pixels is not None:
        data.Rows, data.Columns = pixels.shape[-2:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = pixels.itemsize * 8
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(pixels.dtype.kind == "i")
        data.PixelData = pixels.tobytes()
        if pixels.ndim == 3:
            data.NumberOfFrames = len(pixels)
    for name, value in tags.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def series(volume: NDArray[np.int16], patient: str, uid: str) -> list[bytes]:
    """The axial slices of a CT in HU [x to the left, y to the back, z to the head] as files, from the feet."""
    return [
        dicom(
            np.ascontiguousarray(volume[:, :, z].T), PatientID=patient, Modality="CT", SeriesInstanceUID=uid,
            StudyInstanceUID=f"{uid}.1", InstanceNumber=volume.shape[2] - z, RescaleSlope=1, RescaleIntercept=0,
            ImagePositionPatient=[0, 0, 5.0 * z], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
        for z in range(volume.shape[2])
    ]  # fmt: skip


def nifti(values: NDArray[Any], directions: tuple[int, int, int] = (-1, -1, 1), zipped: bool = True) -> bytes:
    """A NIfTI volume [x, y, z]; `directions`: 1 where an axis grows to right, front, head, -1 to left, back, feet."""
    import gzip

    import nibabel

    image = nibabel.Nifti1Image(values, np.diag([*map(float, directions), 1.0]))
    content = bytes(image.to_bytes())
    return gzip.compress(content, 1) if zipped else content


def zipped(members: dict[str, bytes]) -> bytes:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
