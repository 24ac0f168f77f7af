"""`index` and `search` with a small untrained network: folders in, galleries, facts and pages out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.gallery import index
from contrastive_cxr.inference.search import search
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, Gallery

SCRIPT = "<script>document.title='run'<"  # a folder's name cannot hold a slash


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of an untrained model."""
    folder = tmp_path_factory.mktemp("run")
    network = models.build(schema.Model(backbone="shufflenet_v2_x0_5", image_size=32), mean=0.5, std=0.25, seed=0)
    card = {"classes": [], "decode": {"cache_size": 32}, "channels_last": False, "phase": "embed", "task": "t"}
    weights.save(network, folder / "embed", card)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two class folders of smooth pictures, one of them with a name that is markup; and one picture of noise."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 32)
    for number in range(12):
        label = SCRIPT if number % 2 else "normal"
        (folder / "known" / label).mkdir(parents=True, exist_ok=True)
        grey = (ramp[:, None] if number % 2 else ramp[None, :]) + rng.normal(20, 3, (32, 32))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / "known" / label / f"{number}.png")
    Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(folder / "noise.png")
    return folder


@pytest.fixture(scope="module")
def gallery(run: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("galleries") / "gallery"
    index(run, str(images / "known"), folder)
    return folder


def test_a_folder_becomes_a_gallery_with_its_labels(gallery: Path, run: Path, images: Path) -> None:
    held, model = Gallery.load(gallery), EmbeddingModel.load(run)
    assert sorted(held.rows["label"].unique()) == sorted(["normal", SCRIPT])
    files = [Path(root) / path for root, path in zip(held.rows["root"], held.rows["path"], strict=True)]
    assert np.array_equal(held.vectors, model.embed(files))
    assert held.model_digest == model.digest
    assert Path(held.about.made_by) == run / "embed"
    assert held.about.preprocessing == model.preprocessing


def test_neighbours_are_those_of_a_loop_and_the_page_shows_them_as_text(
    gallery: Path, run: Path, images: Path, tmp_path: Path
) -> None:
    held, model = Gallery.load(gallery), EmbeddingModel.load(run)
    inside, noise = images / "known" / "normal" / "0.png", images / "noise.png"
    page = tmp_path / "page.html"
    facts = search(gallery, [inside, noise], k=8, html=page)
    for query in facts["queries"]:
        gaps = np.linalg.norm(held.vectors - model.embed(query["file"])[0], axis=1)
        order = [row for row in np.argsort(gaps, kind="stable") if held.rows["path"][row] != "normal/0.png"]
        if query is facts["queries"][1]:
            order = list(np.argsort(gaps, kind="stable"))
        assert [near["position"] for near in query["neighbours"]] == order[:8]
        labels = [near["label"] for near in query["neighbours"]]
        said = query["agreement"]
        assert said["votes"] == labels.count(said["label"]) == max(map(labels.count, labels))
    assert [query["inside"] for query in facts["queries"]] == [True, False]
    assert [query["unfamiliar"] for query in facts["queries"]] == [False, True]
    assert facts["queries"][1]["percentile"] == 100
    text = page.read_text()
    assert text.count("<script") == 1, "the page's own"
    assert "&lt;script&gt;" in text
    # images, neighbours, and on both sides of each a map over its image, or the reason why there is none
    assert text.count("data:image/webp") + text.count("No map: ") == 32
    assert text.count("data:image/webp") > 0
    assert text.count("data:image/jpeg") == 2 + 16 + text.count("data:image/webp")
    assert 'name="opacity"' in text
    assert "unfamiliar</span>" in text


def test_a_neighbour_whose_file_is_gone_is_told_and_the_image_keeps_its_map(
    run: Path, images: Path, tmp_path: Path
) -> None:
    known = shutil.copytree(images / "known", tmp_path / "known")
    index(run, str(known), tmp_path / "gallery")
    gone = known / "normal" / "0.png"
    gone.unlink()
    search(tmp_path / "gallery", [images / "noise.png"], k=12, html=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count(f"Not shown. {gone}: does not exist.") == 1
    assert text.count("No map: the image cannot be read here.") == 1, "its own map alone"
    assert text.count("No map: only the nearest 10 neighbours have one") in (3, 4), "two sides of the last two"
    assert "Not made." not in text


def test_a_filter_and_too_few_are_told(gallery: Path, images: Path) -> None:
    facts = search(gallery, [images / "noise.png"], k=10, where={"label": ["normal"]})
    (query,) = facts["queries"]
    assert {near["label"] for near in query["neighbours"]} == {"normal"}
    assert query["words"].startswith("6 of the 10 neighbours asked for")


def test_a_moved_model_is_named_and_another_one_refused(
    gallery: Path, run: Path, images: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    record = json.loads((gallery / "gallery.json").read_text())
    for name in ("vectors.npy", "rows.csv"):
        (tmp_path / name).write_bytes((gallery / name).read_bytes())
    (tmp_path / "gallery.json").write_text(json.dumps(record | {"made_by": str(tmp_path / "gone")}))
    with pytest.raises(RequestError, match="gone, which is gone; name its run with --run"):
        search(tmp_path, [images / "noise.png"])
    assert search(tmp_path, [images / "noise.png"], run=run)["queries"]
    other = tmp_path_factory.mktemp("other")
    network = models.build(schema.Model(backbone="shufflenet_v2_x0_5", image_size=32), mean=0.5, std=0.25, seed=1)
    card = {"classes": [], "decode": {"cache_size": 32}, "channels_last": False, "phase": "embed", "task": "t"}
    weights.save(network, other, card)
    with pytest.raises(RequestError, match="vectors of two models"):
        search(gallery, [images / "noise.png"], run=other)


def test_every_fault_is_told_at_once(gallery: Path, run: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as told:
        search(tmp_path / "none", [images / "no.png"], k=0, html=tmp_path / "page.txt", unfamiliar=100)
    words = "\n".join(told.value.faults)
    for part in ("-k 0", "--unfamiliar 100", "must end in .html", "no.png: no such file", "gallery.json is missing"):
        assert part in words
    with pytest.raises(RequestError) as told:
        index(tmp_path / "no run", "nonsense", gallery, kind="flat", device="tpu")
    words = "\n".join(told.value.faults)
    for part in ("kind 'flat'", "--device tpu", "is there already", "nonsense: is neither a part", "no run"):
        assert part in words
    assert not (tmp_path / "page.txt").exists()


def manifest(run: Path, images: Path) -> pd.DataFrame:
    """A run's table of images."""
    files = sorted((images / "known").rglob("*.png"))
    table = pd.DataFrame(
        {
            "path": [file.relative_to(images).as_posix() for file in files],
            "root": str(images),
            "label": "raw",
            "patient": "",
            "split": ["train" if number % 3 else "val" for number in range(len(files))],
            "source": "images",
            "class": [f"class {number % 2}" for number in range(len(files))],
            "digest": [str(number) for number in range(len(files))],
        }
    )
    table.to_csv(run / "manifest.csv", index=False)
    return table


def test_a_part_of_a_run_has_its_classes_and_its_recorded_vectors(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = manifest(run, images)
    made = index(run, "val", tmp_path / "val")
    assert made.rows["label"].tolist() == table[table["split"] == "val"]["class"].tolist()
    assert set(made.rows["label_in_source"]) == {"raw"}
    assert len(index(run, "all", tmp_path / "all")) == 12
    with pytest.raises(RequestError, match="no image is in its part 'test'"):
        index(run, "test", tmp_path / "test")
    model, train = EmbeddingModel.load(run), table[table["split"] == "train"]
    arrays = run / "embed" / "arrays"
    arrays.mkdir()
    vectors = np.eye(len(train), model.size, dtype=np.float32)
    np.save(arrays / "train_vectors.npy", vectors)
    train.to_csv(arrays / "train_rows.csv", index=False)
    (arrays / "made.json").write_text(json.dumps({"train_model": model.digest, "train_images": "x"}))
    assert np.array_equal(index(run, "train", tmp_path / "kept").vectors, vectors)
    (arrays / "made.json").write_text(json.dumps({"train_model": "other", "train_images": "x"}))
    assert not np.array_equal(index(run, "train", tmp_path / "anew").vectors, vectors)


def test_the_commands(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from contrastive_cxr.cli import main

    def ccxr(*words: Any) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["ccxr", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        return (left.value.code or 0, *capsys.readouterr())

    code, said, _ = ccxr("index", run, images / "known", "--out", tmp_path / "g", "--kind", "exact")
    assert code == 0
    assert "12 images, exact" in said
    page = tmp_path / "page.html"
    code, said, _ = ccxr(
        "search", tmp_path / "g", images / "noise.png", "-k", 2, "--where", "label=normal", "--html", page
    )
    assert code == 0
    assert "2 of 2 neighbours are normal." in said
    assert "UNFAMILIAR (above 99)" in said
    assert page.is_file()
    code, _, said = ccxr("search", tmp_path / "g", images / "noise.png", "--where", "label")
    assert code == 2
    assert "--where label: write COLUMN=VALUE" in said
