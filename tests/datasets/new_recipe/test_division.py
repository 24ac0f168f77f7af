"""The split that is guessed is one that a training takes; the counts are those of a slow loop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.data import sources
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.datasets.new_recipe import division
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.tasks import Task

TASK = Task(name="mine", classes={"a": ("a",), "b": ("b",)})


def paint(root: Path, counts: dict[str, int], copies: dict[str, str] | None = None) -> schema.Data:
    """Pictures of noise, `{folder: number}`, and `{copy: of which}`."""
    rng = np.random.default_rng(0)
    for folder, number in counts.items():
        (root / folder).mkdir(parents=True)
        for each in range(number):
            pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{each}.png")
    for copy, origin in (copies or {}).items():
        (root / copy).write_bytes((root / origin).read_bytes())
    return schema.Data(root=root, cache_size=16, cache_dir=root.parent / "cache")


def guessed(data: schema.Data) -> tuple[dict[str, object], division.Division, list[str]]:
    rows = sources.read_data(data)
    found, divided = division.guess(data, TASK, rows)
    split = schema.Split.model_validate(found.settings)
    opened = open_dataset(data.model_copy(update={"split": split}), TASK, manifest=rows)
    seen = Counter(zip(opened.split.tolist(), opened.labels.tolist(), strict=True))
    for row, part in enumerate(("train", "val", "test")):
        for label in (0, 1):
            assert divided.counts[row, label] == seen[part, label]
    return found.settings, divided, found.doubts


def test_no_split_of_its_own(tmp_path: Path) -> None:
    settings, divided, doubts = guessed(paint(tmp_path / "i", {"a": 40, "b": 60}))
    assert settings == {"kind": "fractions", "val": 0.1, "test": 0.15}
    assert (divided.smallest, divided.unreadable, doubts) == (40, 0, [])
    assert divided.counts.sum() == 100


def test_few_images_have_a_larger_test_part_or_none(tmp_path: Path) -> None:
    assert guessed(paint(tmp_path / "i", {"a": 8, "b": 12}))[0] == {"kind": "fractions", "val": 0.1, "test": 0.2}
    settings, _, doubts = guessed(paint(tmp_path / "j", {"a": 2, "b": 12}))
    assert settings == {"kind": "fractions", "val": 0.2, "test": 0.0}
    assert "too few for each of 3 parts" in doubts[0]


@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        ({"train/a": 30, "train/b": 30, "val/a": 20, "val/b": 20}, "official"),
        ({"train/a": 80, "train/b": 80, "val/a": 2, "val/b": 2}, "within-train"),
        ({"train/a": 20, "train/b": 20, "test/a": 5, "test/b": 5}, "val-within-train"),
        ({"train/a": 9, "train/b": 9, "val/a": 4, "test/a": 3, "test/b": 3}, "val-within-train"),
        ({"test/a": 40, "test/b": 40}, "fractions"),
    ],
)
def test_a_split_of_its_own_counts_where_it_can(tmp_path: Path, counts: dict[str, int], kind: str) -> None:
    assert guessed(paint(tmp_path / "i", counts))[0]["kind"] == kind


def test_a_split_that_leaks_is_not_taken(tmp_path: Path) -> None:
    counts = {"train/a": 30, "train/b": 30, "val/a": 20, "val/b": 20}
    settings, _, doubts = guessed(paint(tmp_path / "i", counts, {"val/a/0.png": "train/a/0.png"}))
    assert settings["kind"] == "within-train"
    assert "val/a/0.png" in doubts[0]


def test_what_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    data = paint(tmp_path / "i", {"a": 1, "b": 9})
    with pytest.raises(RequestError, match="class 'a' has 1 images") as caught:
        division.guess(data, TASK, sources.read_data(data))
    assert caught.value.faults[-1].startswith("write by hand: ")


def test_unreadable_files_are_counted(tmp_path: Path) -> None:
    data = paint(tmp_path / "i", {"a": 10, "b": 10})
    (tmp_path / "i" / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    _, divided = division.guess(data, TASK, sources.read_data(data))
    assert divided.unreadable == 1
