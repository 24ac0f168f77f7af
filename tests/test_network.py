"""Nothing is sent or fetched, but published weights and W&B where they are asked for."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small import overrides

ROOT = Path(__file__).resolve().parents[1]
NETWORK = {"socket", "urllib", "http", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "xmlrpc", "telnetlib"}
# Module: what it takes of a network library, and why that opens no connection.
ALLOWED = {
    "data/files/store_urls.py": "urllib.parse",  # takes the address of a gallery in PostgreSQL apart
    "dicomweb/request.py": "urllib.parse",  # takes the address apart
    "dicomweb/search.py": "urllib.parse",  # the same
    "dicomweb/server.py": "requests",  # it asks the server that --dicomweb names, and no other
    "distributed/answering.py": "socket",  # whether the cluster that --address names answers
    "models/pretrained/foreign.py": "urllib.error",  # the error of a download that torchvision or timm makes
    "models/pretrained/reach.py": "urllib.request",  # whether the host answers, before the library asks it
    "files.py": "socket",  # the name of this machine
    "locks.py": "socket",  # the same
    "server/access.py": "socket",  # it listens, and looks up the address that it is told to listen at
    "server/guard.py": "urllib.parse",  # takes addresses apart
    "server/run.py": "socket",  # the type of the socket that listens
}
# Every connection and every name that is looked up, of whatever library in this process, ends the command.
PROGRAM = """
import sys

def watch(event, words):
    family = getattr(words[0], "family", None) if event == "socket.connect" else None
    if event == "socket.getaddrinfo" or (event == "socket.connect" and family != 1):  # 1: within this machine
        sys.stderr.write(f"NETWORK {event} {words[1:] if family else words}\\n")
        sys.stderr.flush()
        import os
        os._exit(77)

sys.addaudithook(watch)
if sys.argv[1] == "connect":
    import urllib.request
    urllib.request.urlopen("http://127.0.0.1:9/")
from contrastive_cxr.cli import main
main()
"""


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """`ccxr` with these words, in a process that no connection survives."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "WANDB_"))}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_no_module_takes_a_network_library_unnamed() -> None:
    found = {}
    for path in sorted((ROOT / "contrastive_cxr").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                if name.partition(".")[0] in NETWORK:
                    found[path.relative_to(ROOT / "contrastive_cxr").as_posix()] = name
    assert found == ALLOWED


def test_the_watch_sees_a_connection() -> None:
    done = command("connect")
    assert done.returncode == 77, done.stderr
    assert "NETWORK socket" in done.stderr


@pytest.mark.slow
def test_a_plan_opens_no_connection(tmp_path: Path) -> None:
    done = command(
        "run", "phantom", *overrides(tmp_path / "cache", "data.images=24", "embed.choose_by=last"), "--dry-run"
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-500:]


@pytest.mark.slow
def test_a_run_and_a_search_open_no_connection(tmp_path: Path) -> None:
    words = overrides(tmp_path / "cache", "pretrain.epochs=1", "embed.epochs=1", "finetune.epochs=1")
    run, gallery, data = tmp_path / "run", tmp_path / "gallery", tmp_path / "cache" / "phantom"
    done = command("run", "phantom", *words, "--out", str(run))
    assert done.returncode == 0, done.stderr[-2000:]
    (root,) = [folder for folder in data.iterdir() if folder.is_dir()]
    done = command("index", str(run), str(root), "--out", str(gallery))
    assert done.returncode == 0, done.stderr[-2000:]
    done = command("search", str(gallery), *map(str, sorted(root.rglob("*.png"))[:2]))
    assert done.returncode == 0, done.stderr[-2000:]
