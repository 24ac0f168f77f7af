"""A run folder, a gallery and a recipe of an earlier version are read: tests/fixtures/run-of-2026-11-29.zip.

The version of 2026-11-29 (commit 13eb4f3) trained it on 36 phantoms, an epoch a phase, under the names that settings
had then (`average`, `grow_from`, `memory`, `thawed_lr`, `encode_batch`). A pattern of 61 numbers then replaced its
weights, so that they are small when packed, and that version evaluated and indexed it.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr import EmbeddingModel, Gallery, report
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data import phantom
from contrastive_cxr.inference.predict import predict
from contrastive_cxr.run_folder import provenance, recorded, results
from contrastive_cxr.studies.compare import compare

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-of-2026-11-29.zip"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `run/` and `gallery/`, and the phantoms painted anew in `images/`."""
    folder = tmp_path_factory.mktemp("earlier")
    with zipfile.ZipFile(FIXTURE) as packed:
        packed.extractall(folder)
    phantom.paint(folder / "painted", 36, 0)
    return folder


def test_its_recipe_has_the_settings_under_their_names_of_today(
    earlier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = recorded.recipe_of(earlier / "run")
    assert (recipe.pretrain.ema_decay, recipe.embed.memory_bank_size, recipe.runtime.eval_batch_size) == (0.5, 6, 16)
    assert not caplog.messages
    with pytest.raises(ValueError, match="average"):
        recipes.Recipe.model_validate({"pretrain": {"average": 0.5}})  # the name itself is gone


def test_its_rows_and_results_are_read(earlier: Path) -> None:
    provenance.check(earlier / "run")
    rows = recorded.rows_of(earlier / "run")
    assert rows["split"].value_counts().to_dict() == {"train": 21, "test": 9, "val": 6}
    scored = results.read(earlier / "run")
    arrays = earlier / "run" / "finetune" / "arrays"
    np.testing.assert_array_equal(scored.probabilities, np.load(arrays / "probabilities.npy").astype(np.float64))
    facts = json.loads((earlier / "run" / "report.json").read_text())
    accuracy = (scored.probabilities.argmax(1) == np.load(arrays / "labels.npy")).mean()
    assert facts["scores"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_its_models_predict_what_they_predicted(earlier: Path) -> None:
    rows = pd.read_csv(earlier / "run" / "finetune" / "arrays" / "rows.csv", dtype=str)
    want = np.load(earlier / "run" / "finetune" / "arrays" / "probabilities.npy")
    found = predict(earlier / "run", earlier / "painted" / "images", earlier / "found.csv")
    found.index = pd.Index([Path(path).name for path in found["file"]])
    names = [Path(path).name for path in rows["path"]]
    classes = [f"p_{name}" for name in EmbeddingModel.load(earlier / "run" / "finetune", "cpu").classes]
    np.testing.assert_allclose(found.loc[names, classes].to_numpy(float), want, atol=1e-4)


def test_its_gallery_finds_its_own_images(earlier: Path) -> None:
    gallery = Gallery.load(earlier / "gallery")
    model = EmbeddingModel.load(earlier / "run", "cpu")
    images = [earlier / "painted" / path for path in gallery.rows["path"]]
    found = gallery.search(model.embed(images), 1, model_digest=model.digest)
    np.testing.assert_allclose(found.distances[:, 0], 0, atol=1e-3)
    assert found.paths[:, 0].tolist() == gallery.rows["path"].tolist()


def test_its_page_and_a_comparison_are_written(earlier: Path) -> None:
    report.write(earlier / "run")
    assert "phantom" in (earlier / "run" / "report.html").read_text()
    shutil.copytree(earlier / "run", earlier / "again")
    facts = compare([earlier / "run", earlier / "again"], out=earlier / "compared")
    assert (earlier / "compared" / "compare.html").is_file()
    assert facts
