"""`ccxr predict`, `encode` and `explain` take the same sources and options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import models
from contrastive_cxr.cli.use import explained
from contrastive_cxr.engine import allocator
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from tests.cli.next_lines import next_of

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    model = schema.Model(backbone="shufflenet_v2_x0_5", image_size=32)
    network = models.build(model, classes=2, mean=0.5, std=0.25, seed=0)
    card = {"classes": ["no", "yes"], "decode": {"cache_size": 32}, "channels_last": True, "phase": "p", "task": "t"}
    weights.save(network, tmp_path / "run" / "pretrain", card)
    for number, name in enumerate(("one.png", "sick/two.png", "well/three.png")):
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 40), 40 + 60 * number).save(tmp_path / "new" / name)
    return tmp_path / "run"


def test_files_folders_and_tables_and_a_result_that_is_replaced_when_told(
    ccxr: Call, run: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pytorch_grad_cam")
    new = tmp_path / "new"
    pd.DataFrame({"file": ["new/well/three.png"], "label": ["well"]}).to_csv(tmp_path / "list.csv", index=False)
    sources = (new / "one.png", new / "sick", tmp_path / "list.csv")
    outs = {"predict": "said.csv", "encode": "vectors.npy", "explain": "page"}
    for command, out in outs.items():
        words = (command, run, *sources, "--out", tmp_path / out, "--device", "auto")
        words = (*words, "--steps", "0") if command == "explain" else words
        code, _, told = ccxr(*words)
        assert code == 0, told
        code, _, told = ccxr(*words)
        assert code == 2, command
        assert "--overwrite" in told
        code, _, told = ccxr(*words, "--overwrite")
        assert code == 0, told
    names = [str(new / name) for name in ("one.png", "sick/two.png", "well/three.png")]
    assert list(pd.read_csv(tmp_path / "said.csv")["file"]) == names
    rows = pd.read_csv(tmp_path / "vectors.csv", keep_default_na=False)
    assert list(rows["file"]) == names
    assert list(rows["label"]) == ["", "", "well"]
    assert np.load(tmp_path / "vectors.npy").shape[0] == 3
    facts = json.loads((tmp_path / "page" / "explain.json").read_text())
    assert [shown["file"] for shown in facts["images"]] == names


def test_after_encoding_comes_a_gallery_of_the_same_images(ccxr: Call, run: Path, tmp_path: Path) -> None:
    sick = tmp_path / "new" / "sick"
    (tmp_path / "new" / "well" / "three.png").rename(sick / "three.png")
    code, said, told = ccxr("encode", run, sick, "--out", tmp_path / "a.npy", "--frames", "all")
    assert code == 0, told
    steps = next_of(said)
    assert steps["gallery"] == [
        "index", str(run), str(sick), "--frames", "all", "--axis", "axial", "--out", str(run / "gallery")
    ]  # fmt: skip
    code, said, told = ccxr(*steps["gallery"])
    assert code == 0, told
    assert "Gallery: 2 images" in said
    words = [str(tmp_path / "new" / "one.png") if word == "IMAGE" else word for word in steps["search"]]
    code, said, told = ccxr(*words)
    assert code == 0, told
    assert list(next_of(ccxr("encode", run, sick, "--out", tmp_path / "b.npy")[1])) == ["search"], "it is there"
    several = ccxr("encode", run, sick, tmp_path / "new" / "one.png", "--out", tmp_path / "c.npy")[1]
    assert "Next" not in several, "a gallery is of one source, and this run has no images of its own"


def test_a_prediction_over_seeds_is_explained_by_its_first_run(tmp_path: Path) -> None:
    assert explained(tmp_path) == tmp_path
    (tmp_path / "parts.json").write_text(json.dumps({"parts": ["seed3", "seed4"]}))
    assert explained(tmp_path) == tmp_path / "seed3"


@pytest.mark.parametrize(("command", "out"), [("predict", "said.csv"), ("encode", "vectors.npy")])
def test_commands_keep_freed_memory(
    ccxr: Call, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, out: str
) -> None:
    told: list[str] = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: told.append(command))
    code, _, said = ccxr(command, run, tmp_path / "new", "--out", tmp_path / out)
    assert code == 0, said
    assert told == [command]
