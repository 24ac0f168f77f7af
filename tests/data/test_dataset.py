from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.data.dataset import open_dataset, retask, subset
from contrastive_cxr.data.manifest import read, write
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data, Split
from contrastive_cxr.tasks import Task

TASK = Task(classes={"well": ("a",), "ill": ("b",)}, drop=("lateral",))
SHARED = Path(__file__).parents[3] / "shared" / "data"


def paint(root: Path, rows: list[tuple[str, str, str, str]]) -> None:
    """Write labels.csv of (file, label, patient, split) and an image of its own for each row."""
    lines = ["file,label,patient,split", *(",".join(row) for row in rows)]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    for number, (name, *_) in enumerate(rows):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)


def usual(root: Path) -> Data:
    parts = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    rows = [(f"{n}.png", "ab"[n % 2], f"p{n // 2}" if n < 6 else "", part) for n, part in enumerate(parts)]
    paint(root, [*rows[:3], ("9.png", "lateral", "", "train"), *rows[3:]])
    return Data(source="csv", root=root, cache_dir=root / "cache", cache_size=20)


def test_dataset_lines_rows_up_with_their_pixels(tmp_path: Path) -> None:
    dataset = open_dataset(usual(tmp_path), TASK)
    assert len(dataset) == 8, "the dropped row is gone"
    assert dataset.labels.tolist() == [0, 1] * 4, "class numbers"
    assert dataset.patients.tolist() == [0, 0, 1, 1, 2, 2, -1, -1], "patient numbers, -1 unknown"
    assert dataset.rows("val").tolist() == [4, 5], "rows of a part"
    assert dataset.images.shape == (8, 1, 20, 20), "shape without the dropped row"
    for row, file in enumerate(dataset.manifest.files()):
        assert (dataset.take(np.array([row]))[0, 0] == np.asarray(Image.open(file))).all(), f"pixels of row {row}"
    part = subset(dataset, np.array([5, 0]))
    assert part.manifest.column("path").tolist() == ["5.png", "0.png"], "rows of a subset"
    assert (part.take(np.array([1])) == dataset.take(np.array([0]))).all(), "pixels of a subset"


def test_statistics_are_of_the_training_part(tmp_path: Path) -> None:
    dataset = open_dataset(usual(tmp_path), TASK)
    pixels = np.stack([np.asarray(Image.open(tmp_path / f"{n}.png")) for n in range(4)]) / 255
    assert dataset.mean == pytest.approx(pixels.mean(), abs=1e-12), "mean of train alone"
    assert dataset.std == pytest.approx(pixels.std(), abs=1e-12), "standard deviation of train alone"


def test_tables_count_and_round_trip(tmp_path: Path) -> None:
    data = usual(tmp_path).model_copy(update={"split": Split(kind="fractions", val=0.25, test=0.25)})
    dataset = open_dataset(data, TASK)
    counts = dataset.describe()
    assert counts["images"].sum() == 8, "all rows counted"
    assert counts.loc["train", ["well", "ill"]].sum() == counts.loc["train", "images"], "classes add up"
    table = dataset.manifest_table()
    assert (table["split"].to_numpy() == dataset.split).all(), "the division, not the source's own split"
    assert table["class"].tolist() == ["well", "ill"] * 4, "class names"
    write(type(dataset.manifest)(table), tmp_path / "m.csv")
    as_text = table.astype({"grey_low": str, "grey_high": str})
    assert read(tmp_path / "m.csv").rows.to_dict("list") == as_text.to_dict("list"), "the table is a manifest"


def test_bad_images_are_refused_or_skipped(tmp_path: Path) -> None:
    data = usual(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no picture")
    with pytest.raises(RequestError, match=r"2\.png"):
        open_dataset(data, TASK)
    dataset = open_dataset(data.model_copy(update={"on_bad_image": "skip"}), TASK)
    assert len(dataset) == 7, "the bad row is left out"
    assert dataset.skipped["path"].tolist() == ["2.png"], "and reported"
    for row, file in enumerate(dataset.manifest.files()):
        assert (dataset.take(np.array([row]))[0, 0] == np.asarray(Image.open(file))).all(), f"pixels of row {row}"


def test_leaks_of_an_official_split_are_refused_and_divided_together(tmp_path: Path) -> None:
    data = usual(tmp_path)
    (tmp_path / "4.png").write_bytes((tmp_path / "0.png").read_bytes())
    with pytest.raises(RequestError, match=r"1 images .*0\.png in train = 4\.png in val"):
        open_dataset(data, TASK)
    for seed in range(8):
        split = Split(kind="fractions", val=0.4, test=0, seed=seed)
        dataset = open_dataset(data.model_copy(update={"split": split}), TASK)
        assert dataset.split[0] == dataset.split[4], f"copies are divided together, seed {seed}"


def test_class_that_training_lacks_is_refused_but_scoring_may_lack_it(tmp_path: Path) -> None:
    paint(tmp_path, [("1.png", "a", "", "train"), ("2.png", "a", "", "val"), ("3.png", "b", "", "val")])
    data = Data(source="csv", root=tmp_path, cache_dir=tmp_path / "cache", cache_size=20)
    with pytest.raises(RequestError, match=r"has images of \['well'\] and none of \['ill'\]"):
        open_dataset(data, TASK)
    assert len(open_dataset(data, Task(classes={"any": ("*",)}))) == 3, "a task of one class needs one class"
    paint(tmp_path, [("1.png", "a", "", "test")])
    dataset = open_dataset(data, TASK, need=("test",))
    assert dataset.rows("test").tolist() == [0], "scored alone"
    assert np.isnan(dataset.mean), "no training part, no statistics"


def test_tasks_share_one_cache(tmp_path: Path) -> None:
    data, calls = usual(tmp_path), []
    open_dataset(data, TASK, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (9, 9), "every image is decoded once"
    calls.clear()
    other = Task(classes={"frontal": ("a", "b"), "lateral": ("lateral",)})
    open_dataset(data, other, progress=lambda done, total: calls.append((done, total)))
    assert calls == [], "another task decodes nothing"


def test_real_ct_has_no_patient_or_image_in_two_parts(tmp_path: Path) -> None:
    if not (SHARED / "ct").is_dir():
        pytest.skip("shared/data/ct is not here")
    data = Data(source="covid-ct", root=SHARED / "ct", cache_dir=tmp_path, cache_size=16)
    dataset = open_dataset(data, Task(classes={"noncovid": ("CT_NonCOVID",), "covid": ("CT_COVID",)}))
    assert dataset.describe()[["noncovid", "covid"]].to_numpy().tolist() == [[234, 191], [58, 60]], (
        "the published lists"
    )
    assert not set(dataset.patients[dataset.rows("train")]) & set(dataset.patients[dataset.rows("val")]), "patients"


def test_another_task_over_the_same_division(tmp_path: Path) -> None:
    dataset = open_dataset(usual(tmp_path), TASK)
    stage = retask(dataset, Task(classes={"ill": ("b",)}, drop=("a",)))
    assert stage.manifest.column("path").tolist() == ["1.png", "3.png", "5.png", "7.png"], "the task's rows"
    assert (stage.split == dataset.split[1::2]).all(), "divided as before"
    pixels = np.stack([np.asarray(Image.open(tmp_path / f"{n}.png")) for n in (1, 3)]) / 255
    assert stage.mean == pytest.approx(pixels.mean(), abs=1e-12), "statistics of its own training images"
