"""`ccxr init`: what it writes loads and passes the dry run's checks; what it cannot guess is refused."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.preflight.data_checks import check_data_and_folder

Answer = tuple[int, str, str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are given in, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def paint(files: list[str]) -> None:
    """Pictures of noise, each its own."""
    rng = np.random.default_rng(0)
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(file)


def classes(root: str, labels: tuple[str, ...] = ("normal", "nodule", "opacity"), each: int = 12) -> None:
    paint([f"{root}/{label}/{number}.png" for label in labels for number in range(each)])


def table(root: str, count: int = 24) -> None:
    """A table whose names of columns are somebody's own, and its pictures without labels in their names."""
    paint([f"{root}/pictures/{number:03}.png" for number in range(count)])
    rows = {
        "Image": [f"{number:03}" for number in range(count)],
        "Diagnosis": ["normal", "nodule"] * (count // 2),
        "Patient ID": [f"p{number // 2}" for number in range(count)],
        "sex": ["f", "m"] * (count // 2),
    }
    pd.DataFrame(rows).to_csv(f"{root}/cases.csv", index=False)


def test_class_folders(ccxr: Callable[..., Answer], place: Path) -> None:
    classes("images")
    code, said, err = ccxr("init", "images")
    assert (code, err) == (0, "")
    assert "classes   normal 12, nodule 12, opacity 12" in said
    assert said.splitlines()[-2:] == ["Next: ccxr run images.yaml --dry-run", "Then: ccxr run images.yaml --folds 5"]
    recipe = recipes.load("images.yaml")
    check_data_and_folder(recipe)
    assert recipe.data.root == place / "images"
    assert recipe.task.classes == {"normal": ("normal",), "nodule": ("nodule",), "opacity": ("opacity",)}
    assert (recipe.model.image_size, recipe.data.cache_size) == (64, 64)
    assert recipe.phases == ("pretrain", "embed", "finetune")
    assert sorted(path.name for path in place.iterdir()) == ["images", "images.yaml"]


def test_a_table_by_itself_and_by_its_folder(ccxr: Callable[..., Answer]) -> None:
    table("scans")
    for what, out in (("scans", "a.yaml"), ("scans/cases.csv", "b.yaml")):
        code, said, err = ccxr("init", what, "--out", out)
        assert code == 0, err
        assert "patients  12: the column 'Patient ID' of cases.csv, by its name" in said
        recipe = recipes.load(out)
        check_data_and_folder(recipe)
        columns = recipe.data.columns
        assert (columns.file, columns.label, columns.patient) == ("Image", "Diagnosis", "Patient ID")
        assert recipe.task.classes == {"normal": ("normal",), "nodule": ("nodule",)}
    assert "# the column 'Diagnosis' of cases.csv, by its name\n    label: Diagnosis\n" in Path("a.yaml").read_text()


def test_several_sources_are_scored_each_and_a_class_of_one_of_them_is_a_doubt(ccxr: Callable[..., Answer]) -> None:
    classes("bern", ("normal", "nodule"))
    classes("graz", ("Normal", "mass"))
    code, said, err = ccxr("init", "bern", "graz", "--out", "both.yaml")
    assert code == 0, err
    recipe = recipes.load("both.yaml")
    check_data_and_folder(recipe)
    assert recipe.evaluation.subgroups == ("source",)
    assert sorted(map(sorted, recipe.task.classes.values())) == [["Normal", "normal"], ["mass"], ["nodule"]]
    assert "class 'mass' comes from the source 'graz' alone" in said
    assert "class 'nodule' comes from the source 'bern' alone" in said


def test_what_is_there_is_replaced_only_where_that_is_said(ccxr: Callable[..., Answer]) -> None:
    classes("images")
    Path("images.yaml").write_text("mine")
    code, _, err = ccxr("init", "images")
    assert code == 2
    assert "--overwrite" in err
    assert Path("images.yaml").read_text() == "mine"
    assert ccxr("init", "images", "--overwrite")[0] == 0
    assert recipes.load("images.yaml").name == "images"
    assert ccxr("init", "images", "--out", "images")[0] == 2
    assert ccxr("init", "images", "--out", "recipe.txt")[0] == 2


def test_settings_that_are_known_are_not_guessed(ccxr: Callable[..., Answer]) -> None:
    table("scans")
    code, said, err = ccxr("init", "scans", "data.columns.label=sex", "data.split.val=0.2", "--out", "sex.yaml")
    assert code == 0, err
    assert "classes   f 12, m 12" in said
    recipe = recipes.load("sex.yaml")
    assert (recipe.data.columns.label, recipe.data.columns.file, recipe.data.split.val) == ("sex", "Image", 0.2)


@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (lambda: Path("x").mkdir(), "x is empty"),
        (lambda: paint(["x/1.png", "x/2.png"]), "2 files (2 .png), 2 of them images; 2 in the folder itself"),
        (lambda: paint(["x/a/1.png", "x/b/1.png", "x/stray.png"]), "1 images of"),
        (lambda: paint([f"x/{a}/{b}/{c}/1.png" for a in "kl" for b in "mn" for c in "op"]), "3 levels of folders"),
        (lambda: paint([f"x/only/{number}.png" for number in range(9)]), "the labels 'only' (9)"),
        (lambda: (Path("x").mkdir(), Path("x/notes.txt").write_text("no image")), "1 files (1 .txt), 0 of them images"),
        (lambda: (table("x"), shutil.copy("x/cases.csv", "x/more.csv")), "2 tables of images"),
        (
            lambda: (
                paint([f"x/{number}.png" for number in range(9)]),
                pd.DataFrame({"file": [f"{number}.png" for number in range(9)], "age": range(9)}).to_csv("x/t.csv"),
            ),
            "t.csv: no column looks like a label",
        ),
    ],
)
def test_what_cannot_be_guessed_is_refused_with_what_was_seen(
    ccxr: Callable[..., Answer], place: Path, make: Callable[[], object], seen: str
) -> None:
    make()
    code, said, err = ccxr("init", "x")
    assert (code, said) == (2, "")
    assert seen in err
    assert "write by hand" in err
    assert "Traceback" not in err
    assert [path.name for path in place.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("files", "why", "patients", "split"),
    [
        ([f"x/{number}.png" for number in range(20)], "lie in no folder that could be a class", None, "fractions"),
        ([f"x/scans/{number}.png" for number in range(20)], "all images lie in the folder 'scans'", None, "fractions"),
        (
            [f"x/patient{number:02}/{view}.png" for number in range(10) for view in "ab"],
            "the folders are patients and no classes",
            10,
            "fractions",
        ),
        (
            [f"x/{part}/{number}.png" for part in ("train", "val") for number in range(9)],
            "lie in no folder that could be a class",
            None,
            "official",
        ),
    ],
)
def test_images_without_labels_get_a_recipe_of_phase_2_alone(
    ccxr: Callable[..., Answer], files: list[str], why: str, patients: int | None, split: str
) -> None:
    paint(files)
    code, said, err = ccxr("init", "x")
    assert (code, err) == (0, "")
    assert re.search(rf"^classes   none: .*{why}", said, re.MULTILINE), said
    assert "check: no image has a label" in said
    assert said.splitlines()[-2:] == ["Next: ccxr run x.yaml --dry-run", "Then: ccxr run x.yaml"]
    recipe = recipes.load("x.yaml")
    check_data_and_folder(recipe)
    assert (recipe.phases, recipe.task.name, recipe.data.label_folders) == (("embed",), "unlabelled", 0)
    assert recipe.embed is not None
    assert (recipe.embed.positives, recipe.embed.choose_by) == ("augmented", "last")
    assert (recipe.data.split.kind, recipe.data.split.test if split == "fractions" else 0) == (split, 0)
    found = open_dataset(recipe.data, recipe.task)
    assert (len(found.labels), len(found.rows("test"))) == (len(files), 0)
    assert recipe.embed.batch_size == min(96, len(found.rows("train")) // 2)
    known = {int(number) for number in found.patients} - {-1}
    assert len(known) == (patients or 0)
    text = Path("x.yaml").read_text()
    assert "# no image has a label: all are one class" in text
    assert "a second augmentation of itself" in text


def test_folders_that_are_no_classes_are_read_without_labels_when_that_is_said(ccxr: Callable[..., Answer]) -> None:
    paint([f"ct/{a}/{b}/{c}/1.png" for a in "kl" for b in "mnq" for c in "op"])
    code, _, err = ccxr("init", "ct")
    assert code == 2
    code, said, err = ccxr("init", "ct", "data.label_folders=0")
    assert code == 0, err
    assert "start     chest/label-free, for CT" in said
    recipe = recipes.load("ct.yaml")
    check_data_and_folder(recipe)
    assert (recipe.data.label_folders, recipe.data.resize, recipe.phases) == (0, "stretch", ("embed",))


def test_a_place_that_is_not_there(ccxr: Callable[..., Answer]) -> None:
    assert ccxr("init", "nowhere")[2].startswith("error: nowhere does not exist")
    assert ccxr("init", "data.root=x")[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("make", [classes, table])
def test_the_recipe_passes_the_dry_run_and_trains(ccxr: Callable[..., Answer], make: Callable[[str], None]) -> None:
    make("mine")
    assert ccxr("init", "mine")[0] == 0
    small = ["model.backbone=cnn2", "model.weights=none", "model.normalise=dataset", "model.image_size=32"]
    small += [f"{phase}.trainable=null" for phase in ("pretrain", "embed")]
    small += [f"{phase}.epochs=1" for phase in ("pretrain", "embed", "finetune")]
    small += ["evaluation.resamples=100", "tracking.wandb=off"]
    code, said, err = ccxr("run", "mine.yaml", *small, "--dry-run")
    assert code == 0, err
    assert re.search(r"Steps: +\d+ \(pretrain .*finetune ", said)
    code, said, err = ccxr("run", "mine.yaml", *small, "--out", "run")
    assert code == 0, err
    assert Path("run/report.html").is_file()


@pytest.mark.slow
def test_the_recipe_without_labels_passes_the_dry_run_and_trains(ccxr: Callable[..., Answer]) -> None:
    paint([f"mine/{number}.png" for number in range(24)])
    assert ccxr("init", "mine")[0] == 0
    small = ["model.backbone=cnn2", "model.image_size=32", "embed.epochs=1", "embed.initial_image_size=null"]
    small += ["runtime.precision=32-true", "tracking.wandb=off"]
    code, said, err = ccxr("run", "mine.yaml", *small, "--dry-run")
    assert code == 0, err
    assert re.search(r"Steps: +2 \(embed 2 of 11 images\)", said), said
    code, said, err = ccxr("run", "mine.yaml", *small, "--out", "run")
    assert code == 0, err
    assert "Done, without a report: there are no labels to score." in said
    code, said, err = ccxr("index", "run", "train", "--out", "run/gallery")
    assert code == 0, err
    code, said, err = ccxr("search", "run/gallery", "mine/3.png")
    assert code == 0, err
