"""Deaths are counted across processes, and forgotten where the work ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from contrastive_cxr.distributed import attempts


@pytest.fixture
def stream() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    attempts.forget(name)
    assert not attempts.folder_of(name).exists()


def fail(stream: str) -> None:
    with attempts.counted(stream, "prepare", 3) as died:
        raise ValueError(f"died {died}")


def test_a_killed_process_counts_and_an_error_does_not(stream: str) -> None:
    code = (
        "import os, signal, sys\n"
        "from contrastive_cxr.distributed import attempts\n"
        "with attempts.counted(sys.argv[1], 'prepare', 3):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for died in range(2):
        done = subprocess.run([sys.executable, "-c", code, stream], check=False, env={**os.environ})
        assert done.returncode == -signal.SIGKILL, died
    with attempts.counted(stream, "finish", 3) as other:
        assert other == 0, "the other step"
    with pytest.raises(ValueError, match="died 2"):
        fail(stream)
    with attempts.counted(stream, "prepare", 3) as died:
        assert died == 0
