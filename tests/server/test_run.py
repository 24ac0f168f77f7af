"""The command in a process of its own: signals, what it leaves on the disk, and very many requests at once."""

from __future__ import annotations

import asyncio
import collections
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from contrastive_cxr.server.run import raise_open_files
from tests.server.conftest import form, noise
from tests.server.test_limits_hold import body_of

TREE = Path(__file__).resolve().parents[2]


@contextmanager
def served(*words: object, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ccxr serve` and its address."""
    command = [sys.executable, "-m", "contrastive_cxr", "serve", *map(str, words), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(TREE), "TMPDIR": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    told = []
    try:
        for line in process.stdout:
            told.append(line)
            found = re.search(r"Serving .* at (http://\S+)", line)
            if found:
                break
        else:
            pytest.fail("".join(told))
        while True:
            try:
                httpx.get(f"{found[1]}/health", timeout=60, trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None
                time.sleep(0.1)
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def tree(*folders: Path) -> dict[str, tuple[int, int]]:
    """Every file below, with size and time of change."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.slow
def test_requests_leave_nothing_on_disk_even_where_nothing_can_be_written(
    finished: Path, one: bytes, tmp_path: Path
) -> None:
    before = tree(finished, tmp_path)
    large = noise(2000)  # 4 MB: beyond what form readers keep in memory
    with (
        served(finished, "--rate", "0", cwd=tmp_path) as (process, address),
        httpx.Client(base_url=address, timeout=120, trust_env=False) as client,
    ):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))  # from now on not a byte goes into any file
        for path in ("/predict", "/embed", "/search", "/explain"):
            assert client.post(path, files=form(one, large)).status_code == 200, path
        opened = [os.readlink(entry) for entry in Path(f"/proc/{process.pid}/fd").iterdir() if entry.is_symlink()]
        assert not [name for name in opened if "(deleted)" in name or name.startswith(str(tmp_path))]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert tree(finished, tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_what_was_begun_is_answered(
    finished: Path, one: bytes, tmp_path: Path, number: signal.Signals
) -> None:
    told: list[int] = []
    with served(finished, "--rate", "0", cwd=tmp_path) as (process, address):

        def ask() -> None:
            answer = httpx.post(f"{address}/explain?k=5", files=form(*[one] * 16), timeout=120, trust_env=False)
            told.append(answer.status_code)

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for each in asking:
            each.start()
        for _ in range(600):
            if "ccxr_requests_inside 3.0" in httpx.get(f"{address}/metrics", timeout=60, trust_env=False).text:
                break
            time.sleep(0.02)
        process.send_signal(number)
        for each in asking:
            each.join()
        assert process.wait(60) == 0
        assert process.stdout is not None
        assert "Stopped: every request that was begun is answered." in process.stdout.read()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health", trust_env=False)
    assert told == [200, 200, 200]


@pytest.mark.slow
def test_ten_thousand_requests_at_once_are_each_answered_or_refused(finished: Path, one: bytes, tmp_path: Path) -> None:
    """None is lost, none waits for ever, and memory has a bound."""
    raise_open_files()
    body = body_of(one)

    async def ask(port: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        if b" 200 " not in answer[:20]:
            assert b"retry-after: " in answer, answer[:300]
        return int(answer.split(b" ", 2)[1])

    async def all_at_once(port: int) -> collections.Counter[int]:
        return collections.Counter(await asyncio.gather(*(ask(port) for _ in range(10_000))))

    with served(finished, "--rate", "50", "--timeout", "300", cwd=tmp_path) as (process, address):
        counts = asyncio.run(all_at_once(int(address.rpartition(":")[2])))
        assert sum(counts.values()) == 10_000
        assert set(counts) <= {200, 429, 503}
        assert counts[200] >= 256
        assert counts[429] + counts[503] > 5000
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        assert peak is not None
        assert int(peak[1]) < 2**21, "2 GiB"
        assert httpx.get(f"{address}/health", timeout=60, trust_env=False).status_code == 200
