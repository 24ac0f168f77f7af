"""Labels become classes: order, spellings, rare and undecided ones, findings."""

from __future__ import annotations

import pandas as pd
import pytest

from contrastive_cxr import tasks
from contrastive_cxr.data.manifest import Manifest, encode
from contrastive_cxr.datasets.new_recipe import classes
from contrastive_cxr.datasets.new_recipe.guess import Guess
from contrastive_cxr.errors import RequestError


def rows(labels: list[str], **columns: list[str]) -> Manifest:
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(len(labels))], "label": labels})
    for name in ("root", "patient", "split", "source"):
        table[name] = columns.pop(name, "")
    return Manifest(table.assign(**columns))


def task_of(found: Guess) -> tasks.Task:
    return tasks.Task.model_validate(found.settings)


def test_the_class_without_a_finding_is_first_and_the_one_looked_for_last() -> None:
    found = classes.guess(rows(["viral", "covid", "Normal", "bacterial"] * 5), "mine")
    assert list(found.settings["classes"]) == ["Normal", "bacterial", "viral", "covid"]
    assert found.settings["positive"] == "covid"
    assert found.doubts == []
    two = classes.guess(rows(["b", "a"] * 5), "mine")
    assert list(two.settings["classes"]) == ["a", "b"]
    assert "positive" in two.doubts[0]


def test_spellings_of_a_label_are_one_class() -> None:
    found = classes.guess(rows(["normal", "Normal", "normal", "NORMAL ", "non covid", "non-covid"] * 3), "mine")
    assert found.settings["classes"]["normal"] == ["normal", "NORMAL ", "Normal"]
    labels = encode(rows(["Normal", "non-covid"]), task_of(found))
    assert labels.tolist() == [0, 1]


def test_shipped_labels_get_the_shipped_classes() -> None:
    found = classes.guess(rows(["CT_COVID", "CT_NonCOVID"]), "mine")
    assert found.settings["classes"] == {"noncovid": ["CT_NonCOVID"], "covid": ["CT_COVID"]}
    assert found.settings["name"] == "mine"


def test_nested_and_rare_and_undecided_labels() -> None:
    labels = ["p/viral", "p/bacterial", "No Finding"] * 5 + ["todo"] * 9 + ["p/fungal"] * 4
    found = classes.guess(rows(labels), "mine")
    assert list(found.settings["classes"]) == ["No Finding", "bacterial", "viral"]
    assert sorted(found.settings["drop"]) == ["p/fungal", "todo"]
    assert "'todo' (9 images of 9)" in found.doubts[0]
    one = rows(["a"] * 9 + ["b"] * 9 + ["c"] * 9, patient=["1"] * 9 + [str(each) for each in range(18)])
    assert classes.guess(one, "mine").settings["drop"] == ["a"]  # nine images of one patient
    same = classes.guess(rows(["x/a", "y/a"] * 5), "mine")
    assert list(same.settings["classes"]) == ["x-a", "y-a"]


@pytest.mark.parametrize(
    ("labels", "word"), [(["a"] * 9, "make 1 class"), ([str(each) for each in range(30)], "30 dif")]
)
def test_what_is_no_task_is_refused(labels: list[str], word: str) -> None:
    patients = [str(each) for each in range(len(labels))]
    with pytest.raises(RequestError, match=word) as caught:
        classes.guess(rows(labels * 5, patient=patients * 5, path=[f"{n}" for n in range(5 * len(labels))]), "mine")
    assert caught.value.faults[-1].startswith("write by hand: ")


def test_cells_that_list_findings_become_any_against_none() -> None:
    data = rows(["Edema|Mass", "Edema", "No Finding", "Mass", "No Finding", "Mass|Edema"])
    task = task_of(classes.guess(data, "mine"))
    assert encode(data, task).tolist() == [1, 1, 0, 1, 0, 1]


def test_columns_of_findings() -> None:
    free = {
        "No Finding": ["1", "", ""] * 5,
        "Edema": ["", "1", "-1"] * 5,
        "Mass": ["0", "", "1"] * 5,
        "age": ["7"] * 15,
    }
    data = rows([""] * 15, **free)
    found = classes.guess(data, "mine")
    assert found.settings["findings"]["columns"] == ["No Finding", "Edema", "Mass"]
    assert encode(data, task_of(found)).tolist() == [0, 1, 1] * 5
    few = rows([""] * 12, **{"Edema": ["1", "0"] * 6, "Mass": ["1", "1", "0", "1"] * 3})
    found = classes.guess(few, "mine")  # all but three have a finding: the most frequent one against all else
    assert found.settings["positive"] == "Mass"
    assert found.doubts[-1].endswith("from all else; others are 'Edema'")
    assert encode(few, task_of(found)).tolist() == [1, 1, 0, 1] * 3


def test_no_label_and_no_finding_is_refused() -> None:
    with pytest.raises(RequestError, match="none of the 3 images has a label"):
        classes.guess(rows(["", "", ""], note=["a", "b", "c"]), "mine")
