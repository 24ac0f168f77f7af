"""The audit from folders to files: what is found, what is written, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from contrastive_cxr.data import dataset
from contrastive_cxr.datasets.audit import audit, of_dataset
from contrastive_cxr.datasets.look import settings
from contrastive_cxr.errors import RequestError
from contrastive_cxr.metrics import baselines
from contrastive_cxr.tasks import Task
from tests.report.pages.test_page import Page

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_TREES", 10)


def paint(path: Path, seed: int, way: Any = None, shape: tuple[int, int] = (60, 48)) -> None:
    """A texture of its own for each seed, changed by `way`."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    pixels = np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if way is None else np.ascontiguousarray(way(pixels))).save(path)


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """Two labels in two splits; a mirrored copy across splits, one under another label, a plain one, a broken file."""
    root = tmp_path / "leaky"
    for number in range(8):
        for place, label in enumerate(("<b>sick", "well")):
            paint(root / "train" / label / f"{number}.png", number + 100 * place)
    for number in range(6):
        for place, label in enumerate(("<b>sick", "well")):
            paint(root / "test" / label / f"t{number}.png", 50 + number + 100 * place)
    paint(root / "test" / "well" / "mirrored.png", 103, lambda pixels: pixels[:, ::-1])
    paint(root / "train" / "well" / "other-label.png", 4, lambda pixels: np.rot90(pixels))
    shutil.copy(root / "train" / "well" / "0.png", root / "train" / "well" / "same.png")
    (root / "train" / "well" / "broken.png").write_bytes(b"\x89PNG and no more")
    return root


def words(tmp_path: Path) -> list[str]:
    return [f"data.cache_dir={tmp_path / 'cache'}", "data.cache_size=64", "data.workers=1"]


def test_what_is_hidden_is_found_and_written(leaky: Path, tmp_path: Path) -> None:
    facts = audit([leaky], tmp_path / "out", words(tmp_path), fix=tmp_path / "fixed.csv")
    written = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert facts == written
    assert (facts["version"], facts["counts"]["images"], facts["counts"]["unreadable"]) == (1, 31, 1)
    assert facts["unreadable"][0]["path"] == "train/well/broken.png"
    found = {tuple(group["images"]): group for group in facts["groups"]}
    across = found["test/well/mirrored.png", "train/well/3.png"]
    assert (across["kind"], across["transforms"], across["across_splits"]) == ("near", ["first", "mirror"], True)
    conflict = found["train/<b>sick/4.png", "train/well/other-label.png"]
    assert (conflict["transforms"][1], conflict["labels"]) == ("rotate 90", ["<b>sick", "well"])
    assert conflict["conflicting_labels"]
    assert found["train/well/0.png", "train/well/same.png"]["kind"] == "identical"
    assert len(found) == 3
    assert facts["groups"][0] == across, "the worst first"
    assert facts["verdict"]["word"] == "leak"
    assert {each["name"] for each in facts["baselines"]} == {"file metadata", "border, outer 10 %", "32x32 thumbnail"}
    assert {each["split"] for each in facts["baselines"]} == {"test"}

    page = Page((tmp_path / "out" / "audit.html").read_text())
    assert {"verdict", "groups", "unreadable"} <= set(page.ids)
    assert sum(address.startswith("data:image/jpeg") for address in page.addresses) == 6

    fixed = pd.read_csv(tmp_path / "fixed.csv", dtype=str, na_filter=False).set_index("file")
    assert fixed.loc["test/well/mirrored.png", "patient"] == fixed.loc["train/well/3.png", "patient"] != ""
    assert fixed.loc["train/<b>sick/4.png", "label_conflict"] == "yes"
    assert len(fixed) == 31
    assert facts["fix"]["root"] == str(leaky)


def test_two_sources_that_share_pictures(tmp_path: Path) -> None:
    for number in range(6):
        paint(tmp_path / "one" / "xy"[number % 2] / f"{number}.png", number)
        paint(tmp_path / "two" / "x" / f"{number}.jpg", number + 3, shape=(60, 48))
    facts = audit([tmp_path / "one", tmp_path / "two"], tmp_path / "out", words(tmp_path))
    shared = facts["sources_shared"]
    assert len(shared) == 1
    assert (shared[0]["sources"], shared[0]["shared"], shared[0]["images"]) == (["one", "two"], [3, 3], [6, 6])
    assert facts["verdict"]["word"] == "look"
    assert sum(group["conflicting_labels"] for group in facts["groups"]) == 2, "3 and 5 are y in one, x in two"
    assert facts["compared_by"] == "labels"
    assert any("give the task" in sentence for sentence in facts["verdict"]["sentences"])
    one_class = "task={name: t, classes: {ill: [x, y], well: [z]}}"
    facts = audit([tmp_path / "one", tmp_path / "two"], tmp_path / "again", [*words(tmp_path), one_class])
    assert facts["compared_by"] == "classes"
    assert facts["counts"]["conflicting_labels"] == 0, "x and y are one class"
    assert {tuple(group["classes"]) for group in facts["groups"]} == {("ill", "ill")}
    y_left_out = "task={name: t, classes: {ill: [x]}, drop: [y]}"
    facts = audit([tmp_path / "one", tmp_path / "two"], tmp_path / "again", [*words(tmp_path), y_left_out])
    assert facts["counts"]["conflicting_labels"] == 0, "one of them takes no part"


