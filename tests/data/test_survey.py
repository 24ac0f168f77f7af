"""What a survey says of a table, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.data import cache, survey
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.recipe.schema import Data


def table(*rows: dict[str, object]) -> pd.DataFrame:
    """A survey's table; what a row does not say is ordinary."""
    plain: dict[str, object] = {
        "root": "/a", "label": "x", "patient": "", "split": "", "source": "a", "format": "PNG", "mode": "L",
        "width": 10, "height": 10, "bytes": 100, "error": "",
    }  # fmt: skip
    return pd.DataFrame([plain | {"path": f"{i}.png", "digest": f"d{i}"} | row for i, row in enumerate(rows)])


def test_counts_by_split_and_source() -> None:
    found = survey.counts(
        table({"split": "train"}, {"split": "val"}, {"label": "y", "source": "b"}, {"label": "y", "error": "damaged"})
    )
    assert found["labels"]["x"] == {
        "images": 2, "unreadable": 0, "by_split": {"": 0, "train": 1, "val": 1}, "by_source": {"a": 2, "b": 0},
    }  # fmt: skip
    assert (found["labels"]["y"]["images"], found["labels"]["y"]["unreadable"]) == (2, 1)
    many = survey.counts(table(*({"label": f"l{i}"} for i in range(130))))
    assert (len(many["labels"]), many["more_labels"]) == (100, 30)


def test_kinds_of_files_by_label() -> None:
    found = survey.kinds(
        table({"mode": "RGB"}, {"mode": "RGBA", "label": "y"}, {"mode": "I;16", "format": "TIFF"}, {"error": "bad"})
    )
    assert found["format"] == {"PNG": {"x": 1, "y": 1}, "TIFF": {"x": 1}}
    assert found["channels"] == {"1": {"x": 1}, "3": {"x": 1}, "4": {"y": 1}}


def test_sizes_and_shapes() -> None:
    rows = table({"width": 20, "height": 10}, {"width": 10, "height": 40, "label": "y"}, {}, {})
    sizes, shapes = survey.sizes(rows), survey.shapes(rows)
    assert sizes["distinct"] == 3
    assert sizes["common"][0] == {"width": 10, "height": 10, "images": 2}
    assert sizes["by_label"]["x"]["width"] == pytest.approx(
        {"min": 10, "p5": 10, "p25": 10, "median": 10, "p75": 15, "p95": 19, "max": 20}
    )
    assert shapes["square"] == 2
    assert shapes["by_label"]["y"]["aspect"]["median"] == 0.25
    assert shapes["by_label"]["y"]["lost"]["median"] == 0.75, "30 of 40 columns of the square are padding"
    assert shapes["lost"]["max"] == 0.75


def test_patients() -> None:
    found = survey.patients(
        table(
            {"patient": "p", "split": "train"},
            {"patient": "p", "split": "val"},
            {"patient": "q", "label": "y"},
            {"patient": "q"},
            {"patient": "q"},
            {},
        )
    )
    assert (found["known"], found["images_without"]) == (2, 1)
    assert (found["images_each"]["min"], found["images_each"]["max"]) == (2, 3)
    assert found["several_splits"] == {"count": 1, "listed": [{"patient": "p", "split": ["train", "val"]}]}
    assert found["several_labels"] == {"count": 1, "listed": [{"patient": "q", "label": ["x", "y"]}]}


def test_copies_the_worst_first() -> None:
    found = survey.copies(
        table(
            {"digest": "one"},
            {"digest": "one"},
            {"digest": "two", "label": "y", "split": "train"},
            {"digest": "two", "split": "val"},
            {"digest": "", "error": "bad"},
            {"digest": "", "error": "bad"},
            {},
        )
    )
    assert (found["groups"], found["images"]) == (2, 4)
    assert (found["across_labels"], found["across_splits"], found["across_sources"]) == (1, 1, 0)
    assert [each["path"] for each in found["listed"][0]] == ["2.png", "3.png"]


def test_of_nothing_readable_nothing_is_measured() -> None:
    rows = table({"error": "bad"}, {"error": "bad"})
    assert survey.sizes(rows)["all"]["width"] is None
    assert survey.shapes(rows)["lost"] is None
    assert survey.copies(rows)["groups"] == 0
    assert survey.unreadable(rows)["count"] == 2


def test_grey_levels_leave_the_padding_out(tmp_path: Path) -> None:
    """Pictures as large as the cached square are cached as they are, so their own pixels give the numbers."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((32, 32), (32, 12), (20, 32), (32, 32))]
    pictures[3][:] = 7
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "4.png").write_bytes(b"no picture")
    rows = table({}, {}, {"label": "y"}, {"label": "y"}, {}).assign(root=str(tmp_path))
    manifest = Manifest(rows[["path", "root", "label", "patient", "split", "source"]])
    data = Data(root=tmp_path, cache_size=32, cache_dir=tmp_path / "cache", on_bad_image="skip", workers=1)
    cached = cache.build(manifest, data)
    means, deviations = survey.grey_levels(cached)
    for row, pixels in enumerate(pictures):
        assert means[row] == pytest.approx(pixels.mean() / 255)
        assert deviations[row] == pytest.approx(pixels.std() / 255)
    assert np.isnan(means[4])
    found = survey.contrast(survey.table_of(manifest, cached), means, deviations)
    assert found["blank"] == {"count": 1, "listed": ["3.png"]}
    assert (found["by_label"]["x"]["images"], found["by_label"]["y"]["images"]) == (2, 2)
    assert found["by_label"]["x"]["mean"]["min"] == pytest.approx(min(each.mean() for each in pictures[:2]) / 255)


def test_examples_are_readable_and_the_same_each_time() -> None:
    rows = table(*({"label": "xy"[i % 2], "error": "bad" if i == 4 else ""} for i in range(40)))
    found = survey.examples(rows, 5, ["x", "y"])
    assert found == survey.examples(rows, 5, ["x", "y"])
    assert all(len(chosen) == 5 and len(set(chosen)) == 5 for chosen in found.values())
    assert all(rows["label"][row] == label and row != 4 for label, chosen in found.items() for row in chosen)
    assert found["x"] != [0, 2, 6, 8, 10], "not the first ones"
