"""A new user's path on a pseudo-terminal: what is to be seen at each step."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import recipe as recipes
from tests.cli.pseudo_terminal import Seen, ccxr

SMALL = [
    "model.backbone=cnn2", "model.weights=none", "model.normalise=dataset", "model.image_size=32",
    "pretrain.trainable=null", "pretrain.epochs=12", "embed.trainable=null", "embed.epochs=2", "finetune.epochs=2",
    "evaluation.resamples=100", "tracking.wandb=off",
]  # fmt: skip
COPIED = re.compile(r"(Report|Page|Gallery): |.*\bccxr ")
"""Lines that stay whole so that they can be copied: places and commands."""


def paint(root: Path, count: int = 60) -> None:
    """A folder of somebody's pictures with a table; half of them have a bright square."""
    rng = np.random.default_rng(0)
    (root / "pictures").mkdir(parents=True)
    for number in range(count):
        grey = rng.integers(0, 120, (48, 48)).astype(np.uint8)
        if number % 2:
            grey[12:30, 12:30] += 100
        Image.fromarray(grey).save(root / "pictures" / f"{number:03}.png")
    rows = {
        "Image": [f"{number:03}" for number in range(count)],
        "Diagnosis": ["normal", "nodule"] * (count // 2),
        "Patient ID": [f"p{number}" for number in range(count)],
    }
    pd.DataFrame(rows).to_csv(root / "cases.csv", index=False)


def assert_seen(seen: Seen, width: int, *words: str, code: int = 0) -> None:
    """The command ended as it should, said these words, and no line of it is wider than the terminal."""
    assert seen.code == code, seen.text
    assert "Traceback" not in seen.raw
    for each in words:
        assert each in seen.text, seen.text
    assert [line for line in seen.drawn if len(line) > width and not COPIED.match(line)] == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 120])
def test_the_path(tmp_path: Path, width: int) -> None:
    paint(tmp_path / "scans")
    terminal = {"folder": tmp_path, "width": width}
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    seen = ccxr("init", "scans", **terminal, **home)
    assert_seen(seen, width, "normal 30, nodule 30", "Recipe: scans.yaml", "ccxr run scans.yaml --dry-run")
    recipe = tmp_path / "scans.yaml"
    recipe.write_text(recipes.record(recipes.load(str(recipe), SMALL)))

    seen = ccxr("run", "scans.yaml", "--dry-run", **terminal, **home)
    assert_seen(seen, width, "Images:  60", "Steps:", "Time:", "Nothing was trained", "Next:", "ccxr run scans.yaml")
    assert any(re.match(r"starting .* loading PyTorch", line) for line in seen.drawn)
    assert not (tmp_path / "runs").exists()

    seen = ccxr("run", "scans.yaml", keys_at=("1/12: train loss", b"\x03"), **terminal, **home)
    assert_seen(seen, width, "interrupted after", "--resume", code=130)
    assert re.search(r"^pretrain (epoch )?1/12: train loss [\d.]+, val loss [\d.]+", seen.text, re.MULTILINE)
    assert any(line.startswith("starting") for line in seen.drawn)
    shown = [line for line in seen.drawn if line.startswith("phase 1/3 pretrain")]
    assert any(re.search(r"epoch \d+/12 .* \d+ % .*images/s .* left", line) for line in shown)

    seen = ccxr("run", "scans.yaml", "--resume", **terminal, **home)
    assert_seen(
        seen, width, "scans: test part, 12 images", "Report: ", "Next:", "ccxr predict runs/scans", "ccxr index"
    )
    lines = [line for line in seen.lines if re.match(r"(pretrain|embed|finetune) (epoch )?\d+/\d+: ", line)]
    assert all("train loss" in line and "val loss" in line for line in lines)
    assert [line for line in lines if line.startswith("embed")][-1].split(":")[0].endswith("2/2")
    assert not any(re.match(r"pretrain (epoch )?1/12", line) for line in lines)  # it went on, it did not begin again
    for phase in ("phase 2/3 embed", "phase 3/3 finetune"):
        assert any(line.startswith(phase) for line in seen.drawn)
        assert phase not in seen.text  # the status line leaves no trace
    assert any(line.startswith("scoring") for line in seen.drawn)
    assert (tmp_path / "runs/scans/report.html").is_file()

    seen = ccxr("predict", "runs/scans", "scans/pictures", "--out", "p.csv", **terminal, **home)
    assert_seen(seen, width, "60 rows: p.csv", "Next:", "ccxr explain runs/scans")
    assert len(pd.read_csv(tmp_path / "p.csv")) == 60

    seen = ccxr("index", "runs/scans", "train", "--out", "cases", **terminal, **home)
    assert_seen(seen, width, "Gallery: 42 images", "ccxr search cases IMAGE")
    seen = ccxr("search", "cases", "scans/pictures/001.png", **terminal, **home)
    assert_seen(seen, width, "label", "distance", "neighbours are", "Next:", "--html similar.html")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "width"), [({"TERM": "dumb"}, 80), ({"JPY_PARENT_PID": "1"}, 80), ({"NO_COLOR": "1"}, 20)]
)
def test_a_terminal_that_can_do_little_gets_plain_lines(
    tmp_path: Path, environment: dict[str, str], width: int
) -> None:
    paint(tmp_path / "scans")
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", **environment}
    seen = ccxr("data", "look", "scans", "data.columns.label=Diagnosis", folder=tmp_path, width=width, **home)
    assert seen.code == 0, seen.text
    assert "Traceback" not in seen.raw
    assert "\x1b" not in seen.raw  # nothing is drawn over, nothing is bold or coloured
    assert "Page: " in seen.text.replace("\n", "")
