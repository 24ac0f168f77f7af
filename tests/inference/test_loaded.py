"""What is loaded for a server, of runs and galleries."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr import EmbeddingModel
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.gallery import index
from contrastive_cxr.inference.loaded import load
from contrastive_cxr.inference.loaded_answers import SearchOptions, cases, predictions, probabilities, vectors
from contrastive_cxr.inference.loaded_maps import explained
from contrastive_cxr.inference.predict import fitted


@pytest.fixture
def gallery(finished: Path, tmp_path: Path) -> Path:
    index(finished, "val", tmp_path / "gallery")
    return tmp_path / "gallery"


def image(run: Path, split: str = "test") -> Path:
    rows = pd.read_csv(run / "manifest.csv", dtype=str)
    row = rows[rows["split"] == split].iloc[0]
    return Path(row["root"]) / row["path"]


def test_a_run_has_its_classifier_its_embedding_and_its_training_images(finished: Path) -> None:
    found = load(finished)
    assert found.classes == ("normal", "nodule", "opacity")
    assert found.embedder is not None
    assert found.gallery is not None
    rows = pd.read_csv(finished / "manifest.csv", dtype=str)
    assert found.gallery.rows["path"].tolist() == rows[rows["split"] == "train"]["path"].tolist()
    assert found.fitted == fitted(finished, "finetune", found.classes)
    assert found.fitted.positive in found.classes


def test_a_gallery_brings_the_classifier_of_its_run(finished: Path, gallery: Path) -> None:
    found = load(gallery)
    assert found.classes == load(finished).classes
    assert found.gallery is not None
    assert set(found.gallery.rows["split"]) == {"val"}
    beside = load(finished, gallery=gallery)
    assert beside.gallery is not None
    np.testing.assert_array_equal(beside.gallery.vectors, found.gallery.vectors)


def test_a_phase_has_what_its_own_model_has(finished: Path) -> None:
    embed = load(finished / "embed")
    assert embed.embedder is not None
    assert (embed.classes, embed.classifiers) == ((), ())
    pretrain = load(finished / "pretrain")
    assert pretrain.classifiers[0] is pretrain.embedder, "one network is held once"


def test_a_run_over_seeds_predicts_by_the_mean_and_has_no_embedding(finished: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    for name, phase in (("seed0", "finetune"), ("seed1", "finetune")):
        shutil.copytree(finished, pool / name)
        assert (pool / name / phase).is_dir()
    (pool / "parts.json").write_text('{"parts": ["seed0", "seed1"]}')
    found = load(pool)
    assert (len(found.classifiers), found.embedder, found.gallery) == (2, None, None)
    picture = found.read(image(finished).read_bytes(), "x", ("predict", "embed"))
    alone = EmbeddingModel.load(finished).predict_proba(image(finished))
    np.testing.assert_allclose(probabilities(found, [picture]), alone, atol=1e-6)


def test_wrong_places_are_refused(finished: Path, gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no finished model"):
        load(tmp_path)
    with pytest.raises(RequestError, match="is a gallery itself"):
        load(gallery, gallery=gallery)
    with pytest.raises(RequestError, match="--device tpu"):
        load(finished, device="tpu")


def test_an_image_of_the_gallery_leaves_itself_and_its_patient_out(finished: Path) -> None:
    found = load(finished)
    assert found.gallery is not None
    rows = found.gallery.rows
    place = image(finished, "train")
    picture = found.read(place.read_bytes(), "renamed.png", ("embed",))
    near = cases(found.gallery, [picture], vectors(found, [picture]), SearchOptions(k=len(rows)))[0]
    own = rows[rows["path"].map(lambda path: place.as_posix().endswith(path))]["patient"].iloc[0]
    assert near["inside"]
    assert {line["patient"] for line in near["neighbours"]} == set(rows["patient"]) - {own}


def test_costs_decide_in_place_of_the_most_probable(finished: Path) -> None:
    found = load(finished)
    card = found.classifiers[0].card
    before = card["costs"]
    try:
        card["costs"] = {"opacity": {"normal": 50.0}}
        said = predictions(found, np.array([[0.8, 0.0, 0.2]], np.float32))[0]
    finally:
        card["costs"] = before
    assert said["most_probable"] == "normal"
    assert said["decision"] != "normal", "0.2 * 50 is more than 0.8"


def test_a_map_of_each_near_case_and_none_without_any(finished: Path) -> None:
    found = load(finished)
    picture = found.read(image(finished).read_bytes(), "x", ("predict", "embed"))
    said = explained(found, picture, None, SearchOptions(k=2))
    assert said["gradcam"]["target"] == said["prediction"]["decision"]
    assert [line["neighbour"]["distance"] for line in said["similarity"]] == sorted(
        line["neighbour"]["distance"] for line in said["similarity"]
    )
    assert explained(found, picture, "normal", SearchOptions(k=0))["similarity"] == []
