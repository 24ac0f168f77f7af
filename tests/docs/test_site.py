"""The site builds without a warning, and what it reads from the program is all there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.recipe.text import field_words
from tests.docs.pages import DOCS, ROOT

pytest.importorskip("sphinx", reason="sphinx is not installed; it is in the extra docs")


def extension(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of `docs/_ext`."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    return importlib.import_module(name)


def fields(model: type, path: str = "") -> set[str]:
    """The paths of all fields of a model and of the models in them, by walking pydantic's own records."""
    found = set()
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        full = f"{path}.{name}" if path else name
        found.add(full)
        inner = re.findall(r"contrastive_cxr\.[\w.]+", str(field.annotation))
        for word in dict.fromkeys(inner):
            module, _, last = word.rpartition(".")
            value = getattr(importlib.import_module(module), last, None)
            if isinstance(value, type) and hasattr(value, "model_fields") and full.count(".") < 3:
                found |= fields(value, full)
    return found


def test_every_field_of_a_recipe_stands_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    page = extension("recipe_fields", monkeypatch).page()
    shown = set(re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE))
    leaves = {path.rpartition(".")[2] for path in fields(Recipe)}
    assert leaves == {path.rpartition(".")[2] for path in shown}
    for path in ("seed", "data.split.val", "pretrain.optimiser.lr", "embed.optimiser.lr", "pretrain.mix.mixup"):
        assert path in shown
    assert re.search(r"`model.image_size` \|.*whole number \(at least 32, at most 2048\) \| pixels \| `224` \|", page)
    assert re.search(r"`embed.optimiser.lr` \|.*number \(above 0\) \| - \| `0.0003` \|", page)
    assert re.search(r"`finetune.mix` \|.*section, its fields under `pretrain.mix` \|", page)
    assert re.search(r"`embed.loss` \|.*`triplet`, `nt-xent`, `supcon`, `multi-similarity` \|", page)


def test_every_unit_is_of_a_field_that_is_there() -> None:
    names = {path.rpartition(".")[2] for path in fields(Recipe)}
    for pattern, unit in field_words.UNITS:
        assert any(re.search(pattern, name) for name in names), f"{pattern} ({unit}) is of no field"


def test_every_command_stands_in_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    from contrastive_cxr.cli.app import app

    page = extension("commands", monkeypatch).page()
    for command in app.registered_commands:
        assert f"## ccxr {command.callback.__name__}\n" in page  # type: ignore[union-attr]
    assert "## ccxr data look\n" in page
    assert "`--seeds NUMBER ≥2`" in page


def test_the_error_index_has_the_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    found = extension("error_index", monkeypatch).messages()
    assert len(found) > 250
    assert {each.code for each in found} == {1, 2}
    assert any(each.text.startswith("batch_size={batch_size}; give at least 1") for each in found)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for name in ("furo", "myst_nb"):
        pytest.importorskip(name, reason=f"{name} is not installed; it is in the extra docs")
    words = [
        "-q",
        "-W",
        "--keep-going",
        "-n",
        "-b",
        "html",
        "-d",
        str(tmp_path / "trees"),
        "docs",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "start/your-images.html", "reference/recipe.html", "notebooks/train-and-search.html"} <= pages
    assert "pretrain.optimiser.lr" in (tmp_path / "site" / "reference" / "recipe.html").read_text()
    assert "<math" in (tmp_path / "site" / "explained" / "losses.html").read_text()
    outside = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="https?://')
    for page in pages:
        assert not outside.search((tmp_path / "site" / page).read_text()), f"{page} loads something from elsewhere"
