"""The `ccxr audit` command that reads the images of a recipe's data, as a line to copy into a shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from contrastive_cxr.recipe.schema import Data
from contrastive_cxr.tasks import SHIPPED, Task

FIXED = "clean.csv"
"""The table that the command writes."""
# What does not change which images are read: the place itself, the division, threads, and what an audit sets itself.
_BESIDE = {"source", "root", "join", "split", "workers", "on_bad_image", "images", "seed"}


def audit_command(data: Data, roots: Sequence[str] = (), task: Task | None = None) -> str:
    """The whole command that audits these images and writes a table in which copies count as one patient.

    Parameters
    ----------
    data : Data
        The recipe's section; every setting that is not the default is repeated, but for the division.
    roots : sequence of str
        Where the rows lie; needed where the section does not say it (phantoms).
    task : Task, optional
        Its classes are what the labels of copies are compared by.

    Examples
    --------
    >>> audit_command(Data(source="csv", root="my scans", csv="a.csv", cache_size=64))
    "ccxr audit 'my scans' data.source=csv data.csv=a.csv data.cache_size=64 --fix clean.csv"
    """
    return shlex.join(["ccxr", "audit", *_places(data, roots), *data_words(data), *_task(task), "--fix", FIXED])


def _places(data: Data, roots: Sequence[str]) -> list[str]:
    if data.join:
        return [str(each.root) for each in data.join if each.root is not None]
    return [str(data.root)] if data.root is not None else [str(root) for root in roots]


def data_words(data: Data) -> list[str]:
    """`data.key=value` for the layout and for every other setting that is not the default."""
    layout: dict[str, Any]
    if data.join:
        joined = [each.model_dump(mode="json", exclude_defaults=True) | {"source": each.source} for each in data.join]
        layout = {"join": joined}
    elif data.source == "phantom":  # its painted files lie in a folder with this table
        layout = {"source": "csv", "csv": "labels.csv"}
    else:
        layout = {"source": data.source}
    changed = [word for name, value in _changed(data, "data") if (word := f"{name}={_text(value)}")]
    return [*(f"data.{name}={_text(value)}" for name, value in layout.items()), *changed]


def _changed(section: BaseModel, name: str) -> Iterator[tuple[str, Any]]:
    """The settings of a section that are not the default, with their full names."""
    plain = section.model_dump(mode="json")
    for key, field in type(section).model_fields.items():
        if name == "data" and key in _BESIDE:
            continue
        value = getattr(section, key)
        if value == field.get_default(call_default_factory=True):
            continue
        if isinstance(value, BaseModel):
            yield from _changed(value, f"{name}.{key}")
        elif f"{name}.{key}" != "data.intensity.ranges":  # measured by the run, and measured again by the audit
            yield f"{name}.{key}", plain[key]


def _task(task: Task | None) -> list[str]:
    if task is None:
        return []
    shipped = next((name for name, each in SHIPPED.items() if each == task), None)
    return [f"task={shipped or _text(task.model_dump(mode='json', exclude_defaults=True))}"]


def _text(value: Any) -> str:
    """A value as YAML reads it back: plain text as it is, all else as JSON."""
    if isinstance(value, str) and value:
        try:
            plain = yaml.safe_load(value)
        except yaml.YAMLError:
            plain = None
        if plain == value:
            return value
    return json.dumps(value, ensure_ascii=False)
