"""What the cells of a real notebook keep of a training, started from Python and from a line with `!`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from contrastive_cxr import recipe
from tests import kernel

SETTINGS = [
    "data.images=60", "model.backbone=timm/test_resnet", "pretrain.epochs=2", "embed.trainable=null", "embed.epochs=2",
    "finetune.epochs=2", "evaluation.resamples=100", "tracking.wandb=off", "runtime.device=cpu",
]  # fmt: skip
CELLS = [
    f"from contrastive_cxr import recipe, run_recipe\nwanted = recipe.load('phantom', {SETTINGS})\nwanted.pretrain",
    "from pathlib import Path\nrun_recipe(wanted, Path('first'))",
    f"!ccxr run phantom {' '.join(SETTINGS)} --out second",
]
EPOCH = re.compile(r"(pretrain|embed|finetune) epoch [12]/2: train loss [\d.]+, val loss [\d.]+")


def printed(cell: Any) -> str:
    """What a cell's outputs hold as text."""
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


@pytest.mark.slow
def test_cells_keep_a_line_an_epoch_and_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; it is in the extra docs")
    monkeypatch.delenv("NO_COLOR", raising=False)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    kernel.execute(book, tmp_path, monkeypatch)
    section, python, command = map(printed, book.cells)

    assert section == "\n".join(recipe_lines())
    for said in (python, command):
        assert "\x1b" not in said, "an escape code is litter where a cell is shown as text"
        assert "\r" not in said.replace("\r\n", "\n"), "a cell cannot draw over a line"
        assert "Warning" not in said, "a library's warning is none of ours"
        assert len(EPOCH.findall(said)) == 6
        assert len(said.splitlines()) < 60
    for part in ("phantom: test part, 15 images", "\naccuracy", "Report: ", "ccxr predict second IMAGES"):
        assert part in command
    assert (tmp_path / "first/report.html").is_file()


def recipe_lines() -> list[str]:
    """The settings of phase 1 as a recipe file has them."""
    text = recipe.dump(recipe.load("phantom", SETTINGS))
    lines = text.partition("\npretrain:\n")[2].splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith(" "))
    return [line.removeprefix("  ") for line in lines[:end]]
