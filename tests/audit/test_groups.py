"""Groups, the words for transforms, sources in common, patients: worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contrastive_cxr.audit import groups
from contrastive_cxr.audit.links import Links
from contrastive_cxr.audit.symmetries import NAMES


def table(*rows: dict[str, object]) -> pd.DataFrame:
    plain = {"label": "x", "patient": "", "split": "", "source": "a", "width": 20, "height": 10, "root": "/r"}
    return pd.DataFrame([{"path": f"{number}.png", **plain, **row} for number, row in enumerate(rows)])


def linked(*pairs: tuple[int, int, str, bool, bool, float]) -> Links:
    first, second, names, identical, cropped, correlation = zip(*pairs, strict=True)
    turns = np.array([NAMES.index(name) for name in names])
    return Links(
        np.array(first),
        np.array(second),
        turns,
        np.array(identical),
        np.array(cropped),
        np.array(correlation, np.float32),
    )


def test_a_chain_is_one_group_and_its_transforms_are_composed() -> None:
    rows = table({}, {"width": 10, "height": 20}, {"width": 10, "height": 20}, {"width": 15, "height": 9}, {})
    found = groups.gather(
        rows,
        linked(
            (0, 1, "rotate 90", False, False, 0.99),
            (2, 1, "flip", False, False, 0.98),
            (3, 0, "none", False, True, 0.97),
        ),
    )
    assert len(found) == 1
    assert found[0]["images"] == ["0.png", "1.png", "2.png", "3.png"]
    # a quarter turn, then upside down, is the transpose: rows become columns
    assert found[0]["transforms"] == ["first", "rotate 90", "transpose", "cropped"]
    assert (found[0]["kind"], found[0]["correlation"]) == ("near", 0.97)
    assert not any(found[0][name] for name in ("across_splits", "conflicting_labels", "across_sources"))


def test_words_for_copies_that_are_not_turned() -> None:
    rows = table({}, {}, {}, {"width": 40, "height": 20})
    found = groups.gather(
        rows,
        linked((0, 1, "none", True, False, 1), (0, 2, "none", False, False, 0.99), (0, 3, "none", False, False, 0.99)),
    )[0]
    assert found["transforms"] == ["first", "identical", "re-encoded", "resized"]
    assert found["kind"] == "near", "not all of it is identical"


def test_the_worst_group_comes_first() -> None:
    rows = table(
        {}, {}, {"label": "y"}, {"label": "z"}, {"split": "train"}, {"split": "test"},
        {"split": "train", "source": "b"}, {"split": "unused"},
    )  # fmt: skip
    found = groups.gather(rows, linked(*((a, a + 1, "none", True, False, 1.0) for a in (0, 2, 4, 6))))
    assert [each["images"][0] for each in found] == ["4.png", "2.png", "6.png", "0.png"]
    assert [each["across_splits"] for each in found] == [True, False, False, False], "unused rows take no part"
    assert found[1]["conflicting_labels"]
    assert found[2]["across_sources"]


def test_sources_in_common_are_counted_by_images() -> None:
    rows = table({}, {"source": "b"}, {"source": "b", "label": "y"}, {"source": "b"}, {"source": "c"})
    found = groups.shared(
        rows, groups.gather(rows, linked((0, 1, "none", True, False, 1), (1, 2, "mirror", False, False, 0.99)))
    )
    assert found == [
        {"sources": ["a", "b"], "shared": [1, 2], "images": [1, 3], "by_label": [{"x": 1}, {"x": 1, "y": 1}]}
    ]


def test_patients_in_several_splits() -> None:
    rows = table(
        {"patient": "p", "split": "test"}, {"patient": "p", "split": "train"}, {"patient": "q", "split": "train"},
        {"patient": "q", "split": "unused"}, {"split": "train"}, {"split": "val"},
    )  # fmt: skip
    found = groups.patients_across(rows)
    assert found == [{"patient": "p", "splits": ["train", "test"], "images": ["0.png", "1.png"]}]


def test_no_links_no_groups() -> None:
    none = np.empty(0, np.int64)
    empty = Links(none, none, none, none.astype(bool), none.astype(bool), none.astype(np.float32))
    assert groups.gather(table({}), empty) == []
