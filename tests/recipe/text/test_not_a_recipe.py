"""A folder, a table or an archive where a recipe is wanted: the error says what it is and which command is meant."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from contrastive_cxr import recipe
from contrastive_cxr.errors import RequestError


def fault(reference: str | Path) -> str:
    with pytest.raises(RequestError) as caught:
        recipe.load(reference)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "my run"
    (folder / "embed").mkdir(parents=True)
    (folder / "recipe.yaml").write_text("name: small\ntask: phantom\ndata: {source: phantom}\npretrain: {}\n")
    return folder


def test_a_run_folder(run: Path) -> None:
    said = fault(run)
    assert said.startswith(f"'{run}' is a run folder, not a recipe; its recipe is {run}/recipe.yaml. ")
    assert f"go on with the run where it is unfinished: ccxr run '{run}/recipe.yaml' --out '{run}' --resume;" in said
    assert said.endswith(f"to begin another run like it: ccxr run '{run}/recipe.yaml' --out NEW_FOLDER")
    assert recipe.load(run / "recipe.yaml").name == "small"


def test_a_phase_of_a_run(run: Path) -> None:
    said = fault(run / "embed")
    assert said.startswith(f"'{run}/embed' is a phase of the run folder '{run}', not a recipe; ")
    assert f"--out '{run}' --resume" in said


@pytest.mark.parametrize(
    ("parts", "option"),
    [
        (["fold0", "fold1", "fold2"], " --folds 3 --out"),
        (["seed4", "seed5"], " --seeds 2 --out"),
        (["one"], "yaml' --out"),
    ],
)
def test_a_run_over_folds_or_seeds(run: Path, parts: list[str], option: str) -> None:
    (run / "parts.json").write_text(json.dumps({"experiment": "small", "parts": parts}))
    assert fault(run).count(option) == 2
    (run / "parts.json").write_text("broken")
    assert fault(run).count("yaml' --out") == 2


def test_a_folder_of_images_and_one_of_recipes(tmp_path: Path) -> None:
    images = tmp_path / "my images"
    (images / "normal").mkdir(parents=True)
    assert fault(images) == (
        f"'{images}' is a folder, and a recipe is a YAML file; to write a recipe for the images in the folder: ccxr "
        f"init '{images}'"
    )
    (images / "b.yaml").write_text("")
    (images / "a.yml").write_text("")
    assert f"it holds a.yml, b.yaml: name one of these files, such as {images}/a.yml;" in fault(images)


def test_a_table_and_an_archive(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\na.png,normal\n")
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(range(256)) * 9)
    for name in ("labels.csv", "images.zip"):
        assert fault(tmp_path / name).endswith(f"ccxr init {tmp_path / name}")
    (tmp_path / "broken.yaml").write_text("- a")
    assert "ccxr init" not in fault(tmp_path / "broken.yaml")
