"""The notebooks run from top to bottom, over painted images, and hold nothing of the machine that ran them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import kernel
from tests.docs.pages import DOCS

NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def test_the_notebooks_are_these() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["audit-a-data-set", "train-and-search"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_its_results_and_no_machine(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")
    assert '"output_type": "error"' not in text
    assert not re.search(r"(?<![\w.])/(home|tmp|root|work|usr|mnt)/", text)
    assert '"execution_count": 1' in text
    assert len(text) < 400_000, "keep its pictures small"


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed; it is in the extra docs")
    stored = nbformat.read(notebook, as_version=4)
    run = kernel.execute(nbformat.read(notebook, as_version=4), tmp_path, monkeypatch)
    for kept, made in zip(stored.cells, run.cells, strict=True):
        if kept.cell_type == "code":
            assert bool(kept.outputs) == any(output.get("name") != "stderr" for output in made.outputs), kept.source
