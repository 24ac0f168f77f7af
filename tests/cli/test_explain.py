"""`ccxr explain`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from contrastive_cxr import models
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    network = models.build(
        schema.Model(backbone="shufflenet_v2_x0_5", image_size=32), classes=2, mean=0.5, std=0.25, seed=0
    )
    card = {
        "classes": ["no", "yes"],
        "decode": {"cache_size": 32},
        "channels_last": True,
        "phase": "pretrain",
        "task": "t",
    }
    weights.save(network, tmp_path / "run" / "pretrain", card)
    Image.new("L", (40, 40), 90).save(tmp_path / "one.png")
    return tmp_path / "run"


def test_a_page_is_written_into_the_run(ccxr: Call, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam")
    words = ("explain", run, tmp_path / "one.png", "--target", "yes", "--steps", "3", "--seed", "5")
    code, said, told = ccxr(*words)
    assert code == 0, told
    assert f"Page: {(run / 'explain' / 'explain.html').resolve()}" in said
    facts = json.loads((run / "explain" / "explain.json").read_text())
    assert (facts["ascent"]["steps"], facts["ascent"]["seed"]) == (3, 5)
    assert ccxr(*words)[0] == 2  # what is there is not written over


def test_a_wrong_request_ends_with_2_and_sentences(ccxr: Call, run: Path, tmp_path: Path) -> None:
    code, _, said = ccxr("explain", run, tmp_path / "two.png", "--target", "yess")
    assert code == 2
    assert "did you mean 'yes'" in said
    assert "two.png" in said
    assert all(line.startswith("error: ") for line in said.splitlines())
    assert not (run / "explain").exists()


def test_frames_choose_pictures_of_a_file(ccxr: Call, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam")
    pages = [Image.new("L", (40, 40), shade) for shade in (30, 90, 200)]
    pages[0].save(tmp_path / "loop.tif", save_all=True, append_images=pages[1:])
    code, _, told = ccxr("explain", run, tmp_path / "loop.tif", "--frames", "{start: 1}", "--steps", "0")
    assert code == 0, told
    facts = json.loads((run / "explain" / "explain.json").read_text())
    assert [each["file"] for each in facts["images"]] == [f"{tmp_path}/loop.tif#frame={n}" for n in (1, 2)]
