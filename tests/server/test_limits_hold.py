"""Limits, back-pressure and clients that hang up, over a real port."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from contrastive_cxr.server import guard
from contrastive_cxr.server.limits import Limits
from tests.server.conftest import Running, Serve, form, noise


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a refused client still sends is waited for no longer than this."""
    monkeypatch.setattr(guard, "DRAIN_SECONDS", 0.5)


def body_of(*contents: bytes) -> bytes:
    """A form with the boundary `b`."""
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x.png"\r\n\r\n'
    return b"".join(head + content + b"\r\n" for content in contents) + b"--b--\r\n"


@contextlib.contextmanager
def begun(found: Running, path: str, body: bytes, length: int) -> Iterator[socket.socket]:
    """A request that has sent `body`, of `length` bytes that it promised."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", found.port), timeout=60) as made:
        made.sendall(head.encode() + body)
        yield made


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it does not come")


def test_a_file_that_is_too_large_is_refused_while_it_arrives(serve: Serve, one: bytes) -> None:
    found = serve(Limits(file_bytes=200_000, request_bytes=10_000_000, rate=0))
    large = noise(600)
    assert len(large) > 200_000
    answer = found.client.post("/predict", files=form(large))
    assert answer.status_code == 413
    assert "200000 bytes, the limit of one file" in answer.json()["error"]["message"]
    with begun(found, "/predict", body_of(large)[:250_000], 9_000_000) as client:  # most of it never comes
        until(lambda: b" 413 " in client.recv(4096))
    assert found.client.post("/predict", files=form(one)).status_code == 200


def test_a_request_that_is_too_large_is_refused_by_its_head_and_without_one_by_its_bytes(serve: Serve) -> None:
    found = serve(Limits(request_bytes=100_000, rate=0))
    with begun(found, "/predict", b"", 10**12) as client:
        assert b" 413 " in client.recv(4096)

    def chunks() -> Iterator[bytes]:
        yield from (body_of(noise(300))[first : first + 10_000] for first in range(0, 90_000, 10_000))
        yield from (b"0" * 10_000 for _ in range(10))

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = found.client.post("/predict", content=chunks(), headers=headers)
    assert answer.status_code == 413
    assert "100000 bytes" in answer.json()["error"]["message"]


def test_more_files_and_pixels_than_allowed_are_refused(serve: Serve, one: bytes) -> None:
    found = serve(Limits(files=2, pixels=128 * 128, rate=0))
    assert found.client.post("/predict", files=form(one, one)).status_code == 200
    assert found.client.post("/predict", files=form(one, one, one)).status_code == 413
    buffer = io.BytesIO()
    Image.new("1", (129, 128)).save(buffer, "PNG")
    answer = found.client.post("/predict", files=form(buffer.getvalue()))
    assert answer.status_code == 413
    assert "declares 129 x 128 pixels; at most 16384 are read" in answer.json()["error"]["message"]


def test_a_bomb_of_a_few_bytes_takes_no_memory(shared: Running) -> None:
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0), b"IDAT": zlib.compress(bytes(9))}
    bomb = b"\x89PNG\r\n\x1a\n"
    for name, data in {**chunks, b"IEND": b""}.items():
        bomb += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    answer = shared.client.post("/predict", files=form(bomb))
    assert (answer.status_code, answer.json()["error"]["kind"]) == (413, "too-large")


def test_a_client_that_asks_too_often_is_told_when_to_come_again(serve: Serve, one: bytes) -> None:
    found = serve(Limits(rate=0.2, burst=2))
    told = [found.client.post("/predict", files=form(one)) for _ in range(3)]
    assert [each.status_code for each in told] == [200, 200, 429]
    assert 1 <= int(told[2].headers["retry-after"]) <= 6
    assert found.client.get("/health").status_code == 200


def test_a_full_house_refuses_at_once_and_takes_the_next_when_one_has_gone(serve: Serve, one: bytes) -> None:
    found = serve(Limits(requests=1, rate=0))
    with begun(found, "/predict", body_of(one)[:100], len(body_of(one))) as client:
        until(lambda: found.metric("ccxr_requests_inside") == 1)
        refused = found.client.post("/predict", files=form(one))
        assert (refused.status_code, refused.json()["error"]["kind"]) == (503, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        client.sendall(body_of(one)[100:])
        assert b" 200 " in client.recv(4096)
    assert found.client.post("/predict", files=form(one)).status_code == 200


def test_uploads_together_have_a_bound(serve: Serve, one: bytes) -> None:
    found = serve(Limits(held_bytes=300_000, request_bytes=300_000, rate=0))
    large = body_of(noise(500))
    with begun(found, "/predict", large[:250_000], len(large)):
        until(lambda: found.metric("ccxr_upload_bytes_held") == 250_000)
        refused = found.client.post("/predict", files=form(noise(300)))
        assert (refused.status_code, refused.json()["error"]["kind"]) == (503, "busy")
    until(lambda: found.metric("ccxr_upload_bytes_held") == 0)
    assert found.client.post("/predict", files=form(noise(300))).status_code == 200


def test_more_images_than_the_queue_takes_are_refused(serve: Serve, one: bytes) -> None:
    found = serve(Limits(images=2, rate=0))
    refused = found.client.post("/predict", files=form(one, one, one))
    assert (refused.status_code, refused.json()["error"]["kind"]) == (503, "busy")
    assert found.client.post("/predict", files=form(one, one)).status_code == 200


def test_an_upload_that_does_not_end_is_given_up(serve: Serve, one: bytes) -> None:
    found = serve(Limits(upload_seconds=0.3, rate=0))
    with begun(found, "/predict", body_of(one)[:50], 1000) as client:
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert b" 408 " in answer
    assert b"upload-timeout" in answer


def test_an_answer_that_takes_too_long_is_given_up(serve: Serve, one: bytes) -> None:
    found = serve(Limits(answer_seconds=0.05, rate=0))
    answer = found.client.post("/explain", params={"k": 10}, files=form(*[one] * 30))
    assert (answer.status_code, answer.json()["error"]["kind"]) == (504, "timeout")
    until(lambda: found.metric("ccxr_images_waiting") == 0)
    assert found.client.get("/health").status_code == 200


def test_work_of_a_client_that_hangs_up_is_dropped(serve: Serve, one: bytes) -> None:
    found = serve(Limits(rate=0))
    body = body_of(*[one] * 32)
    with begun(found, "/explain?k=10", body, len(body)):
        until(lambda: found.metric("ccxr_images_waiting") > 0)
    until(lambda: found.metric('ccxr_requests_total{path="/explain",status="499"}') == 1)
    assert found.metric("ccxr_images_waiting") == found.metric("ccxr_requests_inside") == 0
    with begun(found, "/predict", body[:100], len(body)):
        until(lambda: found.metric("ccxr_requests_inside") == 1)
    until(lambda: found.metric('ccxr_requests_total{path="/predict",status="499"}') == 1)
    assert found.client.post("/predict", files=form(one)).status_code == 200


def test_an_early_refusal_reaches_a_client_that_is_still_sending(serve: Serve) -> None:
    found = serve(Limits(rate=0.001, burst=1, request_bytes=10**7))
    found.client.get("/about")
    for _ in range(3):
        answer = found.client.post("/predict", files=form(b"0" * 5_000_000))
        assert answer.status_code == 429
