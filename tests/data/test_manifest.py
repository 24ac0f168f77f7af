from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.data import manifest as m
from contrastive_cxr.errors import RequestError
from contrastive_cxr.tasks import SHIPPED, Task


def make(labels: list[str], **columns: list[str]) -> m.Manifest:
    rows = pd.DataFrame({"path": [f"{number}.png" for number in range(len(labels))], "label": labels})
    for name in ("root", "patient", "split", "source"):
        rows[name] = columns.pop(name, "")
    for name, values in columns.items():
        rows[name] = values
    return m.Manifest(rows)


def test_csv_round_trip_is_exact(tmp_path: Path) -> None:
    odd = ["007", "1e5", "NA", "", ' a, "b"', "Zürich\nline"]
    before = make(odd, patient=odd, score=["1.50", "nan", "None", "-", "0", "True"])
    m.write(before, tmp_path / "m.csv")
    after = m.read(tmp_path / "m.csv")
    assert after.rows.to_dict("list") == before.rows.to_dict("list"), "strings stay as they are"
    assert list(after.rows.columns) == list(before.rows.columns), "columns keep their order"


@pytest.mark.parametrize(
    ("content", "word"),
    [("", "empty"), ("a,b\n1,2\n", "lacks the columns"), (None, "cannot be read"), (b"\xff\xfe,", "UTF-8")],
)
def test_read_refuses_what_is_no_manifest(tmp_path: Path, content: str | bytes | None, word: str) -> None:
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RequestError, match=word):
        m.read(path)


def test_select_maps_drops_and_keeps_order() -> None:
    task = Task(classes={"well": ("normal",), "ill": ("covid", "other")}, drop=("lateral",))
    chosen, labels = m.select(make(["covid", "lateral", "normal", "other"]), task)
    assert labels.tolist() == [1, 0, 1], "class numbers in the order of the task"
    assert labels.dtype == np.int64, "int64"
    assert chosen.rows["path"].tolist() == ["0.png", "2.png", "3.png"], "dropped rows are gone"
    assert m.encode(make(["covid", "lateral", "normal"]), task).tolist() == [1, -1, 0], "-1 marks the dropped"


def test_select_joins_columns() -> None:
    task = Task(columns=("label", "view"), classes={"a": ("x/pa",), "b": ("x/ap", "y/pa")})
    assert m.select(make(["x", "x", "y"], view=["pa", "ap", "pa"]), task)[1].tolist() == [0, 1, 1], "values joined by /"


def test_three_columns_are_a_hierarchy() -> None:
    task = Task(columns=("label", "agent", "virus"), classes={"well": ("normal",), "ill": ("pneumonia/viral/*",)})
    table = make(["normal", "pneumonia", "pneumonia"], agent=["", "viral", "viral "], virus=["", "COVID-19", ""])
    assert m.encode(table, task).tolist() == [0, 1, 1]
    with pytest.raises(RequestError, match=r"label 'pneumonia/bacterial' \(1 images\)"):
        m.encode(make(["normal", "pneumonia", "pneumonia"], agent=["", "viral", "bacterial"], virus=[""] * 3), task)


def test_a_label_of_another_spelling_has_the_line_that_maps_it() -> None:
    task = Task(classes={"normal": ("normal",), "not covid": ("other", "non-covid")})
    with pytest.raises(RequestError) as caught:
        m.select(make(["Normal", "NORMAL", "normal", "Non_Covid", "other", "covi"]), task)
    said = "\n".join(caught.value.faults)
    assert "add 'task.classes.normal=[normal, NORMAL, Normal]'" in said, "a label that is there already stays"
    assert "add 'task.classes.not covid=[other, Non_Covid]'" in said, "non-covid has no image and goes"
    assert "label 'covi' (1 images)" in said
    assert "covi]" not in said.replace("Non_Covid]", ""), "a likeness is no other spelling"


def test_unknown_labels_are_all_named_with_counts_and_the_nearest() -> None:
    task = Task(classes={"well": ("normal",), "ill": ("covid",)})
    with pytest.raises(RequestError) as caught:
        m.select(make(["normal", "Covid", "Covid", "tb"]), task)
    assert len(caught.value.faults) == 2, "one sentence a label"
    assert "'Covid' (2 images)" in caught.value.faults[0], caught.value.faults[0]
    assert "add 'task.classes.ill=[Covid]'" in caught.value.faults[0], caught.value.faults[0]
    assert "'tb' (1 images)" in caught.value.faults[1], caught.value.faults[1]


