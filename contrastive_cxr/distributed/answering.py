"""Whether a Ray cluster answers at an address: known in seconds, where Ray itself waits for minutes."""

from __future__ import annotations

import socket
import subprocess  # nosec B404  # for Ray's own command alone
import sys
import time

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""For `ray status`, which starts Python and imports Ray; two seconds where the machine is idle."""
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
    command = [
        sys.executable,
        "-P",
        "-c",
        "from ray.scripts.scripts import main; main()",
        "status",
        "--address",
        address,
    ]
    try:
        done = subprocess.run(  # nosec B603  # words of this file, and an address that has been checked
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return [f"--address {address}: no Ray cluster answers there (waited {ANSWER_SECONDS:.0f} s); {CURE}"]
    if done.returncode == 0:
        _answered[address] = time.monotonic()
        return []
    if "AuthenticationError" in done.stderr:
        return [f"--address {address}: the cluster asks for a token; {TOKEN}"]
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return [f"--address {address}: no Ray cluster answers there ({lines[-1][:200] if lines else 'ray status'}); {CURE}"]
