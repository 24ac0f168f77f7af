"""The files of a run folder that fill the model card; missing files leave items empty."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from contrastive_cxr.data.tables.text_tables import read_table
from contrastive_cxr.recipe.text import earlier, yaml_text
from contrastive_cxr.run_layout import MODEL, PHASES, STAGES


@dataclass(frozen=True)
class Table:
    """Rows of text under their columns; the first cell of a row names it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Content:
    """The content of an item: paragraphs, then tables; without both the item is shown as not stated."""

    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Found:
    """The contents of the files.

    Attributes
    ----------
    facts : mapping
        `report.json` of the part that was scored.
    recipe, environment, inputs : mapping
        `recipe.yaml`, `environment.json` and `inputs.json` of the run; empty if a file is missing.
    models : {name: `model.json`}
        For each phase; for a cascade `flat/finetune` and so on; for a pool those of its first run.
    manifests : {part: table}
        `manifest.csv` of each run of a pool; for a single run the name is ''.
    audit, explained : mapping or None
        `audit.json` and `explain/explain.json`.
    external : bool
        Whether the scored images are new images of an external test.
    """

    facts: Mapping[str, Any]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    manifests: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    audit: Mapping[str, Any] | None = None
    explained: Mapping[str, Any] | None = None
    external: bool = False

    def section(self, *names: str) -> dict[str, Any]:
        """A section of the recipe, empty if it has none: `section("data", "split")`."""
        tree: Any = self.recipe
        for name in names:
            tree = tree.get(name) if isinstance(tree, Mapping) else None
        return dict(tree) if isinstance(tree, Mapping) else {}

    def manifest(self) -> pd.DataFrame | None:
        """The rows of the run; for folds, whose rows differ only in their split, those of the first fold."""
        return next(iter(self.manifests.values()), None)


def read(facts: Mapping[str, Any], folder: Path, run: Path | None = None) -> Found:
    """Read the files that exist.

    Parameters
    ----------
    facts : mapping
        The contents of `folder/report.json`.
    folder : Path
        The folder of the report.
    run : Path, optional
        The run whose model was scored; default: `folder`, or its parent folder if that has the recipe.
    """
    run = run or next((place for place in (folder, folder.parent) if (place / "recipe.yaml").is_file()), folder)
    parts = _json(run / "parts.json") or {}
    names = [str(name) for name in parts.get("parts", ())]
    first = run / names[0] if names else run
    places = [(stage, first / stage) for stage in ("", *STAGES)]
    models = {
        "/".join(filter(None, (stage, phase))): card
        for stage, place in places
        for phase in PHASES
        if (card := _json(place / phase / MODEL)) is not None
    }
    tables = {name: _table(run / name / "manifest.csv") for name in names or [""]}
    return Found(
        facts=facts,
        recipe=_recipe(run / "recipe.yaml"),
        environment=_json(first / "environment.json") or {},
        inputs=_json(first / "inputs.json") or {},
        models=models,
        manifests={name: table for name, table in tables.items() if table is not None},
        audit=next((each for place in (run, first, first / "flat") if (each := _json(place / "audit.json"))), None),
        explained=_json(run / "explain" / "explain.json"),
        external=folder.resolve() != run.resolve() and folder.name.startswith("external-"),
    )


def _json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if the file does not exist, or is not a JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _recipe(path: Path) -> dict[str, Any]:
    """The recorded recipe as a tree, also one that an earlier version wrote."""
    try:
        tree = yaml_text.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    if not isinstance(tree, dict):
        return {}
    earlier.rename(tree)
    return tree


def _table(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    return read_table(path)
