from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import contrastive_cxr

ROOT = Path(__file__).resolve().parents[1]


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert contrastive_cxr.__version__ == project["version"]


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match="EmbeddingModel"):
        _ = contrastive_cxr.EmbedingModel


def test_public_names_are_listed_before_they_are_imported() -> None:
    assert set(contrastive_cxr.__all__) <= set(dir(contrastive_cxr))


def test_constraints_are_name_and_version_alone() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    wrong = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)]
    assert not wrong, f"not name==version: {wrong}"
    assert len(lines) == len({line.split("==")[0] for line in lines})


def test_every_direct_dependency_is_constrained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *project["optional-dependencies"]["dicom"],
        *project["optional-dependencies"]["volumes"],
        *project["optional-dependencies"]["explain"],
    ]
    names = {re.split(r"[^A-Za-z0-9-]", line)[0].lower() for line in wanted}
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names <= pinned
