"""A Ray cluster of two workers, started as a user starts one, and ended by the numbers of its processes."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

# Before Ray is imported, which reads them then: the clusters of the tests have a token that nobody else knows, and
# nothing connects to one by itself, as in `distributed.cluster`.
os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_AUTH_MODE": "token", "RAY_ENABLE_AUTO_CONNECT": "0"}
ROOT = Path(__file__).resolve().parents[2]
MARK = "CCXR_TEST_CLUSTER"
"""A variable that all processes of a cluster of ours have in their environment."""


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def variables(path: Path = ROOT) -> dict[str, str]:
    """The environment of a cluster and of the commands that use it: a token of the test's own, no statistics."""
    return {
        **os.environ, "PYTHONPATH": str(path), "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def ours(mark: str, title: str = "") -> list[int]:
    """Numbers of the living processes of a cluster whose title begins so."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            marked = f"{MARK}={mark}".encode() in (place / "environ").read_bytes()
            if marked and (place / "cmdline").read_bytes().startswith(title.encode()):
                found.append(int(place.name))
    return found


@contextmanager
def started(environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Address and mark of a cluster on this machine."""
    mark, port = secrets.token_hex(8), free_port()
    words = ["start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--object-store-memory=300000000"]
    words += ["--include-dashboard=false", "--disable-usage-stats"]
    code = "from ray.scripts.scripts import main; main()"
    head = subprocess.Popen(
        [sys.executable, "-c", code, *words], env={**environment, MARK: mark}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not ours(mark, "/") or not _listens(port):
            assert head.poll() is None, "the cluster did not start"
            assert time.monotonic() < until, "the cluster did not start in time"
            time.sleep(0.2)
        yield f"127.0.0.1:{port}", mark
    finally:
        head.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            head.wait(30)
        for number in ours(mark):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        head.wait()


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def head() -> Iterator[tuple[str, str]]:
    """Address and mark of a cluster whose workers have this version."""
    pytest.importorskip("ray")
    with started(variables()) as found:
        yield found
