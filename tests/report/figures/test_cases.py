"""The cases: who is shown, who is excluded, and pictures of every depth."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.report.facts import arrays
from contrastive_cxr.report.figures import cases
from contrastive_cxr.retrieval import Gallery
from tests.data.painted import dicom, picture, put, zipped
from tests.report.small import CLASSES


def pixels(address: str | None) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert address is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))


def test_wrong_ones_come_most_confident_first_and_right_ones_from_every_class(run_folder: Path) -> None:
    found = arrays.read(run_folder / "finetune" / "arrays")
    assert found is not None
    assert found.probabilities is not None
    chosen = cases.choose(found, CLASSES, cases.neighbourhood(found, CLASSES), wrong=3, right=3)
    decided = found.probabilities.argmax(1)
    wrong = [i for i in np.argsort(-found.probabilities.max(1), kind="stable") if decided[i] != found.labels[i]]
    assert len(wrong) > 3
    assert [case.query.path for case in chosen["wrong"]] == [f"test{i}.png" for i in wrong[:3]]
    assert {case.query.label for case in chosen["right"]} == set(CLASSES)
    for case in [*chosen["wrong"], *chosen["right"]]:
        assert len(case.nearest) == 6
        assert all(near.right == (near.label == case.query.label) for near in case.nearest)


def test_distances_are_those_that_a_search_gives(run_folder: Path) -> None:
    found = arrays.read(run_folder / "finetune" / "arrays")
    assert found is not None
    gallery, queries = (each / np.linalg.norm(each, axis=1)[:, None] for each in (found.train_vectors, found.vectors))
    built = Gallery.build(gallery.astype(np.float32), found.train_rows)
    search = built.search(queries.astype(np.float32), len(gallery))
    for case in cases.choose(found, CLASSES, cases.neighbourhood(found, CLASSES), right=3)["right"]:
        number = found.rows["path"].tolist().index(case.query.path)
        told = dict(zip(search.of(number)["path"], search.of(number)["distance"], strict=True))
        for near in case.nearest:
            place = found.train_rows["path"].tolist().index(near.path)
            cosine = float(gallery[place].astype(np.float64) @ queries[number].astype(np.float64))
            assert near.detail == f"distance {told[near.path]:.4f}"
            assert float(near.detail.split()[1]) == pytest.approx(np.sqrt(2 - 2 * cosine), abs=1e-4)


def test_an_image_is_not_its_own_neighbour_nor_is_its_patient(run_folder: Path) -> None:
    folder = run_folder / "finetune" / "arrays"
    for name in ("train_vectors.npy", "train_rows.csv"):
        (folder / name).unlink()  # neighbours then come from the scored rows themselves
    found = arrays.read(folder)
    assert found is not None
    patient = dict(zip(found.rows["path"], found.rows["patient"], strict=True))
    for case in cases.choose(found, CLASSES, cases.neighbourhood(found, CLASSES), right=20)["right"]:
        for near in case.nearest:
            assert near.path != case.query.path
            assert not patient[near.path] or patient[near.path] != patient[case.query.path]


def test_classes_of_training_rows_without_a_class_column(run_folder: Path) -> None:
    path = run_folder / "finetune" / "arrays" / "train_rows.csv"
    found = arrays.read(path.parent)
    assert found is not None
    expected = cases.train_classes(found, CLASSES).tolist()
    found.train_rows.drop(columns="class").to_csv(path, index=False)
    without = arrays.read(path.parent)
    assert without is not None
    assert cases.train_classes(without, CLASSES).tolist() == expected


def test_sixteen_bits_are_not_white(tmp_path: Path) -> None:
    ramp = np.linspace(1000, 3000, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    shown = pixels(cases.thumbnail(tmp_path / "deep.png"))
    assert shown.min() < 10
    assert shown.max() > 245


@pytest.mark.parametrize(("mode", "name"), [("RGBA", "a.png"), ("LA", "a.png"), ("P", "a.png"), ("CMYK", "a.jpg")])
def test_modes(tmp_path: Path, mode: str, name: str) -> None:
    Image.new("L", (300, 150), 90).convert(mode).save(tmp_path / name)
    shown = pixels(cases.thumbnail(tmp_path / name))
    assert shown.shape == (84, 168)
    assert abs(int(shown.mean()) - 90) < 12


def test_files_that_are_missing_or_no_picture_have_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    assert [cases.thumbnail(tmp_path / name) for name in ("text.png", "empty.png", "gone.png")] == [None] * 3


def test_dicom_and_members_of_archives_have_thumbnails(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    slice_of = put(tmp_path / "scan", dicom(np.full((8, 8), 128, np.uint8)))
    archive = put(tmp_path / "x.zip", zipped({"a.png": picture(1)}))
    for place in (slice_of, archive / "a.png", str(archive / "a.png")):
        found = cases.thumbnail(place)
        assert found is not None
        assert found.startswith("data:image/jpeg")
    assert cases.thumbnail(archive / "b.png") is None
