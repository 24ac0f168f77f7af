"""The examples of docs/reference/tables.md: tables are written, images painted, and what is read stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from contrastive_cxr.data import manifest as manifests
from contrastive_cxr.data.sources import read
from contrastive_cxr.recipe.schema import Source
from contrastive_cxr.tasks import Task

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"### (.+?)\n\n```csv (\S+)\n(.*?)```\n\n```yaml\n(.*?)```\n\n```text\n(.*?)```",
    PAGE,
    re.DOTALL,
)


def test_every_example_is_found() -> None:
    assert len(EXAMPLES) == PAGE.count("\n### ") == 5


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0])
def test_an_example_is_read_as_it_says(example: tuple[str, ...], tmp_path: Path) -> None:
    _, name, table, settings, want = example
    (tmp_path / name).write_text(table)
    for line in want.splitlines():
        place = tmp_path / line.split(" | ")[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(place, "PNG")
    for extra in re.findall(r"(CheXpert\S+?\.jpg|\d{8}_\d{3}\.png)", table):  # rows that the task leaves out
        (tmp_path / extra).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / extra, "PNG")
    tree = yaml.safe_load(settings)
    rows = read(Source.model_validate(tree["data"] | {"source": "csv", "root": tmp_path}))
    words = rows.column("label")
    if "task" in tree:
        task = Task.model_validate(tree["task"])
        rows, numbers = manifests.select(rows, task)
        words = np.array(task.names, dtype=object)[numbers]
    got = zip(rows.column("path"), words, rows.column("patient"), rows.column("split"), strict=True)
    assert [" | ".join(row).rstrip() for row in got] == [line.rstrip() for line in want.splitlines()]
