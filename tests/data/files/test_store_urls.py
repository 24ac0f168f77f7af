"""The URL of a gallery in PostgreSQL: what is connected with, and that its password is shown nowhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from contrastive_cxr.data.files.store_urls import StoreUrl, given_place, place_of
from contrastive_cxr.errors import RequestError


def test_parts_and_words() -> None:
    url = StoreUrl("postgresql://me:pw@host:5433/db?gallery=chest&sslmode=require")
    assert (str(url), url.name) == ("postgresql://me@host:5433/db?gallery=chest&sslmode=require", "chest")
    assert url.conninfo == "postgresql://me:pw@host:5433/db?sslmode=require"
    assert StoreUrl("postgresql://host/db").name == "gallery"
    assert StoreUrl("postgresql:///db?host=/tmp/s").conninfo.startswith("postgresql:///db?host=")


@pytest.mark.parametrize(
    "text",
    ["postgresql://me:hidden1@host/db", "postgres://host/db?password=hidden1", "postgresql://me:hidden1@/db?host=/tmp"],
)
def test_a_password_is_in_no_text(text: str) -> None:
    url = StoreUrl(text)
    assert "hidden1" not in f"{url} {url!r} {url.without_secrets('FATAL hidden1 is wrong')}"
    assert "hidden1" in url.conninfo


def test_escaped_passwords_are_taken_out_of_words_too() -> None:
    url = StoreUrl("postgresql://me:op%20en@host/db")
    assert url.without_secrets("op en, op%20en") == "***, ***"


@pytest.mark.parametrize("name", ["A", "1a", "a-b", "a;b", "x" * 41, ""])
def test_names_that_are_no_table_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="is no name of a gallery"):
        StoreUrl(f"postgresql://host/db?gallery={name}")


def test_a_url_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(RequestError) as caught:
        StoreUrl("postgresql://me:hidden1@host:port/db")
    assert "hidden1" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_command_is_recorded_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["ccxr", "search", "postgresql://me:hidden1@host/db", "--store=postgresql://me:hidden1@host/db", "a=b.png"]
    monkeypatch.setattr(sys, "argv", list(words))
    assert isinstance(given_place(words[2]), StoreUrl)
    assert sys.argv == ["ccxr", "search", "postgresql://me@host/db", "--store=postgresql://me@host/db", "a=b.png"]
    assert place_of("runs/a") == Path("runs/a") == given_place("runs/a")
