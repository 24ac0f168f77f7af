"""DICOM files written here, against the arithmetic of PS3.3 C.11."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contrastive_cxr.data.decoding.decode import DecodeError, decode
from contrastive_cxr.data.dicom import reader
from contrastive_cxr.recipe.schema import Data, Intensity
from tests.data.corpus.writers import dicom as deflated

pydicom = pytest.importorskip("pydicom")

FULL = Data(intensity=Intensity(kind="min-max"))


def _dicom(pixels: NDArray[Any], **tags: Any) -> bytes:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = pixels.itemsize * 8
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_bits_stored_are_the_range() -> None:
    pixels = np.array([[0, 819, 4095]], np.uint16)
    grey, facts = decode(_dicom(pixels, BitsStored=12), Data())
    assert grey.tolist() == [[0, 51, 255]]
    assert (facts.format, facts.mode, facts.width, facts.height) == ("DICOM", "MONOCHROME2", 3, 1)


def test_monochrome1_is_turned_with_every_kind() -> None:
    content = _dicom(np.array([[0, 819, 4095]], np.uint16), BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    window = Data(intensity=Intensity(kind="window", low=0, high=4095))
    for settings in (Data(), FULL, window):
        assert decode(content, settings).grey.tolist() == [[255, 204, 0]]


def test_rescale_then_the_files_window() -> None:
    stored = np.array([[0, 24, 424, 1024, 1424, 2000]], np.uint16)
    tags = {"BitsStored": 12, "RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": -300, "WindowWidth": 1400}
    grey, _ = decode(_dicom(stored, **tags), Data())
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5) * 255, clipped
    houndsfield = stored.astype(float) - 1024
    wanted = np.clip(((houndsfield + 300.5) / 1399 + 0.5) * 255, 0, 255)
    assert np.abs(grey - wanted).max() <= 0.51
    assert grey[0, 0] == 0
    assert grey[0, -1] == 255


def test_a_given_window_is_in_rescaled_units_and_replaces_the_files() -> None:
    stored = np.array([[0, 24, 724, 1424]], np.uint16)
    tags = {"BitsStored": 12, "RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 80}
    given = Data(intensity=Intensity(kind="window", low=-1000, high=400))
    assert decode(_dicom(stored, **tags), given).grey.tolist() == [[0, 0, 128, 255]]
    assert decode(_dicom(stored, **tags), FULL).grey.tolist() == [[0, 4, 130, 255]]


def test_first_of_several_windows_and_a_signed_negative_slope() -> None:
    stored = np.array([[-2048, 0, 2047]], np.int16)
    grey, _ = decode(_dicom(stored, BitsStored=12, RescaleSlope=-1, RescaleIntercept=0), Data())
    assert grey.tolist() == [[255, 127, 0]]
    first = {"WindowCenter": [100.5, 0.5], "WindowWidth": [201, 3]}
    grey, _ = decode(_dicom(np.array([[0, 50, 101, 250]], np.uint16), **first), Data())
    assert grey.tolist() == [[0, 64, 129, 255]]


def test_a_voi_table_is_applied() -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [4, 0, 8]
    table["LUTDescriptor"].VR = "US"
    table.LUTData = [0, 10, 100, 255]
    table["LUTData"].VR = "US"
    grey, _ = decode(_dicom(np.array([[0, 1, 2, 3, 9]], np.uint16), VOILUTSequence=[table]), Data())
    assert grey.tolist() == [[0, 10, 100, 255, 255]]


def test_colour_becomes_luma() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    content = _dicom(rgb, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    grey, facts = decode(content, Data())
    assert np.abs(grey - rgb.astype(float) @ [0.299, 0.587, 0.114]).max() <= 0.51
    assert facts.mode == "RGB"


def test_a_deflated_file_that_grows_is_refused_while_it_is_inflated() -> None:
    content = deflated(np.zeros((400, 400), np.uint8), "1.2.840.10008.1.2.1.99")
    assert reader.read(content, Intensity(), 160_000)[0].values.shape == (400, 400)
    with pytest.raises(DecodeError, match="deflated DICOM file of more than 1600 bytes"):
        reader.read(content, Intensity(), 100)


def test_what_is_no_single_image_is_named() -> None:
    good = _dicom(np.zeros((8, 8), np.uint16))
    with pytest.raises(DecodeError, match="4 frames"):
        decode(_dicom(np.zeros((8, 8), np.uint8), NumberOfFrames=4), Data())
    with pytest.raises(DecodeError, match="declares 128 bytes of pixels and holds 68"):
        decode(good[:-60], Data())
    with pytest.raises(DecodeError, match="declares 60000 x 60000"):
        decode(_dicom(np.zeros((8, 8), np.uint16), Rows=60000, Columns=60000), Data())
    with pytest.raises(DecodeError, match="DICOM"):
        decode(good[:140], Data())


@pytest.mark.filterwarnings("ignore")
def test_damage_anywhere_is_a_decode_error() -> None:
    rng = np.random.default_rng(1)
    content = _dicom(rng.integers(0, 4096, (8, 8), dtype=np.uint16), WindowCenter=40, WindowWidth=80)
    refused = 0
    for _ in range(150):
        broken = bytearray(content[: rng.integers(150, len(content) + 1)])
        for place in rng.integers(132, len(broken), 4):
            broken[place] = rng.integers(0, 256)
        try:
            decode(bytes(broken), Data())
        except DecodeError:
            refused += 1
    assert refused > 50


def test_without_pydicom_the_install_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _dicom(np.zeros((4, 4), np.uint16))
    monkeypatch.setitem(sys.modules, "pydicom", None)  # what `import` sees where it is not installed
    with pytest.raises(DecodeError, match=r"pip install 'contrastive_cxr\[dicom\]'"):
        decode(content, Data())


def test_frames_that_are_not_declared_are_counted_by_their_pixels() -> None:
    one = np.arange(6, dtype=np.uint8).reshape(2, 3)
    twice = _dicom(one, PixelData=one.tobytes() * 2)
    with pytest.raises(DecodeError, match="the pixels of 2 frames"):
        decode(twice, Data())
