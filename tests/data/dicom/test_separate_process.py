"""A file that ends GDCM's process does not end ours, and the next file decodes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.data.decoding.decode import DecodeError, decode
from contrastive_cxr.data.dicom import codecs, separate_process
from contrastive_cxr.data.dicom.separate_process import LENGTH, Decoder, Lost, serve
from contrastive_cxr.recipe.schema import Data

pydicom = pytest.importorskip("pydicom")
LOSSLESS = Path(pydicom.__path__[0]) / "data" / "test_files" / "SC_rgb_jpeg_gdcm.dcm"


def test_a_file_that_ends_the_decoder_is_refused_and_the_next_one_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    """One wrong byte behind the picture's first marker makes GDCM call abort()."""
    pytest.importorskip("gdcm", reason="python-gdcm is not installed; it is in the extra dicom")
    content = LOSSLESS.read_bytes()
    whole = decode(content, Data()).grey
    first = separate_process._mine.decoder
    broken = bytearray(content)
    broken[content.rindex(b"\xff\xd8\xff") + 2] = 0
    with pytest.raises(DecodeError, match=r"compressed as JPEG Lossless.* that is damaged; get it again"):
        decode(bytes(broken), Data())
    assert first.process.poll() is not None
    np.testing.assert_array_equal(decode(content, Data()).grey, whole)
    assert separate_process._mine.decoder is not first
    assert capfd.readouterr().err == ""  # GDCM prints its own words


def test_gdcm_is_asked_only_where_nothing_else_decodes() -> None:
    pytest.importorskip("gdcm", reason="python-gdcm is not installed; it is in the extra dicom")
    pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed; it is in the extra dicom")
    uid = "1.2.840.10008.1.2.4."
    for end, wanted in {"50": "pillow", "57": "gdcm", "70": "gdcm", "80": "pyjpegls", "81": "pyjpegls"}.items():
        assert codecs._plugin(pydicom.uid.UID(uid + end)) == wanted


def test_what_is_asked_is_answered_until_nothing_comes() -> None:
    """The other side by itself, in this process: RLE needs no library, and a text is damaged."""
    rle = LOSSLESS.with_name("MR_small_RLE.dcm").read_bytes()
    asked = b"".join(len(part).to_bytes(LENGTH, "big") + part for part in (b"pydicom", rle, b"pydicom", b"no file"))
    answers = io.BytesIO()
    serve(io.BytesIO(asked), answers)
    length = int.from_bytes(answers.getvalue()[:LENGTH], "big")
    first, rest = answers.getvalue()[LENGTH : LENGTH + length], answers.getvalue()[LENGTH + length :]
    plain = pydicom.dcmread(io.BytesIO(first[1:]))
    assert not plain.file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(plain.pixel_array, pydicom.dcmread(io.BytesIO(rle)).pixel_array)
    assert rest == (1).to_bytes(LENGTH, "big") + b"\0"


def test_a_decoder_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate_process, "SECONDS", 0.0)
    decoder = Decoder()
    with pytest.raises(Lost):
        decoder.ask("pydicom", b"no file")
    decoder.close()
    assert decoder.process.poll() is not None
