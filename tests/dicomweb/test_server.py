"""Servers that are none, lie, or never end: each is one sentence, soon."""

from __future__ import annotations

import gc
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("dicomweb_client")

from contrastive_cxr.dicomweb import server as servers
from contrastive_cxr.dicomweb.request import Login
from contrastive_cxr.dicomweb.server import Entry, Server, Unreadable
from contrastive_cxr.errors import RequestError

Answer = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/dicom+json"}
NONE = Login()


@contextmanager
def answering(answer: Callable[[str, Any], Answer]) -> Iterator[str]:
    """A server on this machine that gives `answer(path, headers)`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self.path, self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as held:
        thread = threading.Thread(target=held.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{held.server_port}/dicom-web"
        held.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once; no proxy stands between."""
    monkeypatch.setattr(servers, "WAIT_MILLISECONDS", 1)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def refused(answer: Callable[[str, Any], Answer], login: Login = NONE) -> str:
    with answering(answer) as url, pytest.raises(RequestError) as found:
        Server(url, login).entries("1.2.3")
    return str(found.value)


def test_nobody_at_the_address() -> None:
    with answering(lambda *_: (200, JSON, b"[]")) as url:
        pass
    with pytest.raises(RequestError, match="does not answer"):
        Server(url, NONE).entries("1.2.3")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, {}, b""), "answers 404"),
        ((500, {}, b""), "answers 500"),
        ((503, {}, b""), "answers 503 3 times"),
        ((200, JSON, b"<html>hello"), "no DICOM JSON"),
        ((200, JSON, b'["x"]'), "not as QIDO-RS says"),
        ((302, {"Location": "http://127.0.0.1:9/\x1b[2J"}, b""), "sends to another address"),
        ((200, JSON, b"[" * 100_000), "no DICOM JSON"),
    ],
)
def test_what_is_no_dicomweb_server_is_told(answer: Answer, words: str) -> None:
    gc.disable()  # pytest would report a finaliser that is called where the stack ends
    try:
        said = refused(lambda *_: answer)
    finally:
        gc.enable()
    assert words in said
    assert "\x1b" not in said


def test_a_listing_that_repeats_itself_ends_and_one_of_wrong_uids_is_refused() -> None:
    def entry(sop: str) -> dict[str, Any]:
        return {"0020000E": {"vr": "UI", "Value": ["1.2.4"]}, "00080018": {"vr": "UI", "Value": [sop]}}

    with answering(lambda *_: (200, JSON, json.dumps([entry("1.2.5")]).encode())) as url:
        assert Server(url, NONE).entries("1.2.3") == [Entry("1.2.4", "1.2.5", "")]
    assert "without proper UIDs" in refused(lambda *_: (200, JSON, json.dumps([entry("../../etc")]).encode()))


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "MOST_BYTES", 2**20)
    assert "more than 1 MiB" in refused(lambda *_: (200, JSON, b" " * 2**22))
    monkeypatch.setattr(servers, "MOST_BYTES", 2**29)
    monkeypatch.setattr(servers, "ANSWER_SECONDS", -1)
    assert "takes longer than" in refused(lambda *_: (200, JSON, b"[]"))


def test_the_login_is_shown_to_the_server_alone() -> None:
    seen: list[str | None] = []

    def answer(_: str, headers: Any) -> Answer:
        seen.append(headers.get("Authorization"))
        return 401, {}, b""

    said = refused(answer, Login(token="hidden-token"))
    assert "refuses the login (401)" in said
    assert "hidden" not in said
    assert seen == ["Bearer hidden-token"]
    refused(answer)
    assert seen[-1] is None


@pytest.mark.parametrize("body", [b"", b"no DICOM", b"\0" * 128 + b"DICM" + b"\xff" * 60])
def test_an_instance_that_is_none_is_unreadable(body: bytes) -> None:
    with (
        answering(lambda *_: (200, {"Content-Type": 'multipart/related; boundary="x"'}, part(body))) as url,
        pytest.raises(Unreadable),
    ):
        Server(url, NONE).fetch("1.2.3", Entry("1.2.4", "1.2.5", "CR"))


def part(body: bytes) -> bytes:
    return b"--x\r\nContent-Type: application/dicom\r\n\r\n" + body + b"\r\n--x--"
