"""What is named in docs/, or by the program, is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.docs.pages import DOCS, ROOT, pages


def tracked() -> list[Path]:
    """The text files of the repository: from git where it is one, else by folder."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split() or [
        str(path)
        for room in ("contrastive_cxr", "tests", "docs", "recipes", "benchmarks")
        for path in (ROOT / room).rglob("*")
    ]
    found = [ROOT / name for name in names if Path(name).suffix in {".py", ".md", ".j2", ".yaml", ".toml", ".sh"}]
    return [path for path in found if path.is_file()]


def test_every_page_that_is_named_is_there() -> None:
    missing = []
    for file in tracked():
        for name in re.findall(r"(?<![\w/])docs/[a-z/-]+\.(?:md|sh|yaml|ipynb)", file.read_text(encoding="utf-8")):
            if not (ROOT / name).is_file():
                missing.append(f"{file.relative_to(ROOT)}: {name}")
    assert not missing


def test_every_link_of_a_page_leads_to_a_file() -> None:
    missing = []
    for page in pages():
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http") and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert not missing


def test_every_page_is_in_the_menu() -> None:
    listed = re.findall(r"^([a-z-]+(?:/[a-z-]+)?)$", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    there = {
        path.relative_to(DOCS).with_suffix("").as_posix() for path in [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
    }
    there = {name for name in there if not name.startswith(("_", "."))}
    assert set(listed) == there - {"index"}
    assert len(listed) == len(set(listed))
