"""`index` into stores and `search` in them, with a small untrained network: the facts of the folder's gallery."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from contrastive_cxr import models
from contrastive_cxr.cli.app import app
from contrastive_cxr.data.files.store_urls import StoreUrl
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.gallery import convert, index
from contrastive_cxr.inference.loaded import load
from contrastive_cxr.inference.loaded_answers import SearchOptions, cases
from contrastive_cxr.inference.search import search
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import StoreGallery
from tests.retrieval.stores.conftest import server, url  # noqa: F401

pytest.importorskip("lance")


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model, two class folders, and a gallery of them in a folder."""
    folder = tmp_path_factory.mktemp("world")
    network = models.build(schema.Model(backbone="shufflenet_v2_x0_5", image_size=32), mean=0.5, std=0.25, seed=0)
    card = {"classes": [], "decode": {"cache_size": 32}, "channels_last": False, "phase": "embed", "task": "t"}
    weights.save(network, folder / "run" / "embed", card)
    rng = np.random.default_rng(0)
    for number in range(12):
        place = folder / "images" / ("ill" if number % 2 else "normal") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32), dtype=np.uint8)).save(place)
    index(folder / "run", str(folder / "images"), folder / "gallery")
    return folder


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The facts of two searches are the same but for how rows are numbered and what the gallery is called."""
    assert len(found["queries"]) == len(wanted["queries"]) == 3
    for ours, theirs in zip(found["queries"], wanted["queries"], strict=True):
        assert ours.keys() == theirs.keys()
        assert [each["file"] for each in ours["neighbours"]] == [each["file"] for each in theirs["neighbours"]]
        gaps = [[each["distance"] for each in one["neighbours"]] for one in (ours, theirs)]
        np.testing.assert_allclose(*gaps, atol=1e-6)
        assert ours["percentile"] == pytest.approx(theirs["percentile"], abs=0.01)
        assert (ours["inside"], ours["agreement"], ours["words"]) == (
            theirs["inside"], theirs["agreement"], theirs["words"],
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["lance", "postgresql"])
def test_a_store_finds_what_the_folder_finds(
    world: Path, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    out: Path | None = tmp_path / "gallery"
    store: str | StoreUrl = "lance"
    if kind == "postgresql":
        out, store = None, request.getfixturevalue("url")
    made = index(world / "run", str(world / "images"), out, store=store)
    assert isinstance(made, StoreGallery)
    place = out or store
    images = sorted((world / "images" / "ill").glob("*.png"))[:3]
    for options in ({}, {"where": {"label": ["normal"]}}):
        same(search(place, images, k=4, **options), search(world / "gallery", images, k=4, **options))
    page = tmp_path / "page.html"
    search(place, images[:1], k=2, html=page)
    assert page.stat().st_size > 1000
    loaded, held = load(place), load(world / "gallery")
    assert loaded.gallery is not None
    assert held.gallery is not None
    picture = loaded.read(str(images[0]), "a.png", ("embed",))
    vectors = held.gallery.take_vectors([3])
    entry, other = (cases(each, [picture], vectors, SearchOptions(k=3))[0] for each in (loaded.gallery, held.gallery))
    assert [each["path"] for each in entry["neighbours"]] == [each["path"] for each in other["neighbours"]]
    back = convert(place, tmp_path / "back")
    assert (np.asarray(back.take_vectors(range(12))) == held.gallery.take_vectors(range(12))).all()


def test_faults_are_told_at_once_and_nothing_is_written(world: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        index(world / "nothing", str(world / "images"), tmp_path / "g", store="lanse", device="abacus")
    assert len(caught.value.faults) == 3
    with pytest.raises(RequestError, match="a gallery in lance is exact or ivf-pq"):
        index(world / "run", str(world / "images"), tmp_path / "g", store="lance", kind="hnsw")
    with pytest.raises(RequestError, match="is there already and is not empty"):
        index(world / "run", str(world / "images"), world / "gallery", store="lance")
    assert os.listdir(tmp_path) == []


def test_the_commands(world: Path, tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "lance"
    done = runner.invoke(
        app, ["index", "--from-gallery", str(world / "gallery"), "--store", "lance", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "Gallery: 12 images, exact" in done.output.replace("\n", " ")
    image = str(world / "images" / "ill" / "1.png")
    done = runner.invoke(app, ["search", str(out), image, "-k", "2"])
    assert done.exit_code == 0, done.output
    assert json.loads((out / "gallery.json").read_text())["made_by"] == str((world / "run" / "embed").resolve())
    for words, said in (
        (["index", "--from-gallery", str(out), "a", "--out", str(tmp_path / "x")], "copies a gallery"),
        (["index", "RUN", "train"], "no such run folder"),
        (["search", "postgresql://me:hidden1@127.0.0.1:9/db?connect_timeout=2", image], "the server does not answer"),
    ):
        done = runner.invoke(app, words)
        assert isinstance(done.exception, RequestError), done.output
        assert said in str(done.exception)
        assert "hidden1" not in f"{done.output}{done.exception}"
