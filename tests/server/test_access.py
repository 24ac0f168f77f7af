"""Addresses, tokens and sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.server.access import VARIABLE, Access, access_for, bound, is_loopback

TOKEN = "0123456789abcdef-token"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.10"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    found = access_for(host)
    assert found.lets_in("")
    assert host in found.hosts


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", ""])
def test_elsewhere_without_a_token_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match="no token; set CCXR_TOKEN or give --token-file") as refused:
        access_for(host)
    assert len(refused.value.faults) == 1
    monkeypatch.setenv(VARIABLE, TOKEN)
    found = access_for(host)
    assert not found.hosts
    assert found.lets_in(f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    "said", ["", TOKEN, f"Basic {TOKEN}", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"]
)
def test_another_token_does_not_let_in_and_none_is_printed(said: str) -> None:
    made = Access(TOKEN)
    assert not made.lets_in(said)
    assert made.lets_in(f"bearer {TOKEN}")
    assert TOKEN not in repr(made)


def test_a_token_of_a_file_that_is_wrong_is_refused_without_its_text(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert access_for("0.0.0.0", file).lets_in(f"Bearer {TOKEN}")
    for text in ("", "short", "mühsam-mühsam-mühsam", "two words of a token"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(RequestError, match="--token-file") as refused:
            access_for("127.0.0.1", file)
        assert not text or text not in str(refused.value)
    with pytest.raises(RequestError, match="cannot be read"):
        access_for("127.0.0.1", tmp_path / "gone")


def test_a_port_in_use_is_refused_by_its_number() -> None:
    with bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(RequestError, match=f"--port {port}: another program listens there"):
            bound("127.0.0.1", port)
    bound("127.0.0.1", port).close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(RequestError, match=r"--host 192\.0\.2\.1: cannot be bound"):
        bound("192.0.2.1", 0)
    with pytest.raises(RequestError, match="has no address"):
        is_loopback("no-such-host.invalid")
