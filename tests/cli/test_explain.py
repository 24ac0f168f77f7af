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
from tests.cli.next_lines import next_of

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
    assert next_of(said) == {"look": [str(run / "explain" / "explain.html"), "in", "a", "browser"]}
    facts = json.loads((run / "explain" / "explain.json").read_text())
    assert (facts["ascent"]["steps"], facts["ascent"]["seed"]) == (3, 5)
    assert ccxr(*words)[0] == 2  # what is there is not written over


def test_similar_cases_come_next_where_the_run_has_its_images(ccxr: Call, run: Path, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_grad_cam")
    for number in range(3):
        Image.new("L", (40, 40), 40 + 60 * number).save(tmp_path / f"{number}.png")
    rows = [f"{tmp_path},{number}.png,no,,train,no,0" for number in range(3)]
    (run / "manifest.csv").write_text("\n".join(["root,path,label,patient,split,class,digest", *rows, ""]))
    code, said, told = ccxr("explain", run, tmp_path / "one.png", "--steps", "0", "--out", tmp_path / "why now")
    assert code == 0, told
    steps = next_of(said)
    assert steps["look"][0] == str(tmp_path / "why now" / "explain.html")
    assert list(steps) == ["look", "gallery", "search"]
    for what in ("gallery", "search"):
        code, said, told = ccxr(*steps[what])
        assert code == 0, told
    assert "one.png" in said
    code, said, told = ccxr("explain", run, tmp_path / "one.png", "--steps", "0")
    assert list(next_of(said)) == ["look", "search"], "the gallery is there"


def test_a_wrong_request_ends_with_2_and_sentences(ccxr: Call, run: Path, tmp_path: Path) -> None:
    """Files that are missing are told before the model is opened, which takes long; what is asked of it after that."""
    image = tmp_path / "one.png"
    Image.new("L", (40, 40), 90).save(image)
    for given, word in ((tmp_path / "two.png", "two.png"), (image, "did you mean 'yes'")):
        code, _, said = ccxr("explain", run, given, "--target", "yess")
        assert code == 2
        assert word in said
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
