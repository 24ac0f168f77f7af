"""Where no cluster answers, that is said in seconds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from contrastive_cxr.distributed import answering


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port where something listens that is no Ray: it closes each connection."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def hang_up() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def test_a_port_where_nothing_listens() -> None:
    address = f"127.0.0.1:{free_port()}"
    found = answering.faults(address)
    assert len(found) == 1
    assert found[0].startswith(f"--address {address}: nothing answers there (Connection refused)")
    assert "ray start --head" in found[0]


def test_a_host_that_does_not_exist() -> None:
    assert "nothing answers there" in answering.faults("no-such-host.invalid:6379")[0]


def test_something_that_is_no_ray(deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(answering, "ANSWER_SECONDS", 3.0)
    found = answering.faults(f"127.0.0.1:{deaf}")
    assert len(found) == 1
    assert "no Ray cluster answers there" in found[0]
