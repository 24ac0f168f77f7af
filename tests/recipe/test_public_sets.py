"""Every page loads into a recipe; a page's settings are under the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import public_sets

NAMED = (
    "nih", "chexpert", "mimic-cxr-jpg", "padchest", "vinbigdata", "rsna", "siim", "nlm", "covid-chestxray", "covidx",
    "covid-radiography", "covid-qu-ex", "bimcv", "kaggle-pneumonia", "coronahack", "covid-ct", "covid-ctset",
    "sars-cov-2-ct", "iq-oth-nccd",
)  # fmt: skip


def test_the_sets_are_these() -> None:
    assert public_sets.names() == sorted(NAMED)
    real = {name for name in NAMED if public_sets.page(name).read == "table"}
    assert real == {"nih", "chexpert", "padchest", "vinbigdata", "rsna", "siim", "nlm"}


@pytest.mark.parametrize("name", NAMED)
def test_a_page_and_its_tasks_load(name: str) -> None:
    page = public_sets.page(name)
    for task in page.tasks or [None]:
        words = [f"data.source={name}", "data.root=images", "data.split.kind=fractions"]
        if task is None:
            loaded = recipes.load("chest/label-free", ["data={}", *words])
        else:
            loaded = recipes.load("phantom", ["data={}", *words, f"task={name}/{task}"])
            assert loaded.task.names == tuple(page.tasks[task]["classes"])
        assert loaded.data.source == page.data["source"]
    assert page.traps
    assert len(page.checked) > 40, "what the page was held against"


def test_the_users_settings_are_over_those_of_the_page() -> None:
    words = ["data={source: chexpert, root: x, csv: mine.csv, columns: {split: Fold}}", "task=chexpert/pneumonia"]
    data = recipes.load("phantom", words).data
    assert (data.csv, data.columns.split, data.columns.file) == (Path("mine.csv"), "Fold", "Path")
    words = ["data={join: [{source: nih, root: a}, {source: rsna, root: b}]}", "task=nih/normal-against-any"]
    joined = recipes.load("phantom", words).data
    assert [source.repeated for source in joined.join] == ["refuse", "join"]


def test_a_name_that_is_nearly_a_sets_is_answered() -> None:
    with pytest.raises(RequestError, match=r"'chexprt' is no public set \(did you mean 'chexpert'\?\)"):
        public_sets.page("chexprt")
    with pytest.raises(RequestError, match=r"`data.source`: 'chexprt' is not one of .*did you mean 'chexpert'"):
        recipes.load("phantom", ["data.source=chexprt"])
