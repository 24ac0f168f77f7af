"""How fast `ccxr explore` answers for one image, draws its map, and moves it.

python -m benchmarks.explore [--rows 50000] [--gallery 10000] [--repeats 20]

The gallery is made: unit vectors in 40 groups. A small run of phantoms gives the model, EfficientNet-Lite0 at 224
pixels, whose weights do not matter to the speed. The first results are those of `POST /search` for one PNG of 1024
pixels, over HTTP, after one request to warm up. The map is drawn when the browser has handed in its first frame,
counted from the navigation. It is moved by dragging for five seconds; frames are those that the page drew. Chromium is
headless and has WebGL in software alone (SwiftShader), on the same cores as everything else; the page then writes the
pixels of its points itself.
"""

from __future__ import annotations

import dataclasses
import io
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import torch
import uvicorn
from PIL import Image

from benchmarks import record
from contrastive_cxr import recipe as recipes
from contrastive_cxr.explore.answers import Explorer
from contrastive_cxr.explore.computed import computed, pictures_of
from contrastive_cxr.explore.served import around
from contrastive_cxr.inference.loaded import LoadedModels, load
from contrastive_cxr.retrieval import Gallery
from contrastive_cxr.server import access
from contrastive_cxr.server.limits import Limits
from contrastive_cxr.training.run import run as train

GROUPS, CLASSES = 40, ("normal", "nodule", "opacity")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader-webgl", "--ignore-gpu-blocklist"]
DRAG = """async seconds => {
  const map = document.querySelector('#map .over'), box = map.getBoundingClientRect();
  const counter = document.querySelector('#map');
  const send = (kind, x) => (kind === 'mousedown' ? map : window).dispatchEvent(new MouseEvent(kind,
    {bubbles: true, view: window, clientX: box.left + x, clientY: box.top + box.height / 2, buttons: 1}));
  const before = +counter.dataset.frames, began = performance.now(), times = [];
  send('mousedown', box.width / 2);
  while (performance.now() - began < 1000 * seconds) {
    await new Promise(requestAnimationFrame);
    times.push(performance.now());
    send('mousemove', box.width / 2 + 120 * Math.sin((performance.now() - began) / 200));
  }
  send('mouseup', box.width / 2);
  const gaps = times.slice(1).map((each, at) => each - times[at]).sort((a, b) => a - b);
  const seconds_ = (performance.now() - began) / 1000, p95 = gaps[Math.floor(0.95 * gaps.length)];
  return {frames: +counter.dataset.frames - before, seconds: seconds_, p95};
}"""


def main() -> None:
    """Measure, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="cases of the map")
    parser.add_argument("--gallery", type=int, default=10_000, help="cases of the gallery that is searched")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = 5 if options.quick else options.repeats
    with tempfile.TemporaryDirectory() as scratch:
        loaded = model(Path(scratch))
        small, _ = explored(loaded, options.gallery, Path(scratch) / "small")
        with served(small) as address:
            first = searched(address, repeats)
        large, computing = explored(loaded, options.rows, Path(scratch) / "large")
        _, again = explored(loaded, options.rows, Path(scratch) / "large")
        with served(large) as address:
            seen = [looked_at(address, 2 if options.quick else 5) for _ in range(2 if options.quick else 5)]
    rows, place = options.rows, f"gallery of {options.gallery}"
    figures = [
        record.figure(f"{place}: first results for one image", first, "s", wanted="<= 0.5"),
        record.figure(f"map of {rows} points: drawn", [each["drawn"] for each in seen], "s", wanted="<= 2"),
        record.figure(f"map of {rows} points: frames a second", [each["rate"] for each in seen], "1/s", wanted=">= 30"),
        record.figure(f"map of {rows} points: 95th percentile between frames", [each["p95"] for each in seen], "ms"),
        record.figure(f"map of {rows} points: laid out at the first start", computing, "s"),
        record.figure(f"map of {rows} points: read at the second start", again, "s"),
    ]
    words = options.words or "Headless Chromium without a GPU: the page draws its points on a plain canvas."
    question = "Does the page of ccxr explore answer at once and move smoothly?"
    extra = {"renderer": seen[0]["renderer"], "browser": seen[0]["browser"]}
    record.write(options.result, "explore", {"question": question, "words": words, "figures": figures, **extra})


def model(scratch: Path) -> LoadedModels:
    """A trained model, whatever its weights."""
    words = [
        "model.backbone=timm/tf_efficientnet_lite0", "model.weights=none", "model.image_size=224", "data.images=90",
        "data.cache_size=224", f"data.cache_dir={scratch / 'cache'}", "pretrain.epochs=1", "embed.epochs=1",
        "embed.images_per_class=4", "embed.trainable=null", "finetune.epochs=1", "evaluation.resamples=100",
        "evaluation.baselines=false", "evaluation.audit=false", "tracking.wandb=off", "runtime.device=cpu",
    ]  # fmt: skip
    return load(train(recipes.load("phantom", words), scratch / "run"))


def explored(loaded: LoadedModels, rows: int, folder: Path) -> tuple[Explorer, float]:
    """A made gallery of so many cases, opened; and the seconds that this took."""
    assert loaded.embedder is not None, "the run has one"
    rng, size = np.random.default_rng(0), loaded.embedder.size
    group = rng.integers(GROUPS, size=rows)
    vectors = rng.normal(size=(GROUPS, size))[group] + 0.6 * rng.normal(size=(rows, size))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = [CLASSES[each % len(CLASSES)] for each in group]
    table = pd.DataFrame({"label": labels, "patient": [f"p{row // 3}" for row in range(rows)], "split": "train"})
    gallery = Gallery.build(vectors, table, loaded.embedder.digest, kind="exact")
    opened = dataclasses.replace(loaded, gallery=gallery)
    start = time.perf_counter()
    pictures = pictures_of(opened)
    folder.mkdir(exist_ok=True)
    found = computed(opened, folder, pictures)
    seconds = time.perf_counter() - start
    return Explorer(opened, found, pictures, "made"), seconds


@contextmanager
def served(found: Explorer) -> Iterator[str]:
    """The page at a free port."""
    listening: socket.socket = access.bound("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(around(found, Limits(rate=0)), http="h11", log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)
    listening.close()


def searched(address: str, repeats: int) -> list[float]:
    """Seconds from sending one image to its nearest cases."""
    buffer = io.BytesIO()
    Image.effect_noise((1024, 1024), 60).save(buffer, "PNG")
    seconds = []
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        for _ in range(repeats + 1):
            start = time.perf_counter()
            client.post("/search?k=8", files=[("images", ("one.png", buffer.getvalue()))]).raise_for_status()
            seconds.append(time.perf_counter() - start)
    return seconds[1:]


def looked_at(address: str, seconds: int) -> dict[str, Any]:
    """What a fresh browser says: seconds until the map is drawn, frames a second while it is dragged."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.wait_for_selector("body[data-drawn]", timeout=120_000)
        drawn = page.evaluate("performance.getEntriesByName('map-drawn')[0].startTime") / 1000
        page.wait_for_timeout(1000)
        moved = page.evaluate(DRAG, seconds)
        kind = page.locator("#map").get_attribute("data-renderer")
        found = {"drawn": drawn, "rate": moved["frames"] / moved["seconds"], "p95": moved["p95"], "renderer": kind}
        found["browser"] = f"Chromium {browser.version}, headless, no GPU"
        browser.close()
    return found


if __name__ == "__main__":
    main()
