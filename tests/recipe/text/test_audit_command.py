"""The command to copy reads the very images that the recipe reads."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from contrastive_cxr.datasets import look
from contrastive_cxr.recipe.schema import Data
from contrastive_cxr.recipe.text.audit_command import audit_command
from contrastive_cxr.tasks import SHIPPED, Task

BESIDE = {"split", "workers", "on_bad_image", "images", "seed"}


def read_back(command: str) -> look.schema.Recipe:
    """The recipe that the command's words come to, as `ccxr audit` reads them."""
    program, name, *words = shlex.split(command)
    assert (program, name, words[-2:]) == ("ccxr", "audit", ["--fix", "clean.csv"])
    settings = [word for word in words[:-2] if word.startswith(("data.", "task"))]
    places = [Path(word) for word in words[:-2] if word not in settings]
    return look.recipe_of(places, settings, None)


def plain(data: Data) -> dict[str, Any]:
    return {name: value for name, value in data.model_dump(mode="json").items() if name not in BESIDE}


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "folders", "label_folders": 1},
        {
            "source": "csv", "csv": "a table; of mine.csv", "cache_dir": "somewhere else", "leave_out": ["", "it's $x"],
            "columns": {"label": "Finding Labels", "patient": "null"}, "where": {"View Position": ["PA", "AP"]},
            "border_crop": 0.05, "intensity": {"kind": "percentile", "low": 1.0}, "repeated": "join",
        },
    ],
)  # fmt: skip
def test_the_settings_come_back_from_the_shell(changes: dict[str, Any], tmp_path: Path) -> None:
    root = tmp_path / "my scans' folder"
    root.mkdir()
    data = Data.model_validate({"root": root, **changes})
    found = read_back(audit_command(data))
    assert plain(found.data) == plain(data)
    assert len(audit_command(data).splitlines()) == 1


def test_joined_sources_come_back(tmp_path: Path) -> None:
    sources = []
    for name in ("one", "two words"):
        (tmp_path / name).mkdir()
        sources.append({"source": "csv", "root": str(tmp_path / name), "csv": f"{name}.csv"})
    data = Data.model_validate({"join": sources, "cache_size": 64})
    assert plain(read_back(audit_command(data)).data) == plain(data)


def test_a_shipped_task_is_named_and_another_one_written_out(tmp_path: Path) -> None:
    data = Data(source="folders", root=tmp_path)
    assert " task=phantom " in audit_command(data, task=SHIPPED["phantom"])
    own = Task(name="my task", classes={"well": ("a b", "c"), "ill": ("d/*",)}, drop=("it's",), positive="well")
    assert read_back(audit_command(data, task=own)).task == own


def test_painted_phantoms_are_read_from_their_folder(tmp_path: Path) -> None:
    command = audit_command(Data(source="phantom", images=60), [str(tmp_path)])
    found = read_back(command).data
    assert (found.source, found.root, str(found.csv)) == ("csv", tmp_path, "labels.csv")
