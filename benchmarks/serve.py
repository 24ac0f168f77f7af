"""`ccxr serve` under load, 200 requests in flight for ten minutes: is one lost, does memory grow, how long is the wait?

python -m benchmarks.serve [--minutes 10] [--in-flight 200] [--run RUN] [--side 512] [--quick]

The server is a process of its own with its usual limits, but for the rate of one client, as all requests come from one.
Each of `--in-flight` connections sends the next request when it has an answer: predict, embed and search in turn, one
PNG of `--side` pixels each. Without `--run` the run is a small one of EfficientNet-Lite0 at 224 pixels on phantoms,
trained for an epoch: weights do not matter to the speed. Every answer but 200, and every connection that breaks, is
lost. Memory is the server's anonymous memory, once a second; the first fifth of the time is its warm-up.
"""

from __future__ import annotations

import asyncio
import collections
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import record

PATHS = ("/predict", "/embed", "/search")
SMALL = [
    "model.backbone=timm/tf_efficientnet_lite0", "model.weights=none", "model.image_size=224", "data.cache_size=224",
    "data.images=60", "data.split.val=0.2", "data.split.test=0.2", "pretrain.epochs=1", "pretrain.batch_size=8",
    "embed.epochs=1", "embed.images_per_class=4", "embed.trainable=null", "finetune.epochs=1", "finetune.batch_size=8",
    "evaluation.resamples=100", "evaluation.baselines=false", "evaluation.audit=false", "tracking.wandb=off",
    "runtime.device=cpu",
]  # fmt: skip


@dataclass
class Load:
    """What was seen of the requests.

    Attributes
    ----------
    seconds : of each answered request
    statuses : how often each status came; `broken` is a connection that gave no answer
    memory : MiB of the server, once a second
    """

    seconds: list[float] = field(default_factory=list)
    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    memory: list[float] = field(default_factory=list)


def main() -> None:
    """Load the server, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--in-flight", type=int, default=200)
    parser.add_argument("--run", type=Path, help="a run with a classifier")
    parser.add_argument("--side", type=int, default=512, help="pixels of the images that are sent")
    options = parser.parse_args()
    if options.quick:
        options.minutes = min(options.minutes, 1)
    with tempfile.TemporaryDirectory() as scratch:
        run = options.run or trained(Path(scratch))
        found, batches = loaded(run, bodies(run, options.side), options)
    what = {"question": "Does the server lose a request or grow, and how long does a request take?"}
    size = {
        "in_flight": options.in_flight,
        "minutes": options.minutes,
        "side": options.side,
        "threads": options.threads,
    }
    statuses = {"statuses": dict(found.statuses)}
    record.write(
        options.result,
        "serve",
        {**what, "size": size, **statuses, "words": options.words, "figures": figures(found, batches, options)},
    )


def trained(scratch: Path) -> Path:
    """A small run."""
    from contrastive_cxr import recipe as recipes
    from contrastive_cxr.training.run import run

    return run(recipes.load("phantom", [*SMALL, f"data.cache_dir={scratch / 'cache'}"]), scratch / "run")


def bodies(run: Path, side: int) -> list[bytes]:
    """Forms with the boundary `b`, each with one image of the run, drawn out to `side` pixels, some noise over it."""
    rows = pd.read_csv(run / "manifest.csv", dtype=str)
    rng, found = np.random.default_rng(0), []
    for root, path in zip(rows["root"][:24], rows["path"][:24], strict=True):
        grey = np.asarray(Image.open(Path(root) / path).convert("L").resize((side, side)), np.float32)
        buffer = io.BytesIO()
        Image.fromarray(np.clip(grey + rng.normal(0, 4, grey.shape), 0, 255).astype(np.uint8)).save(buffer, "PNG")
        head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x.png"\r\n\r\n'
        found.append(head + buffer.getvalue() + b"\r\n--b--\r\n")
    return found


def loaded(run: Path, sent: list[bytes], options: Namespace) -> tuple[Load, float]:
    """Start the server, load it, end it by SIGTERM; with the mean size of its batches."""
    limits = {name: str(options.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "contrastive_cxr", "serve", str(run), "--port", "0", "--rate", "0"]
    command += ["--timeout", "300"]
    with subprocess.Popen(command, env=os.environ | limits, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None, "it is a pipe"
        port = next(int(said[1]) for line in server.stdout if (said := re.search(r"at http://\S+:(\d+)", line)))
        found = asyncio.run(flood(port, server.pid, sent, options))
        text = asyncio.run(metrics(port))
        server.terminate()
        server.stdout.read()
        record.say(f"the server ended with {server.wait()}")
    count, total = (float(re.search(rf"^ccxr_batch_images_{word} (\S+)", text, re.M)[1]) for word in ("count", "sum"))  # type: ignore[index]
    return found, total / count


async def flood(port: int, pid: int, sent: list[bytes], options: Namespace) -> Load:
    """All connections at once, for so long; then each takes the answer that it waits for."""
    found, end = Load(), time.monotonic() + options.minutes * 60
    requests = cycle((path, body) for body in sent for path in PATHS)

    async def watch() -> None:
        while time.monotonic() < end:
            found.memory.append(memory(pid))
            await asyncio.sleep(1)

    async def client() -> None:
        while time.monotonic() < end:
            try:
                await talk(port, requests, end, found)
            except (OSError, asyncio.IncompleteReadError):
                found.statuses["broken"] += 1

    await asyncio.gather(watch(), *(client() for _ in range(options.in_flight)))
    return found


async def talk(port: int, requests: Any, end: float, found: Load) -> None:
    """Ask over one connection until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < end:
        path, body = next(requests)
        begun = time.monotonic()
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None, head
        await reader.readexactly(int(length[1]))
        found.seconds.append(time.monotonic() - begun)
        found.statuses[head.split(b" ", 2)[1].decode()] += 1
    writer.close()


async def metrics(port: int) -> str:
    """What the server counted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return text


def memory(pid: int) -> float:
    """Anonymous memory of a process, MiB."""
    found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def figures(found: Load, batches: float, options: Namespace) -> list[record.Figure]:
    """The numbers of the result."""
    total = sum(found.statuses.values())
    p50, p95, p99 = np.percentile(found.seconds, [50, 95, 99])
    warm = found.memory[len(found.memory) // 5 :]
    third = max(1, len(warm) // 3)
    grown = float(np.median(warm[-third:]) / np.median(warm[:third]))
    return [
        record.figure("requests that were lost or refused", total - found.statuses["200"], wanted="<= 0"),
        record.figure("requests answered", found.statuses["200"]),
        record.figure("requests a second", found.statuses["200"] / (options.minutes * 60), "1/s"),
        record.figure("seconds a request, p50", float(p50), "s"),
        record.figure("seconds a request, p95", float(p95), "s"),
        record.figure("seconds a request, p99", float(p99), "s"),
        record.figure("images a batch", batches),
        record.figure("memory of the last third over the first, after the warm-up", grown, wanted="<= 1.05"),
        record.figure("peak of anonymous memory", max(found.memory), "MiB"),
    ]


if __name__ == "__main__":
    main()
