"""What a user gives to predict, encode, index, search and look: folders of any files, archives, URLs, volumes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.cache import build
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.data.sources import read_data
from contrastive_cxr.datasets.look import look
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.encode import encode
from contrastive_cxr.inference.gallery import index
from contrastive_cxr.inference.given_images import images_of
from contrastive_cxr.inference.predict import predict
from contrastive_cxr.inference.search import search
from contrastive_cxr.recipe.schema import FrameRange
from contrastive_cxr.training.dry_run import plan
from contrastive_cxr.training.run import run
from tests.data.files.test_listing import TREE, left_out_silently
from tests.data.painted import dicom, nifti, picture, put, series, shades, zipped

CT = Path(__file__).parents[2] / "recipes" / "ct" / "three-phase-light.yaml"


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING):
        yield caplog


def test_every_image_of_the_case_is_predicted_and_the_rest_is_named(
    finished: Path, tmp_path: Path, warned: pytest.LogCaptureFixture
) -> None:
    left_out_silently(tmp_path / "images")
    for path in (tmp_path / "images/pos").glob("*.[wg]*"):
        path.unlink()  # kinds that decoding refuses by name
    put(tmp_path / "images/pos/notes.txt", b"no image")
    put(tmp_path / "images/pos/._0.png", b"junk")
    table = predict(finished, tmp_path / "images" / "pos", tmp_path / "p.csv")
    assert len(table) == 20
    assert "is no image that is known by its content, and is left out (notes.txt)" in warned.text
    assert "._0.png" not in warned.text


def test_the_tree_of_a_pacs_goes_through_every_command(finished: Path, tmp_path: Path) -> None:
    assert len(images_of(TREE)) == 31
    small = TREE / "98892001"
    assert len(predict(finished, small, tmp_path / "p.csv")) == 7
    assert np.load(encode(finished, small, tmp_path / "v.npy")).shape[0] == 7
    made = index(finished, str(small), tmp_path / "gallery")
    assert (len(made), made.rows["patient"].nunique(), set(made.rows["Modality"])) == (7, 1, {"CT"})
    facts = search(tmp_path / "gallery", [TREE / "77654033"], k=2, html=tmp_path / "s.html")
    assert len(facts["queries"]) == 7
    assert [query["inside"] for query in facts["queries"]] == [False] * 7
    again = search(tmp_path / "gallery", [small / "CT2N"], k=2)
    assert all(query["inside"] and not query["neighbours"] for query in again["queries"]), "all are of one patient"


def test_an_archive_and_a_url_give_the_same_numbers_as_the_folder(finished: Path, tmp_path: Path) -> None:
    members = {f"a/{seed}.png": picture(seed) for seed in range(3)}
    for name, content in members.items():
        put(tmp_path / "folder" / name, content)
    archive = put(tmp_path / "x.zip", zipped(members))
    fsspec = pytest.importorskip("fsspec")
    for name, content in members.items():
        fsspec.filesystem("memory").pipe(f"memory://given/{name}", content)
    wanted = predict(finished, tmp_path / "folder", tmp_path / "1.csv")
    for number, source in enumerate((archive, Path("memory://given")), 2):
        table = predict(finished, source, tmp_path / f"{number}.csv")
        assert table["file"].iloc[0].endswith("/a/0.png")
        columns = [name for name in wanted if name.startswith("p_")]
        np.testing.assert_allclose(table[columns].to_numpy(), wanted[columns].to_numpy(), atol=1e-6)
    first = pd.read_csv(tmp_path / "3.csv")["file"].iloc[0]
    assert first == "memory://given/a/0.png"
    assert len(predict(finished, Path(first), tmp_path / "4.csv")) == 1, "an address can be given again"
    made = index(finished, str(archive), tmp_path / "gallery")
    assert list(made.rows["label"]) == ["a", "a", "a"]
    found = search(tmp_path / "gallery", [archive / "a/1.png"], k=1, html=tmp_path / "s.html")["queries"][0]
    assert found["inside"]
    assert (tmp_path / "s.html").read_text().count("data:image") >= 2, "images in archives are shown"


def test_slices_are_chosen_where_there_is_no_recipe(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    values = np.random.default_rng(0).integers(-1000, 400, (12, 14, 6)).astype(np.int16)
    file = put(tmp_path / "ct/v.nii.gz", nifti(values))
    put(tmp_path / "ct/loop.dcm", dicom(np.stack([shades(0), shades(1)])))
    with pytest.raises(RequestError, match=r"say which are read with data.frames=all.*--frames"):
        predict(finished, tmp_path / "ct", tmp_path / "p.csv")
    table = predict(finished, tmp_path / "ct", tmp_path / "p.csv", frames=FrameRange(start=1, stop=3))
    names = ["loop.dcm#frame=1", "v.nii.gz#axial=1", "v.nii.gz#axial=2"]
    assert list(table["file"]) == [str(tmp_path / "ct" / name) for name in names]
    assert images_of(Path(f"{file}#coronal=4")) == [Path(f"{file}#coronal=4")]
    made = index(finished, str(tmp_path / "ct"), tmp_path / "gallery", frames="middle", axis="coronal")
    assert list(made.rows["path"]) == ["loop.dcm#frame=1", "v.nii.gz#coronal=7"]


def test_a_dicomdir_is_the_disc_that_it_lies_on(tmp_path: Path, warned: pytest.LogCaptureFixture) -> None:
    found = images_of(TREE / "DICOMDIR")
    assert len(found) == 31
    directory = put(tmp_path / "disc/DICOMDIR", (TREE / "DICOMDIR").read_bytes())
    put(tmp_path / "disc/77654033/CR1/6154", (TREE / "77654033/CR1/6154").read_bytes())
    warned.clear()
    assert len(images_of(directory)) == 1
    assert "names 30 files that are not there" in warned.text


def test_a_source_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no image file"):
        images_of(tmp_path)
    with pytest.raises(RequestError, match="no such file or folder"):
        images_of(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="cannot be reached; check the address and the network"):
        images_of(Path("http://127.0.0.1:9/x"))
    broken = put(tmp_path / "x.zip", zipped({"../x.png": picture(0)}))
    with pytest.raises(RequestError, match="with a member outside of it"):
        images_of(broken)


def test_a_look_and_a_plan_name_what_is_left_out(tmp_path: Path) -> None:
    for seed in range(30):
        put(tmp_path / f"images/{'pos' if seed % 2 else 'neg'}/{seed}", picture(seed))
    put(tmp_path / "images/pos/table.xlsx", b"PK\3\4")
    words = [f"data.cache_dir={tmp_path / 'cache'}", "data.cache_size=32", "data.workers=1"]
    facts = look([tmp_path / "images"], tmp_path / "out", words)
    note = f"1 zip file of {tmp_path / 'images'} is left out (pos/table.xlsx)"
    assert (facts["images"], facts["notes"]) == (30, [note])
    assert note in (tmp_path / "out" / "data-look.html").read_text()
    recipe = recipes.load(
        "phantom",
        [
            "data.source=folders", f"data.root={tmp_path / 'images'}", "data.split={kind: fractions}", *words,
            "task={name: t, classes: {neg: [neg], pos: [pos]}}", "model.backbone=cnn2", "model.image_size=32",
            "pretrain.batch_size=4", "embed=null", "finetune=null",
        ],
    )  # fmt: skip
    assert plan(recipe).notes == (f"Data: {note}",)


def ct(root: Path) -> None:
    """Volumes of 12 patients of two classes: NIfTI files, and DICOM series a folder each, two of one patient."""
    for number in range(6):
        for label in ("CT_COVID", "CT_NonCOVID"):
            volume = np.random.default_rng(number).integers(-1000, 0, (24, 24, 8)).astype(np.int16)
            volume[6:18, 6:18] += 300 if label == "CT_COVID" else 0
            if number < 4:
                put(root / label / f"{label[3:]}-{number}.nii.gz", nifti(volume))
                continue
            for again in range(2):
                for place, content in enumerate(
                    series(volume, f"{label}-{number}", f"1.2.{number}.{again}.{len(label)}")
                ):
                    put(root / label / f"series-{number}-{again}" / f"IM{place:04d}", content)


def test_volumes_and_series_are_divided_by_patient(tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    ct(tmp_path / "ct")
    words = [
        "data.source=folders", f"data.root={tmp_path / 'ct'}", "data.label_folders=1", "data.cache_size=32",
        "data.frames={start: 25, stop: 75, unit: percent, step: 2}", f"data.cache_dir={tmp_path / 'cache'}",
        "data.split={kind: fractions, val: 0.25, test: 0.25}",
    ]  # fmt: skip
    recipe = recipes.load(CT, words)
    data = open_dataset(recipe.data, recipe.task)
    rows = data.manifest_table()
    assert len(rows) == 12 * 2 + 4 * 2, "slices 2 and 4 of 8, of 8 volumes and of 8 series"
    assert (rows["patient"].nunique(), rows["class"].value_counts().tolist()) == (12, [16, 16])
    assert (rows.groupby("patient")["split"].nunique() == 1).all()
    assert set(rows["split"]) == {"train", "val", "test"}


@pytest.mark.slow
def test_volumes_go_through_a_ct_recipe_to_a_report_by_patient(
    tmp_path: Path, warned: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("nibabel")
    ct(tmp_path / "ct")
    recipe = recipes.load(
        CT,
        [
            "data.source=folders", f"data.root={tmp_path / 'ct'}", "data.label_folders=1", "data.cache_size=32",
            "data.frames={start: 25, stop: 75, unit: percent, step: 2}", f"data.cache_dir={tmp_path / 'cache'}",
            "data.split={kind: fractions, val: 0.25, test: 0.25}", "model.backbone=cnn2", "model.weights=none",
            "model.image_size=32", "pretrain.epochs=1", "pretrain.trainable=null", "pretrain.batch_size=4",
            "embed=null", "finetune=null",
            "model.normalise=dataset", "evaluation.resamples=100", "tracking.wandb=off", "runtime.device=cpu",
            "evaluation.baselines=false", "evaluation.audit=false", "evaluation.robustness=off",
        ],
    )  # fmt: skip
    out = run(recipe, tmp_path / "run")
    rows = pd.read_csv(out / "manifest.csv", dtype=str)
    assert len(rows) == 12 * 2 + 4 * 2
    assert rows["patient"].nunique() == 12
    assert (rows.groupby("patient")["split"].nunique() == 1).all()
    assert rows["path"].str.contains("#axial=").sum() == 16
    report = json.loads((out / "report.json").read_text())
    scored = rows[rows["split"] == "test"]
    assert report["patients"] == scored["patient"].nunique()
    assert report["by_patient"]
    assert any("DICOM series" in note for note in report["notes"])
    assert "hold several pictures, of which data.frames chooses 16" in warned.text
    # a second reading finds the same images, and decodes none again
    assert build(read_data(recipe.data), recipe.data).rows_decoded == 0
    assert not any(out.glob("**/*.key")), "the key of the patients stays outside of the run"


def test_files_that_the_models_range_squeezes_are_warned_of(
    finished: Path, tmp_path: Path, warned: pytest.LogCaptureFixture
) -> None:
    """0 to 4095 of 0 to 65535 are 0 to 16 of 0 to 255: 17 levels."""
    ramp = np.tile(np.linspace(0, 4095, 64), (64, 1)).astype(np.uint16)
    for name, values in (("deep.png", ramp), ("plain.png", (ramp >> 4).astype(np.uint8))):
        Image.fromarray(values).save(put(tmp_path / "in" / name, b""))
    said = (
        "data: 1 of 2 images keep fewer than 64 grey levels in the range that the model reads, and tell more apart in "
        "their files: deep.png (17); the model hardly sees what they show, so its answers on them mean little. Give "
        "files of the kind that it was trained on (units, bits, window)"
    )
    predict(finished, tmp_path / "in", tmp_path / "p.csv")
    assert warned.messages.count(said) == 1
    encode(finished, tmp_path / "in", tmp_path / "out" / "v.npy")
    assert warned.messages.count(said) == 2
    index(finished, str(tmp_path / "in"), tmp_path / "gallery")
    assert warned.messages.count(said) == 3
