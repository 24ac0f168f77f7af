from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.errors import CcxrError, RequestError, nearest, nearest_beside, raise_faults, visible


def test_exit_codes_tell_a_wrong_request_from_a_failure() -> None:
    assert (CcxrError.exit_code, RequestError.exit_code) == (1, 2)


def test_all_faults_are_kept_and_shown() -> None:
    with pytest.raises(RequestError) as caught:
        raise_faults(iter(["first", "second"]))
    assert caught.value.faults == ("first", "second")
    assert str(caught.value).splitlines() == ["first", "second"]


def test_no_fault_raises_nothing() -> None:
    raise_faults([])


@pytest.mark.parametrize(
    ("word", "hint"), [("epoch", " (did you mean 'epochs'?)"), ("zebra", ""), ("EPOCHS", " (did you mean 'epochs'?)")]
)
def test_nearest(word: str, hint: str) -> None:
    assert nearest(word, ["epochs", "lr"]) == hint


def test_what_steers_a_terminal_is_shown_and_what_people_write_is_kept() -> None:
    assert visible("Zürich 日本 µ 7.png") == "Zürich 日本 µ 7.png"
    assert visible("a\nb\r\x1b[2J\x00\x7f\u202e\u2028\udcff") == r"a\nb\r\x1b[2J\x00\x7f\u202e\u2028\udcff"


def test_a_path_is_compared_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    assert nearest_beside(tmp_path / "lables.csv") == " (did you mean 'labels.csv'?)"
    assert nearest_beside(tmp_path / "nowhere" / "lables.csv") == ""
