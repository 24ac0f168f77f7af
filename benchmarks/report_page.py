"""How large the report of 5,000 scored images is, and how long a browser takes to show it.

python -m benchmarks.report_page [--rows 5000] [--repeats 5]

Made arrays of a run: painted phantoms, shifted and with noise, so that no two small pictures are the same. A page is
open when its load event is over and the first image of the gallery is drawn; Chromium, a new process each time.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from benchmarks import record
from contrastive_cxr import report
from contrastive_cxr.data import phantom
from contrastive_cxr.run.folder import write_json
from contrastive_cxr.tasks import Task

CLASSES = ("normal", "nodule", "opacity")
TRAIN = 200
DRAWN = """() => new Promise(done => {
  const image = document.querySelector('#gallery figure:not([hidden]) img');
  image.scrollIntoView();
  const look = () => image.complete && image.naturalWidth ? done() : requestAnimationFrame(look);
  look();
})"""


def main() -> None:
    """Measure, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        run = made(Path(scratch), options.rows)
        start = time.perf_counter()
        page = report.write(run)
        written = time.perf_counter() - start
        size = page.stat().st_size / 1e6
        opened = [shown(page) for _ in range(2 if options.quick else options.repeats)]
    figures = [
        record.figure(f"report of {options.rows} images: size", size, "MB", wanted="<= 15"),
        record.figure(f"report of {options.rows} images: opens", opened, "s", wanted="<= 2"),
        record.figure(f"report of {options.rows} images: written", written, "s"),
    ]
    record.write(options.result, "report_page", {"question": "Report", "words": options.words, "figures": figures})


def made(folder: Path, rows: int) -> Path:
    """A run with the arrays of `rows` scored images; the files of cases and training images alone are there."""
    images, arrays = folder / "images", folder / "run" / "finetune" / "arrays"
    phantom.paint(images, TRAIN, seed=0)
    arrays.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, rows)
    given = rng.dirichlet(np.ones(3), rows) + 1.2 * np.eye(3)[labels]
    given = (given / given.sum(1, keepdims=True)).astype(np.float32)
    files = sorted((images / "images").glob("*.png"))
    for row in report.case_rows(given.max(1), given.argmax(1), labels):
        shutil.copy(files[row % TRAIN], images / f"scored{row:05d}.png")
    kept = report.shown(rows)
    np.save(arrays / "thumbnails.npy", pictures(files, kept, report.side(rows, 256), rng))
    vectors = rng.normal(size=(rows + TRAIN, 64)).astype(np.float32)
    known = rng.integers(0, 3, TRAIN)
    vectors += 2 * np.eye(3, 64, dtype=np.float32)[np.concatenate([labels, known])]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for name, array in (("labels", labels), ("probabilities", given), ("vectors", vectors[:rows])):
        np.save(arrays / f"{name}.npy", array)
    np.save(arrays / "train_vectors.npy", vectors[rows:])
    table([f"scored{row:05d}.png" for row in range(rows)], images, labels).to_csv(arrays / "rows.csv", index=False)
    names = [file.relative_to(images).as_posix() for file in files]
    table(names, images, known).to_csv(arrays / "train_rows.csv", index=False)
    task = Task(name="phantom", classes={name: (name,) for name in CLASSES}, positive="opacity")
    predictions = report.Predictions(given, labels, np.full(rows, -1))
    facts = report.build(report.Subject("made", task, "finetune", "test"), predictions, resamples=100)
    write_json(folder / "run" / "report.json", facts)
    return folder / "run"


def pictures(files: list[Path], rows: NDArray[np.int64], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Small pictures uint8 [n, S, S]: phantoms, shifted by some pixels, with noise."""
    small = np.stack([np.asarray(Image.open(file).convert("L").resize((side, side))) for file in files]).astype(float)
    found = np.empty((len(rows), side, side), np.uint8)
    for place, row in enumerate(rows):
        moved = np.roll(small[row % TRAIN], rng.integers(-6, 7, 2), (0, 1))
        found[place] = (moved + rng.normal(scale=4, size=moved.shape)).clip(0, 255)
    return found


def table(paths: list[str], root: Path, labels: NDArray[Any]) -> pd.DataFrame:
    """Rows as an evaluation writes them."""
    names = [CLASSES[number] for number in labels]
    return pd.DataFrame({"path": paths, "root": str(root), "label": names, "patient": "", "class": names})


def shown(page: Path) -> float:
    """Seconds until a new browser has opened the page."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        tab.goto(page.as_uri())
        tab.evaluate(DRAWN)
        spent = time.perf_counter() - start
        browser.close()
    return spent


if __name__ == "__main__":
    main()
