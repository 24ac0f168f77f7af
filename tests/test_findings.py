"""Classes from findings, image by image, against rules that are written out here as loops."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from contrastive_cxr.findings import Findings
from contrastive_cxr.tasks import Task

WORDS = {"-1": "leave-out", "": "negative"}


def task(classes: dict[str, list[str]], drop: tuple[str, ...] = (), **findings: Any) -> Task:
    made = {"columns": ["No Finding", "Pneumonia", "Edema"], "words": WORDS} | findings
    return Task.model_validate({"classes": classes, "drop": drop, "findings": made})


def code(of: Task, *cells: str) -> int | None:
    return of.encode(of.value(dict(zip(of.read_columns, cells, strict=True))))


def test_one_findings_column_with_each_word_for_uncertain_and_empty() -> None:
    words = ("positive", "negative", "leave-out")
    number = {"positive": 1, "negative": 0, "leave-out": -1}
    for uncertain, empty in itertools.product(words, words):
        one = task(
            {"without": ["none"], "ill": ["Pneumonia"]}, columns=["Pneumonia"], words={"-1": uncertain, "": empty}
        )
        got = [code(one, cell) for cell in ("1", "1.0", "0", "0.0", "-1", "-1.0", "", " ")]
        want = [1, 1, 0, 0, number[uncertain], number[uncertain], number[empty], number[empty]]
        assert got == want, (uncertain, empty)


def test_normal_against_any_finding_is_what_a_loop_says() -> None:
    both = task({"normal": ["none"], "abnormal": ["*"]})
    for cells in itertools.product(["1", "0", "-1", ""], repeat=3):
        said, *found = cells
        want: int | None
        if "1" in found:
            want = None if said == "1" else 1  # one that is said to have none, and has one, is of both classes
        elif said == "1" or "-1" not in cells:
            want = 0
        else:
            want = -1
        assert code(both, *cells) == want, cells


def test_one_finding_against_none_leaves_others_out() -> None:
    one = task({"normal": ["none"], "pneumonia": ["Pneumonia"]}, drop=("*",))
    assert [code(one, *cells) for cells in ("100", "010", "001", "011", "000")] == [0, 1, -1, 1, 0]
    assert code(one, "1", "0", "1") == -1, "said to have none, and one that is dropped"
    strict = task({"normal": ["none"], "pneumonia": ["Pneumonia"]}, drop=("Edema",))
    assert code(strict, "0", "1", "1") == -1, "a finding that drop names leaves the image out, whatever else it has"


@pytest.mark.parametrize(("several", "want"), [("refuse", None), ("leave-out", -1), ("first", 0)])
def test_an_image_with_findings_of_two_classes(several: str, want: int | None) -> None:
    two = task({"edema": ["Edema"], "pneumonia": ["Pneumonia"]}, several=several)
    assert code(two, "0", "1", "1") == want
    assert code(two, "0", "1", "0") == 1
    assert code(two, "0", "0", "0") is None, "no class takes an image without a finding"


def test_findings_that_a_cell_lists() -> None:
    listed = task(
        {"normal": ["none"], "infiltration": ["Infiltration"]}, drop=("*",), columns=["Finding Labels"], separator="|",
        words={},
    )  # fmt: skip
    cells = ["No Finding", "Infiltration", "Infiltration|Mass", "Mass", "Mass|Infiltration", ""]
    assert [code(listed, cell) for cell in cells] == [0, 1, 1, -1, 1, 0]
    printed = Findings(columns=("Labels",), separator=",")
    assert printed.value(["['normal', 'scoliosis ']"]) == "normal|scoliosis"


def test_a_value_without_a_word_is_told_with_the_line_to_write() -> None:
    found = Findings.model_validate({"columns": ["Pneumonia", "Edema"], "words": {"": "negative"}})
    (fault,) = found.faults({"Pneumonia": ["1", "-1.0", "-1", ""], "Edema": ["0", "maybe", "", "1.0"]})
    assert "2 columns: 'Pneumonia' '-1' (2 times); 'Edema' 'maybe' (1 times)" in fault
    assert """task.findings.words="{'': negative, '-1': leave-out, 'maybe': leave-out}\"""" in fault
    assert found.faults({"Pneumonia": ["1", "0", ""], "Edema": ["0"]}) == []
    assert len(Findings(columns=("x",)).faults({"x": ["", "1"]})) == 1, "an empty cell needs a word too"


@pytest.mark.parametrize(
    ("classes", "findings", "words"),
    [
        ({"a": ["none"], "b": ["Pnumonia"]}, {}, r"\['Pnumonia'\], which are not in task.findings.columns"),
        ({"a": ["none"], "b": ["*"]}, {"columns": ["x"], "separator": "|"}, "words are of cells that hold a value"),
    ],
)
def test_contradictions_are_refused(classes: dict[str, list[str]], findings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        task(classes, **findings)


def test_the_cells_of_an_images_rows_count_together() -> None:
    one = task({"without": ["none"], "ill": ["Target"]}, columns=["Target"], words={"-1": "leave-out"})
    assert [code(one, cell) for cell in ("1|0", "0|0", "0|-1", "0|1|-1")] == [1, 0, -1, 1]


def test_any_other_value_has_a_word_of_its_own() -> None:
    masks = task({"without": ["none"], "ill": ["Mask"]}, columns=["Mask"], words={"-1": "negative", "*": "positive"})
    assert [code(masks, cell) for cell in ("-1", "-1.0", "5 1 2", "", "0")] == [0, 0, 1, 1, 0]


def test_a_label_that_is_a_number_is_the_same_with_a_point() -> None:
    plain = Task(classes={"a": ("0.0",), "b": ("1",)})
    assert [plain.encode(value) for value in ("0", "0.0", "1.0", "1", "10")] == [0, 0, 1, 1, None]