def test_a_request_that_is_wrong_writes_nothing(leaky: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.txt"
    taken.write_text("mine")
    with pytest.raises(RequestError) as caught:
        audit([leaky], taken, fix=taken)
    assert len(caught.value.faults) == 3
    with pytest.raises(RequestError) as caught:
        audit([tmp_path / "no", tmp_path / "where"], tmp_path / "out")
    assert len(caught.value.faults) == 2
    broken = tmp_path / "broken" / "x" / "1.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"nothing")
    with pytest.raises(RequestError, match="none of the 1 images can be read"):
        audit([tmp_path / "broken"], tmp_path / "out", words(tmp_path))
    assert not (tmp_path / "out").exists()
    assert taken.read_text() == "mine"


def test_a_column_named_as_a_fact_of_files_does_no_harm(leaky: Path, tmp_path: Path) -> None:
    files = sorted(path.relative_to(leaky) for path in leaky.rglob("t*.png"))
    lines = [f"{file},{file.parts[1]},nonsense,1" for file in files]
    (leaky / "labels.csv").write_text("\n".join(["file,label,digest,width", *lines]))
    facts = audit([leaky / "labels.csv"], tmp_path / "out", words(tmp_path))
    assert (facts["counts"]["images"], facts["groups"]) == (12, [])


def test_a_data_set_that_is_open_already(leaky: Path, tmp_path: Path) -> None:
    (leaky / "train" / "well" / "broken.png").unlink()
    task = Task(name="sick", classes={"well": ["well"], "sick": ["<b>sick"]}, positive="sick")
    opened = dataset.open_dataset(settings([leaky], words(tmp_path), None), task, need=("train", "test"))
    facts = of_dataset(opened, tmp_path)
    assert facts == json.loads((tmp_path / "audit.json").read_text())
    assert facts["counts"] | {"identical": 1, "near": 2} == facts["counts"]
    assert facts["verdict"]["word"] == "leak"
    assert facts["splits"] == {"train": 18, "test": 13}
    assert facts["counts"]["conflicting_labels"] == 1, "<b>sick and well are two classes"
    assert of_dataset(opened, command="ccxr audit x")["command"] == "ccxr audit x"


def test_a_run_is_audited_as_it_was_divided(leaky: Path, tmp_path: Path, finished: Path) -> None:
    facts = audit([finished], tmp_path / "out", words(tmp_path))
    rows = pd.read_csv(finished / "manifest.csv")
    assert facts["splits"] == rows["split"].value_counts().to_dict()
    with pytest.raises(RequestError, match="is a run, which is audited alone"):
        audit([finished, leaky], tmp_path / "two")


def test_a_runs_embedding_proposes_too(leaky: Path, tmp_path: Path, finished: Path) -> None:
    facts = audit([leaky], tmp_path / "out", words(tmp_path), run=finished)
    assert len(facts["groups"]) == 3, "what it proposes is confirmed as all else is"


@pytest.mark.slow
def test_an_audit_needs_no_torch(tmp_path: Path) -> None:
    for number in range(4):
        paint(tmp_path / "images" / "x" / f"{number}.png", number)
    code = (
        "import sys; from pathlib import Path; from contrastive_cxr.datasets.audit import audit; "
        "audit([Path(sys.argv[1])], Path(sys.argv[2]), sys.argv[3:]); print('torch' in sys.modules)"
    )
    asked = [str(tmp_path / "images"), str(tmp_path / "out"), *words(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_the_copies_hidden_among_the_real_images(shared_data: Path, tmp_path: Path) -> None:
    """What was found by looking at them: docs/reference/audit.md."""
    facts = audit([shared_data / "xray4"], tmp_path / "out", [f"data.cache_dir={tmp_path / 'cache'}"])
    covid = [group for group in facts["groups"] if set(group["labels"]) == {"covid"}]
    assert len(covid) == 38
    assert sum(len(group["images"]) for group in covid) == 238
    assert len(facts["groups"]) == 39
