"""What is asked of a server, refused before it is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.dicomweb.request import PASSWORD, TOKEN, USER, Login, StudyRequest, faults_in, login_of

GOOD = "http://127.0.0.1:8042/dicom-web"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://pacs/x", "is no http or https URL"),
        ("pacs:8042", "is no http or https URL"),
        ("http:///x", "is no http or https URL"),
        ("http://pacs:port/x", "is no URL that can be read"),
        ("http://[::1]:8042/x", "takes no IPv6 number"),
        ("http://pacs/x?token=abc", "has ? or # in it"),
        ("http://pa cs/x", "is no http or https URL"),
        ("http://pacs/x\n", "is no http or https URL"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, words: str) -> None:
    (fault,) = faults_in(StudyRequest(url, "1.2.3"))
    assert words in fault
    assert "abc" not in fault


def test_a_login_within_the_address_is_refused_and_not_repeated() -> None:
    (fault,) = faults_in(StudyRequest("http://reader:hidden@pacs/x", "1.2.3"))
    assert "has a user or password in it" in fault
    assert "hidden" not in fault


def test_every_fault_comes_at_once(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("x")
    asked = StudyRequest("pacs", "../../etc", ("1..2",), tmp_path, "srr")
    faults = faults_in(asked)
    assert len(faults) == 5
    assert "--study ../../etc: is no DICOM UID" in faults[1]
    assert "did you mean 'sr'?" in faults[3]
    assert "is not empty" in faults[4]
    assert faults_in(StudyRequest(GOOD, "1.2.3", out=tmp_path / "new", kinds="sr")) == []
    assert "nothing is written" in faults_in(StudyRequest(GOOD, "1.2.3", kinds="sr"))[0]


def test_a_login_comes_from_the_environment_or_a_file_and_is_never_shown(tmp_path: Path) -> None:
    assert login_of(None, {}) == (Login(), [])
    assert login_of(None, {USER: "a", PASSWORD: "b"}) == (Login("a", "b"), [])
    assert login_of(None, {TOKEN: "abc"}) == (Login(token="abc"), [])
    file = tmp_path / "login"
    for text, wanted in (("a:b:c\n", Login("a", "b:c")), ("Bearer xyz", Login(token="xyz"))):
        file.write_text(text)
        assert login_of(file, {TOKEN: "other"}) == (wanted, [])
        assert "xyz" not in repr(wanted)
        assert "b:c" not in repr(wanted)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({USER: "a"}, "one of user and password is missing"),
        ({USER: "a", PASSWORD: "secret", TOKEN: "secret"}, "set the one or the other"),
        ({TOKEN: "secret\r\nX-Other: 1"}, "line break"),
        ({TOKEN: "sécret"}, "characters that no header carries"),
        ({USER: "a:b", PASSWORD: "secret"}, "has a colon"),
    ],
)
def test_a_login_that_cannot_be_is_refused_without_being_repeated(variables: dict[str, str], words: str) -> None:
    _, (fault,) = login_of(None, variables)
    assert words in fault
    assert "secret" not in fault
    assert "sécret" not in fault


def test_a_file_without_a_login_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in login_of(tmp_path / "gone")[1][0]
    (tmp_path / "empty").write_text("\n")
    assert "holds no login" in login_of(tmp_path / "empty")[1][0]
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "cannot be read" in login_of(tmp_path / "binary")[1][0]
