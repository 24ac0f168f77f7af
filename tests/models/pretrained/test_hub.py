"""The Hugging Face hub where it cannot be reached: one sentence within seconds, and no word of its library's tries."""

from __future__ import annotations

import time

import huggingface_hub
import pytest
from huggingface_hub import constants

from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.pretrained import hub, reach


class Session:
    """The HTTP library of the hub's library: refuses a certificate, or answers with a status."""

    def __init__(self, status: int = 0) -> None:
        self.status, self.asked = status, 0

    def __call__(self) -> Session:
        return self

    def head(self, address: str, timeout: float) -> Session:
        """Ask once."""
        assert timeout <= 2
        self.asked += 1
        if not self.status:
            raise OSError("certificate verify failed\nmore")
        return self

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return self.status


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub answers us."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(reach, "silent", lambda address: "")


@pytest.mark.parametrize(
    ("status", "words"), [(0, "certificate verify failed"), (503, "it answers with HTTP status 503"), (200, "")]
)
def test_what_the_library_would_try_again_is_found_at_its_first_try(
    monkeypatch: pytest.MonkeyPatch, answered: None, status: int, words: str
) -> None:
    session = Session(status)
    monkeypatch.setattr(huggingface_hub, "get_session", session)
    assert hub.silent() == words
    assert session.asked == 1


def test_a_repository_that_cannot_be_had_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, answered: None, capfd: pytest.CaptureFixture[str]
) -> None:
    tries = []

    def download(*words: object, local_files_only: bool, **_: object) -> str:
        tries.append(local_files_only)
        raise huggingface_hub.errors.LocalEntryNotFoundError("not in the cache")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub, "get_session", Session())
    began = time.monotonic()
    with pytest.raises(RequestError, match=r"the Hugging Face hub cannot be reached \(certificate verify failed\)"):
        hub.downloaded("hf-hub:some/net", "model.weights", ("model.safetensors",), ())
    assert time.monotonic() - began < 10
    assert tries == [True]
    assert capfd.readouterr() == ("", "")


def test_what_is_in_the_cache_is_taken_without_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub.from_cache():
        assert constants.is_offline_mode()
    assert not constants.is_offline_mode()
