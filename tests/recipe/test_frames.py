"""The choice of frames, as an option and as a setting."""

from __future__ import annotations

import pytest

from contrastive_cxr import recipe
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import frames_of
from contrastive_cxr.recipe.schema import FrameRange


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("all", "all"),
        ("middle", "middle"),
        ("7", 7),
        ("{start: 2, stop: 9, step: 3}", FrameRange(start=2, stop=9, step=3)),
    ],
)
def test_an_option_is_written_as_the_setting(text: str, wanted: object) -> None:
    assert frames_of(text) == wanted
    assert recipe.load("xray/label-free", ["data.root=a", f"data.frames={text}"]).data.frames == wanted
    assert frames_of(None) is None


@pytest.mark.parametrize("text", ["some", "-1", "1.5", "{begin: 3}", "[1, 2]", "{start: 3", "true", "null"])
def test_what_is_no_choice_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(RequestError, match=r"--frames .*write all, middle, a number counted from 0"):
        frames_of(text)
