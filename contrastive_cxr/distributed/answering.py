"""Whether a Ray cluster answers at an address: known in seconds, where Ray itself waits for minutes."""

from __future__ import annotations

import socket
import subprocess  # nosec B404  # for Ray's own command alone
import sys
import time

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
"""For `ray status`, counted from when Ray is imported: on a busy machine that alone takes half a minute."""
ASK = "import ray.scripts.scripts as ray; print('imported', flush=True); ray.main()"
CURE = "start one with `ray start --head`, or leave --address out: ccxr then starts Ray on this machine"

AGAIN_SECONDS = 60.0
"""So long an answer counts: a command asks before it loads PyTorch, and again when it connects."""
TOKEN = "export RAY_AUTH_MODE=token, with its token in RAY_AUTH_TOKEN or in the file that RAY_AUTH_TOKEN_PATH names"  # nosec B105

_answered: dict[str, float] = {}


def faults(address: str) -> list[str]:
    """One sentence where no cluster answers at `auto` or HOST:PORT; none where one does."""
    if time.monotonic() - _answered.get(address, -AGAIN_SECONDS) < AGAIN_SECONDS:
        return []
    if address != "auto":
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except OSError as error:
            return [f"--address {address}: nothing answers there ({error.strerror or error}); {CURE}"]
    code, said = _asked(address)
    if code is None:
        return [f"--address {address}: no Ray cluster answers there (waited {ANSWER_SECONDS:.0f} s); {CURE}"]
    if code == 0:
        _answered[address] = time.monotonic()
        return []
    if "AuthenticationError" in said:
        return [f"--address {address}: the cluster asks for a token; {TOKEN}"]
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return [f"--address {address}: no Ray cluster answers there ({lines[-1][:200] if lines else 'ray status'}); {CURE}"]


def _asked(address: str) -> tuple[int | None, str]:
    """Exit code of `ray status` and what it said to stderr; None where it did not end in time."""
    with subprocess.Popen(  # nosec B603  # words of this file, and an address that has been checked
        [sys.executable, "-P", "-c", ASK, "status", "--address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None, "it is a pipe"
        process.stdout.readline()
        try:
            _, said = process.communicate(timeout=ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, ""
        return process.returncode, said
