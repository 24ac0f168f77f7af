"""Every pixel file that pydicom ships decodes to pydicom's own pixels, or says what is missing."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contrastive_cxr.data.decoding.decode import LARGEST, DecodeError, decode
from contrastive_cxr.data.dicom import reader
from contrastive_cxr.recipe.schema import Data, Intensity
from tests.data.corpus.writers import dicom as written

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm", reason="python-gdcm is not installed; it is in the extra dicom")
pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed; it is in the extra dicom")
SHIPPED = Path(pydicom.__path__[0]) / "data" / "test_files"
UNITS = Intensity(kind="min-max")  # no window, so that the values are those of the modality
REFUSED = {
    "JPEG-lossy.dcm": r"JPEG Extended .*1\.2\.840\.10008\.1\.2\.4\.51\) with 12 bits.*pip install pylibjpeg-libjpeg",
    "JPGExtended.dcm": r"JPEG Extended .*1\.2\.840\.10008\.1\.2\.4\.51\) with 12 bits.*pip install pylibjpeg-libjpeg",
    "JPEG2000-embedded-sequence-delimiter.dcm": "a picture that declares far more pixels",
    "MR_truncated.dcm": "cut short: it declares 8192 bytes of pixels and holds 8130",
    "badVR.dcm": "Number of Frames '1A', which is no number",
    "meta_missing_tsyntax.dcm": "lacks Rows, Columns",
    "nested_priv_SQ.dcm": "lacks Rows, Columns",
}


def shipped() -> list[tuple[Path, Any]]:
    """The shipped files with pixels, and what pydicom reads of them."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file in sorted(path for path in SHIPPED.rglob("*") if path.is_file()):
            try:
                data = pydicom.dcmread(file, force=True)
            except Exception:  # files that pydicom's own tests are refused by
                continue
            if "PixelData" in data:
                found.append((file, data))
    return found


@pytest.mark.filterwarnings("ignore")
def test_what_pydicom_ships_has_pydicoms_own_pixels() -> None:
    equal, several, refused = 0, 0, {}
    for file, data in shipped():
        try:
            stored, _ = reader.read(file.read_bytes(), UNITS, LARGEST)
        except DecodeError as error:
            if "frames; name one" in error.reason:
                several += 1
            else:
                refused[file.name] = error.reason
            continue
        pixels = data.pixel_array
        if pixels.ndim == 3:
            wanted = pixels @ [0.299, 0.587, 0.114]
        elif data.PhotometricInterpretation == "PALETTE COLOR":
            wanted = pydicom.pixels.apply_color_lut(pixels, data) @ [0.299, 0.587, 0.114] / 1
        else:
            wanted = pydicom.pixels.apply_modality_lut(pixels, data)
        assert np.abs(stored.values - wanted).max() <= (0.51 if wanted.ndim == 2 and pixels.ndim == 3 else 1e-9), file
        equal += 1
    assert set(refused) == set(REFUSED)
    for name, words in REFUSED.items():
        with pytest.raises(DecodeError, match=words):
            raise DecodeError(refused[name])
    assert (equal, several) == (81, 7)


def test_a_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pydicom.pixels.decoders import base

    pixels = np.zeros((4, 4), np.uint8)
    monkeypatch.setattr(base.Decoder, "is_available", property(lambda _: False))
    for syntax, words in {
        "1.2.840.10008.1.2.4.70": r"JPEG Lossless.*4\.70\), whose decoder is not installed: pip install python-gdcm$",
        "1.2.840.10008.1.2.4.80": r"JPEG-LS Lossless.*4\.80\), .*pip install pyjpegls$",
        "1.2.840.10008.1.2.4.90": r"JPEG 2000.*pip install pylibjpeg-openjpeg$",
        "1.2.840.10008.1.2.4.102": r"MPEG-4 .*4\.102\), which has no decoder here",
    }.items():
        with pytest.raises(DecodeError, match=words):
            decode(written(pixels, syntax, b"\xff\xd8\xff\xd9"), Data())


def test_a_damaged_stream_is_said_in_our_words() -> None:
    content = written(np.zeros((4, 4), np.uint16), "1.2.840.10008.1.2.4.80", bytes(40))
    with pytest.raises(DecodeError) as caught:
        decode(content, Data())
    assert caught.value.reason == (
        "is a DICOM file, compressed as JPEG-LS Lossless Image Compression, that is damaged or contradicts itself; "
        "get it again from where it came"
    )


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_a_compressed_picture_of_another_size_is_refused_before_it_is_unpacked(name: str) -> None:
    """JPEG and JPEG-LS declare height and width four bytes behind their frame's marker (ISO/IEC 10918-1 B.2.2)."""
    content = bytearray((SHIPPED / name).read_bytes())
    marker = b"\xff\xf7" if "ls" in name else b"\xff\xc3"
    place = content.index(marker) + 5
    content[place : place + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(DecodeError, match="around a picture of 65535 x 65535; not read"):
        decode(bytes(content), Data())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_damage_anywhere_is_a_picture_or_a_decode_error(name: str) -> None:
    content, rng = (SHIPPED / name).read_bytes(), np.random.default_rng(2)
    for _ in range(int(os.environ.get("DAMAGED_FILES", "150"))):
        broken = bytearray(content)
        for place in rng.integers(132, len(broken), 6):
            broken[place] = rng.integers(0, 256)
        with suppress(DecodeError):  # nothing else
            decode(bytes(broken), Data())
