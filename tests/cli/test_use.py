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
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema

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
