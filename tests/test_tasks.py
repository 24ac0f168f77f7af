from __future__ import annotations

import pytest
from pydantic import ValidationError

from contrastive_cxr.tasks import SHIPPED, Task, unknown_labels


def test_a_label_becomes_its_class_is_dropped_or_is_unknown() -> None:
    task = Task(classes={"a": ("x", "y"), "b": ("z",)}, drop=("w",))
    assert [task.encode(value) for value in ("x", "y", "z", "w", "v")] == [0, 0, 1, -1, None]
    assert unknown_labels(task, ["v", "x", "w", "u", "v"]) == ["u", "v"]


def test_a_star_takes_what_no_other_class_names() -> None:
    task = Task(classes={"rest": ("*",), "a": ("x",)}, drop=("w",))
    assert [task.encode(value) for value in ("x", "anything", "w")] == [1, 0, -1]


def test_columns_are_joined_by_a_slash() -> None:
    task = Task(columns=("label", "kind"), classes={"a": ("x/1",)})
    assert task.value({"label": "x", "kind": 1, "other": "o"}) == "x/1"


HIERARCHY = Task(
    columns=("type", "agent", "virus"),
    classes={
        "normal": ("normal",),
        "virus": ("pneumonia/viral/*",),
        "covid": ("pneumonia/viral/COVID-19",),
        "other": ("pneumonia/*", "*"),
    },
    drop=("pneumonia/fungal", "pneumonia/viral/unclear"),
)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (("normal", "", ""), 0),
        (("normal", " ", ""), 0),
        (("pneumonia", "viral", "COVID-19"), 2),
        (("pneumonia", "viral", "SARS"), 1),
        (("pneumonia", "viral", ""), 1),
        (("pneumonia", "viral", "unclear"), -1),
        (("pneumonia", "fungal", ""), -1),
        (("pneumonia", "fungal", "x"), 3),
        (("pneumonia", "viralx", ""), 3),
        (("pneumonia", "", "COVID-19"), 3),
        (("pneumonia", "", ""), 3),
        (("tuberculosis", "", ""), 3),
        (("", "", ""), 3),
    ],
)
def test_the_most_specific_pattern_of_a_hierarchy_counts(cells: tuple[str, ...], code: int) -> None:
    row = dict(zip(("type", "agent", "virus"), cells, strict=True))
    assert HIERARCHY.encode(HIERARCHY.value(row)) == code


def test_without_a_star_what_lies_beside_a_prefix_is_unknown() -> None:
    task = Task(columns=("a", "b"), classes={"x": ("one/*",), "y": ("two",)})
    assert [task.encode(value) for value in ("one", "one/z", "ones/z", "two", "two/z")] == [0, 0, None, 1, None]


def test_all_others_may_be_dropped() -> None:
    task = Task(classes={"a": ("x",), "b": ("y/*",)}, drop=("*",))
    assert [task.encode(value) for value in ("x", "y/1", "z", "")] == [0, 1, -1, -1]


def test_the_positive_class_is_the_last_where_none_is_named() -> None:
    assert Task(classes={"a": ("x",), "b": ("y",)}).positive_index == 1
    assert Task(classes={"a": ("x",), "b": ("y",)}, positive="a").positive_index == 0


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"classes": {}}, "empty"),
        ({"classes": {"a": ("x",), "b": ("x",)}}, "twice"),
        ({"classes": {"a": ("x",)}, "drop": ("x",)}, "twice"),
        ({"classes": {"a": ()}}, "no label"),
        ({"classes": {"a": ("x/y/*",), "b": ("x/y/*",)}}, "twice"),
        ({"classes": {"a": ("x",), "b": ("x//",)}}, "twice"),
        ({"classes": {"a": ("x/*",)}, "drop": ("x /*",)}, "twice"),
        ({"classes": {"a": ("pneu*",)}}, "a star stands alone"),
        ({"classes": {"a": ("x/*/z",)}}, "a star stands alone"),
        ({"classes": {"a": ("x",)}, "positive": "b"}, "positive 'b'"),
        ({"classes": {"normal": ("x",), "nodule": ("y",)}, "positive": "noduel"}, "did you mean 'nodule'"),
        ({"classes": {"a": ("x",)}, "column": ("x",)}, "column"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        Task.model_validate(settings)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("ct", {"CT_NonCOVID": 0, "NonCOVID": 0, "noncovid": 0, "CT_COVID": 1, "COVID": 1, "covid": 1}),
        ("xray/three-class", {"normal": 0, "infected/covid": 1, "covid": 1, "infected/non-covid": 2, "non-covid": 2}),
        ("xray/infected", {"normal": 0, "infected/covid": 1, "infected/non-covid": 1, "covid": 1, "non-covid": 1}),
        ("xray/covid", {"normal": -1, "infected/non-covid": 0, "infected/covid": 1, "bacterial": None}),
        ("unlabelled", {"whatever": 0, "": 0}),
        ("phantom", {"normal": 0, "nodule": 1, "opacity": 2}),
        ("phantom/lesion", {"normal": 0, "nodule": 1, "opacity": 1}),
        ("phantom/opacity", {"normal": -1, "nodule": 0, "opacity": 1}),
    ],
)
def test_shipped_task(name: str, codes: dict[str, int | None]) -> None:
    task = SHIPPED[name]
    assert {value: task.encode(value) for value in codes} == codes
    assert task.name == name


def test_shipped_positive_classes() -> None:
    positives = {name: task.names[task.positive_index] for name, task in SHIPPED.items() if len(task.names) > 1}
    assert positives == {
        "ct": "covid",
        "xray/three-class": "covid",
        "xray/infected": "infected",
        "xray/covid": "covid",
        "phantom": "opacity",
        "phantom/lesion": "lesion",
        "phantom/opacity": "opacity",
    }
