"""A recipe as a classifier: it learns, its grey levels are those of training, and wrong input is told before."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval.image_inputs import square
from contrastive_cxr.sklearn import ContrastiveClassifier, ImageEmbedder, handed_images
from contrastive_cxr.sklearn.handed_images import Handed, as_pictures

SMALL = [
    "model.backbone=cnn2", "model.image_size=32", "data.cache_size=32", "embed=null", "finetune=null",
    "pretrain.epochs=3", "pretrain.batch_size=8", "pretrain.trainable=null", "pretrain.optimiser.lr=0.003",
    "runtime.precision=32-true", "runtime.channels_last=false",
]  # fmt: skip
TINY = ContrastiveClassifier("phantom", SMALL, device="cpu", validation=0.25)
LABELS = np.array([7] * 20 + [3] * 20)
GROUPS = np.repeat(np.arange(20), 2)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """uint8 [40, 40, 50]: dark noise, then bright noise."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.integers(0, 90, (20, 40, 50)), rng.integers(150, 256, (20, 40, 50))]).astype(np.uint8)


@pytest.fixture(scope="module")
def fitted(images: np.ndarray) -> ContrastiveClassifier:
    return clone(TINY).fit(images, LABELS, groups=GROUPS)


def test_it_learns_and_answers_with_the_labels_given(fitted: ContrastiveClassifier, images: np.ndarray) -> None:
    assert fitted.classes_.tolist() == [3, 7]
    found = fitted.predict_proba(images)
    assert (found.dtype, found.shape) == (np.float32, (40, 2))
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(fitted.predict(images), fitted.classes_[found.argmax(axis=1)])
    assert fitted.score(images, LABELS) >= 0.95


def test_a_pickle_holds_the_network_whole(fitted: ContrastiveClassifier, images: np.ndarray) -> None:
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(images), fitted.predict_proba(images))
    assert repr(copy.model_).startswith("<EmbeddingModel cnn2")
    assert ImageEmbedder(fitted.model_).fit_transform(images[:2]).shape == (2, fitted.model_.size)


def test_the_same_seed_gives_the_same_classifier(fitted: ContrastiveClassifier, images: np.ndarray) -> None:
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    again.fit([Image.fromarray(image) for image in images], LABELS, groups=GROUPS)
    np.testing.assert_array_equal(again.predict_proba(images), fitted.predict_proba(images))


def test_cross_validation_over_paths(images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = []
    for number, image in enumerate(images):
        paths.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(image).save(paths[-1])
    scores = cross_val_score(TINY, paths, LABELS, cv=2, params={"groups": GROUPS}, error_score="raise")
    assert scores.min() >= 0.9
    held = [folder for folder in (tmp_path / "cache" / "contrastive_cxr").iterdir() if folder.is_dir()]
    assert len(held) == 1, "both folds decode into one cache"


def kinds(images: np.ndarray) -> dict[str, list[Any]]:
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (40, 40, 50, 3)).astype(np.uint8)
    return {
        "uint8": list(images),
        "uint16": list(images.astype(np.uint16) * 11 + 40),
        "float": list(images / np.float64(255)),
        "colour": [Image.fromarray(image) for image in colour],
    }


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float", "colour"])
def test_prediction_reads_the_same_grey_levels_as_training(kind: str, images: np.ndarray, tmp_path: Path) -> None:
    """The training's cache against the reader of `predict`, pixel by pixel; groups are not on both sides."""
    given = as_pictures(kinds(images)[kind])
    handed = Handed(given, (LABELS == 7).astype(np.int64), ["3", "7"], [f"p{each}" for each in GROUPS])
    recipe = handed_images.on_images(recipes.load("phantom", SMALL), handed, tmp_path, 0.25, "cpu")
    data = open_dataset(recipe.data, recipe.task)
    settings = ranges.settled(recipe, data.intensity).data
    order = [int(Path(path).stem) for path in data.manifest.column("path")]
    assert sorted(order) == list(range(40))
    for row, place in enumerate(order):
        np.testing.assert_array_equal(data.take(np.array([row]))[0, 0], square(given[place], settings))
    sides = [set(data.patients[data.rows(part)]) for part in ("train", "val")]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_a_folder_keeps_the_whole_run_and_is_not_written_twice(images: np.ndarray, tmp_path: Path) -> None:
    model = clone(TINY).set_params(
        out=tmp_path / "run", settings=[*SMALL, "pretrain.epochs=1", "evaluation.resamples=100"]
    )
    model.fit(images, LABELS)
    assert {"recipe.yaml", "report.html", "pretrain"} <= {item.name for item in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match="run"):
        model.fit(images, LABELS)


@pytest.mark.parametrize(
    ("parameters", "given", "words"),
    [
        (
            {"validation": 1.5, "device": "gpu", "batch_size": 0},
            {},
            "validation=1.5.*\n.*device='gpu'.*\n.*batch_size=0",
        ),
        ({"settings": "pretrain.epochs=1"}, {}, "is one text; give a list"),
        ({"settings": ["pretrain.epoch=1"]}, {}, "did you mean"),
        ({"recipe": "phantm"}, {}, "neither a file nor a shipped recipe"),
        ({"recipe": "xray/label-free", "settings": []}, {}, "the phases embed and none of finetune, pretrain"),
        ({"recipe": "xray/cascade", "settings": []}, {}, "the recipe is a cascade"),
        ({}, {"y": LABELS[:3]}, "y has 3 labels and X 40 samples"),
        ({}, {"y": [1] * 40}, r"y holds 1 class \('1'\); a classifier needs at least 2"),
        ({}, {"y": np.linspace(0, 1, 40)}, "[Uu]nknown label type"),
        ({}, {"y": None}, "y to be passed"),
        ({}, {"groups": ["a"]}, "groups has 1 entries and X 40 samples"),
        ({}, {"X": [Image.new("CMYK", (4, 4))] * 40}, r"X\[0\] is a PIL image of mode CMYK"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(
    parameters: dict[str, Any], given: dict[str, Any], words: str, images: np.ndarray
) -> None:
    model = clone(TINY).set_params(**parameters)
    with pytest.raises(ValueError, match=words) as caught:
        model.fit(**{"X": images, "y": LABELS, **given})
    assert isinstance(caught.value, RequestError) or "label type" in str(caught.value)
    assert not hasattr(model, "model_")
