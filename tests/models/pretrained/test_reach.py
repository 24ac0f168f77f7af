"""Whether a host answers: asked once, and never for longer than it is given."""

from __future__ import annotations

import http.server
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest

from contrastive_cxr.models.pretrained import reach


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def answers() -> Iterator[str]:
    """A host that says 501 to whatever it is asked."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign, assignment]
        threading.Thread(target=server.handle_request, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/file.pth"


def test_a_host_that_says_anything_answers(answers: str) -> None:
    assert reach.silent(answers) == ""


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_cannot_do_it_now_is_as_good_as_silent(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    answer = urllib.error.HTTPError("http://hub.example", status, "later", Message(), None)

    def later(*_: object, **__: object) -> None:
        raise answer

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", later)
    assert reach.silent("http://hub.example") == f"it answers with HTTP status {status}"


def test_a_refused_connection_is_said() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert reach.silent(f"http://127.0.0.1:{closed.getsockname()[1]}") == "the connection is refused"


def test_a_look_up_without_end_is_left_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def slow(*_: object, **__: object) -> None:
        over.wait(20)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    begin = time.monotonic()
    assert reach.silent("http://hub.example", 0.1) == "no answer within 0.1 seconds"
    assert time.monotonic() - begin < 5
    over.set()


def test_a_name_that_nobody_knows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert reach.silent("http://hub.example") == "the name of the host is not known here"
