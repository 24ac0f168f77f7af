"""Images of every kind into vectors, in a pipeline, through pickles and clones."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.sklearn import GalleryClassifier, ImageEmbedder
from tests.retrieval.test_embedding import write


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write(folder / "embed")
    return folder


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """uint8 [24, 40, 50]: two pictures of noise, twelve times each with a little more of it."""
    rng = np.random.default_rng(0)
    return (np.repeat(rng.integers(0, 246, (2, 40, 50)), 12, axis=0) + rng.integers(0, 9, (24, 40, 50))).astype(
        np.uint8
    )


LABELS = ["one"] * 12 + ["other"] * 12


def test_every_kind_of_sample_gives_the_models_own_vectors(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    paths = []
    for number, image in enumerate(images):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image).save(paths[-1])
    expected = EmbeddingModel.load(run).embed(paths)
    given = [
        paths, np.array(paths, dtype=str), pd.Series(map(str, paths)), pd.DataFrame({"file": map(str, paths)}),
        images, images[:, None], list(images), [Image.fromarray(image) for image in images], torch.from_numpy(images),
    ]  # fmt: skip
    for samples in given:
        found = ImageEmbedder(run).fit_transform(samples)
        assert (found.dtype, found.shape) == (np.float32, (24, 6))
        np.testing.assert_array_equal(found, expected)


def test_the_features_and_their_names(run: Path, images: np.ndarray) -> None:
    embedder = ImageEmbedder(run, layer="features").set_output(transform="pandas").fit(images)
    table = embedder.transform(images)
    assert list(table) == [f"features{number}" for number in range(table.shape[1])]
    np.testing.assert_array_equal(table.to_numpy(), EmbeddingModel.load(run).features(images))


def test_a_head_is_searched_with_the_images_embedded_once(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    pipeline = Pipeline([("embed", ImageEmbedder(run)), ("head", GalleryClassifier())], memory=str(tmp_path))
    heads = {"head": [GalleryClassifier(k=3), LogisticRegression()]}
    search = GridSearchCV(pipeline, heads, cv=2).fit(images, LABELS)
    assert search.best_score_ == 1.0
    assert search.predict(images[[0, -1]]).tolist() == ["one", "other"]
    assert len(list(tmp_path.rglob("output.pkl"))) == 3, "two folds and the whole, each for both heads"


def test_cross_validation_in_processes_takes_lists_of_pictures(run: Path, images: np.ndarray) -> None:
    pictures = [Image.fromarray(image) for image in images]
    scores = cross_val_score(
        make_pipeline(ImageEmbedder(run), GalleryClassifier(k=3)), pictures, LABELS, cv=2, n_jobs=2
    )
    assert scores.tolist() == [1.0, 1.0]


def test_a_pickle_of_a_folder_holds_no_network_and_checks_that_it_is_the_same(
    run: Path, images: np.ndarray, tmp_path: Path
) -> None:
    write(tmp_path / "embed")
    fitted = ImageEmbedder(tmp_path).fit(images)
    content = pickle.dumps(fitted)
    assert len(content) < 2000
    copy = pickle.loads(content)
    np.testing.assert_array_equal(copy.transform(images), fitted.transform(images))
    again = pickle.loads(content)
    other = ImageEmbedder(run).fit(images)
    again.model = run
    again.digest_ = "0" * 64
    with pytest.raises(ValueError, match=f"holds model {other.digest_[:12]} now and held 000000000000"):
        again.transform(images)


def test_a_loaded_model_is_taken_and_pickled_whole(run: Path, images: np.ndarray) -> None:
    fitted = ImageEmbedder(EmbeddingModel.load(run)).fit(images)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(images), fitted.transform(images))
    assert clone(fitted).get_params()["layer"] == "embedding"


def test_parameters_are_stored_and_fit_checks_them_all_at_once(run: Path, images: np.ndarray) -> None:
    embedder = ImageEmbedder(run, layer="embeding", batch_size=0)
    assert clone(embedder).get_params() == embedder.get_params()
    with pytest.raises(ValueError, match="did you mean 'embedding'") as caught:
        embedder.fit(images)
    assert isinstance(caught.value, RequestError)
    assert len(caught.value.faults) == 2
    assert embedder.set_params(layer="embedding", batch_size=4).fit_transform(images).shape == (24, 6)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ("one.png", r"X is one image \(str\); give a list"),
        (np.zeros((4, 5), np.uint8), r"shape \[4, 5\], and images have.*Reshape your data, one image to X\[None\]"),
        (np.zeros((0, 4, 5), np.uint8), r"shape \[0, 4, 5\]"),
        ([], "0 samples"),
        (None, "X is NoneType"),
        (np.stack([np.zeros((4, 5)), np.full((4, 5), np.nan)]), r"NaN or inf in 1 of 2 images, first X\[1\]"),
        (np.full((2, 4, 5), 3.0), "float images reach from 3 to 3"),
        ([np.zeros((3, 4, 5), np.uint8)], r"X\[0\] is an array of 3 images"),
        ([7, None], r"X\[0\] is 7.*\n?X\[1\] is None"),
        (np.array([["a", "b"]]), r"shape \[1, 2\]; give one column"),
    ],
)
def test_what_is_no_list_of_images_is_refused(run: Path, samples: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ImageEmbedder(run).fit(samples)


def test_unreadable_files_are_all_named(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"a\.png.*\n.*b\.png"):
        ImageEmbedder(run).fit(images).transform([tmp_path / "a.png", tmp_path / "b.png"])


def test_a_folder_without_a_model_and_what_was_not_fitted(tmp_path: Path, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=str(tmp_path)):
        ImageEmbedder(tmp_path).fit(images)
    with pytest.raises(ValueError, match="model is 3; give the folder of a run"):
        ImageEmbedder(3).fit(images)
    with pytest.raises(NotFittedError):
        ImageEmbedder(tmp_path).transform(images)


def test_torch_is_not_imported_with_the_module() -> None:
    code = "import sys, contrastive_cxr.sklearn as s; s.ImageEmbedder('x').get_params(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "False"