def test_class_without_rows_and_column_without_data_are_refused() -> None:
    task = Task(classes={"well": ("normal",), "ill": ("covid",)})
    with pytest.raises(RequestError, match=r"class 'ill' .* has no image.*'normal' \(2\)"):
        m.select(make(["normal", "normal"]), task)
    assert m.select(make(["normal"]), task, all_classes=False)[1].tolist() == [0], "scoring may lack a class"
    with pytest.raises(RequestError, match="did you mean 'label'"):
        m.select(make(["normal"]), Task(columns=("labels",), classes={"a": ("normal",)}))


def test_findings_give_classes_and_several_are_said_never_silently_the_first() -> None:
    listed = ["No Finding", "Infiltration", "Infiltration|Mass", "Mass", "Mass|Edema"]
    made = make([""] * 5, found=listed)
    classes = {"normal": ["none"], "infiltration": ["Infiltration"], "mass": ["Mass"]}
    read = {"columns": ["found"], "separator": "|"}
    with pytest.raises(RequestError) as caught:
        m.encode(made, Task.model_validate({"classes": classes, "findings": read}))
    (fault,) = caught.value.faults
    assert "1 images have findings of several classes" in fault
    assert "task.findings.several=leave-out, or first" in fault
    task = Task.model_validate({"name": "t", "classes": classes, "findings": read | {"several": "leave-out"}})
    assert m.encode(made, task).tolist() == [0, 1, -1, 2, 2]
    assert m.task_notes(made, task) == (
        "task 't': 1 images have findings of several classes (task.findings.several=leave-out)",
        "task 't': 1 images of a class have further findings",
    )


def test_findings_faults_name_columns_and_values() -> None:
    made = make([""] * 3, Pneumonia=["1.0", "-1.0", "0.0"])
    wrong = {"classes": {"a": ["none"], "b": ["*"]}, "findings": {"columns": ["Pneumona"]}}
    with pytest.raises(RequestError, match=r"task\.findings\.columns 'Pneumona' is not a column.*mean 'Pneumonia'"):
        m.encode(made, Task.model_validate(wrong))
    classes = {"without": ["none"], "pneumonia": ["Pneumonia"]}
    with pytest.raises(RequestError, match=r"'-1' \(1 times\); say what they mean with task\.findings\.words"):
        m.encode(made, Task.model_validate({"classes": classes, "findings": {"columns": ["Pneumonia"]}}))
    read = {"columns": ["Pneumonia"], "words": {"-1": "leave-out"}}
    task = Task.model_validate({"name": "t", "classes": classes, "findings": read})
    assert m.encode(made, task).tolist() == [1, -1, 0]
    assert m.task_notes(made, task) == (
        "task 't': 1 images are left out because a finding of theirs is (task.findings.words)",
    )


def test_labels_that_a_task_of_ones_own_leaves_out_are_counted() -> None:
    made = make(["normal", "todo", "covid", "todo", "unclear"])
    task = Task(name="t", classes={"a": ("normal",), "b": ("covid",)}, drop=("todo", "unclear"))
    assert m.task_notes(made, task) == ("task 't': 3 images are left out by task.drop ('todo' 2, 'unclear' 1)",)
    assert m.task_notes(make(["normal", "covid"]), task) == ()
    shipped = SHIPPED["xray/covid"]
    assert m.task_notes(make(["normal", "covid"]), shipped) == ()  # it is what the task is about


def test_a_table_without_labels_is_named_by_its_task() -> None:
    with pytest.raises(RequestError, match=r"has no labels: none of its columns .*'kind'.*data\.columns\.label=COLUMN"):
        m.encode(make(["", ""], kind=["x", "y"]), Task(classes={"a": ("x",), "b": ("y",)}))
    assert m.encode(make(["", ""]), Task(classes={"image": ("*",)})).tolist() == [0, 0], "labels that no one asks for"
