"""Forms, cut anywhere."""

from __future__ import annotations

import pytest

from contrastive_cxr.server.limits import Limits
from contrastive_cxr.server.refusals import Refusal
from contrastive_cxr.server.uploads import Form

PART = b'--b\r\nContent-Disposition: form-data; name="images"; filename="%s"\r\nContent-Type: image/png\r\n\r\n%s\r\n'
WHOLE = PART % (b"one.png", b"\r\n--bx\0first") + PART % (b"../../two.png", b"") + b"--b--\r\n"


def taken(body: bytes, step: int, limits: Limits | None = None) -> Form:
    made = Form(b"b", limits or Limits())
    for first in range(0, len(body), step):
        made.write(body[first : first + step])
    return made


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_files_are_taken_out_wherever_the_body_is_cut(step: int) -> None:
    form = taken(WHOLE, step)
    assert form.whole
    assert [tuple(file) for file in form.files] == [("one.png", b"\r\n--bx\0first"), ("../../two.png", b"")]


def test_a_body_that_ends_early_is_not_whole() -> None:
    assert not taken(WHOLE[:-10], 5).whole


def test_limits_hold_while_the_bytes_arrive() -> None:
    form = Form(b"b", Limits(file_bytes=100))
    form.write(PART.partition(b"%s\r\n")[0].replace(b"%s", b"x.png"))
    head = (PART % (b"x.png", b""))[:-2]
    form = Form(b"b", Limits(file_bytes=100))
    form.write(head + b"0" * 100)
    with pytest.raises(Refusal, match=r"x\.png: has more than 100 bytes") as refused:
        form.write(b"0")
    assert refused.value.status == 413
    with pytest.raises(Refusal, match="more than 1 files") as refused:
        taken(WHOLE, 3, Limits(files=1))
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no form at all", "no multipart form"),
        (b'--b\r\nContent-Disposition: form-data; name="k\n"\r\n\r\n5\r\n--b--\r\n', "no file|no multipart"),
        (b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n5\r\n--b--\r\n', "'k' is no file"),
        (b"--b\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "no multipart form"),
        (b"--b\r\n" + b"X: y\r\n" * 1000 + b"\r\n", "no multipart form"),
    ],
)
def test_what_is_no_form_of_files_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(Refusal, match=words) as refused:
        taken(body, 11)
    assert refused.value.status == 400


def test_a_name_is_made_harmless_and_short() -> None:
    form = taken(PART % (b"a\x1b[2J" + b"x" * 1000, b"1") + PART % (b"", b"2") + b"--b--\r\n", 13)
    assert form.files[0].name.startswith("a\\x1b[2Jxxx")
    assert len(form.files[0].name) == 255
    assert form.files[1].name == "file 1"
