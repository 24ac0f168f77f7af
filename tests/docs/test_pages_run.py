"""The pages that a user reads first: all of their commands and snippets run, in order, over painted images."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrastive_cxr import recipe as recipes
from contrastive_cxr import shipped
from tests.docs import world
from tests.docs.pages import DOCS, blocks, lines, words

PAGES = [page for room in ("start", "how-to") for page in sorted((DOCS / room).glob("*.md"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).with_suffix("").as_posix())
def test_a_page_runs_from_top_to_bottom(
    page: Path, furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "user"
    shutil.copytree(furnished, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = "--out runs/mine" in page.read_text(encoding="utf-8")
    if made:
        shutil.rmtree(root / "runs" / "mine")
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.kind == "sh":
            for line in lines(block.text):
                world.run(words(line), root)
        elif block.kind == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.text, str(page), "exec"), names)
        elif block.kind == "yaml":  # a part of a recipe
            whole = yaml.safe_load(shipped.path("phantom").read_text()) | yaml.safe_load(block.text)
            (root / "part.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
            recipes.load(root / "part.yaml")


def test_every_block_is_of_a_kind_that_is_run_or_said_not_to_be() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.kind in ("sh", "python", "yaml", "text"), f"{page.name}: a block of '{block.kind}'"
