"""Every file of the corpus decodes to the right pixels or gives its named error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from contrastive_cxr.data.decoding.decode import DecodeError, decode
from contrastive_cxr.recipe.schema import Data
from tests.data.corpus.cases import ARITHMETIC, NOISE, SLOPE, Case, cases
from tests.data.corpus.writers import by_pillow, dicom, turned

pydicom = pytest.importorskip("pydicom")
ALL = list(cases())
READ = [case for case in ALL if case.wanted is not None]
REFUSED = [case for case in ALL if case.wanted is None]
DOCS = Path(__file__).parents[3] / "docs" / "reference" / "inputs.md"


def name(case: Case) -> str:
    return case.name


def test_every_case_stands_in_the_table_once() -> None:
    names = [case.name for case in ALL]
    assert len(names) == len(set(names))
    text = DOCS.read_text(encoding="utf-8")
    assert [each for each in names if each not in text] == []


@pytest.mark.parametrize("case", READ, ids=name)
def test_it_decodes_to_the_right_pixels(case: Case) -> None:
    grey = decode(case.content, Data()).grey
    assert grey.shape == case.wanted.shape
    assert np.abs(grey - case.wanted.astype(float)).max() <= case.tolerance


@pytest.mark.parametrize("case", [case for case in READ if case.second], ids=name)
def test_a_second_decoder_sees_the_same(case: Case) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; it is in the extra explain")
    other = cv2.imdecode(np.frombuffer(case.content, np.uint8), cv2.IMREAD_COLOR).astype(float)
    luma = other[..., ::-1] @ [0.299, 0.587, 0.114]
    assert np.abs(decode(case.content, Data()).grey - luma).max() <= 2


@pytest.mark.parametrize("case", REFUSED, ids=name)
def test_it_is_refused_by_name(case: Case) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(case.content, Data())
    assert case.words in caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("case", [case for case in REFUSED if "30000x30000" in case.name], ids=name)
def test_a_declared_size_is_refused_before_a_pixel_is_unpacked(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpacked(*_: object) -> None:
        raise AssertionError("pixels were unpacked")

    monkeypatch.setattr(ImageFile.ImageFile, "load", unpacked)
    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(unpacked))
    with pytest.raises(DecodeError):
        decode(case.content, Data())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_as_a_second_decoder_turns_them(orientation: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed; it is in the extra explain")
    exif = Image.Exif()
    exif[274] = orientation
    content = by_pillow(Image.fromarray(turned(SLOPE, orientation)), "JPEG", quality=100, exif=exif)
    other = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., 0]
    grey = decode(content, Data()).grey
    assert grey.shape == other.shape == SLOPE.shape
    assert np.abs(grey - other.astype(float)).max() <= 1


def whole_files() -> dict[str, bytes]:
    """Files of some hundred bytes and more, a kind each."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 48), dtype=np.uint8))
    return {
        "PNG": by_pillow(noise, "PNG"),
        "JPEG": by_pillow(noise, "JPEG"),
        "progressive JPEG": by_pillow(noise, "JPEG", progressive=True),
        "arithmetic-coded JPEG": ARITHMETIC,
        "TIFF": by_pillow(noise, "TIFF"),
        "LZW TIFF": by_pillow(noise, "TIFF", compression="tiff_lzw"),
        "deflated TIFF": by_pillow(noise, "TIFF", compression="tiff_adobe_deflate"),
        "BMP": by_pillow(noise, "BMP"),
        "DICOM": dicom(NOISE),
        "deflated DICOM": dicom(NOISE, "1.2.840.10008.1.2.1.99"),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", whole_files())
def test_cut_at_every_64th_byte_it_is_refused_or_whole(kind: str) -> None:
    content = whole_files()[kind]
    whole = decode(content, Data()).grey
    refused = []
    cuts = [*range(64, len(content), 64), len(content) - 1, len(content) - 2]
    for cut in cuts:
        try:
            assert np.array_equal(decode(content[:cut], Data()).grey, whole), f"cut at {cut} of {len(content)}"
        except DecodeError as error:
            refused.append(error.reason)
    assert len(refused) >= len(cuts) - 2
    assert not [reason for reason in refused if "\n" in reason]
