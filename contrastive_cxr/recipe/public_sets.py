"""Public sets of images: a page of settings each, which the reader of tables and folders takes as a person's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

import contrastive_cxr.recipe.text.yaml_text as yaml_text
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe.section import Section

_FOLDER = Path(__file__).resolve().parent / "sets"


class PublicSet(Section):
    """What is known of a public set, and how it is read."""

    title: str = Field(description="its name")
    kind: str = Field(description="what its images are")
    read: Literal["table", "description"] = Field(
        description="whether its real table was read when this page was written, or its published description alone"
    )
    checked: str = Field(description="what this page was held against, and what was not at hand")
    where: str = Field(description="where it is had")
    terms: str = Field(description="its terms, in short; its own page counts")
    layout: str = Field(description="how it lies in data.root")
    traps: tuple[str, ...] = Field(description="what has misled others")
    data: dict[str, Any] = Field(description="the data section that reads it, without data.root")
    tasks: dict[str, dict[str, Any]] = Field({}, description="tasks over its labels or findings, by name")


def names() -> list[str]:
    """The sets, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def page(name: str) -> PublicSet:
    """The page of a set.

    Raises
    ------
    RequestError
        There is no such set.

    Examples
    --------
    >>> page("nih").data["csv"]
    'Data_Entry_2017_v2020.csv'
    """
    known = names()
    if name not in known:
        raise RequestError(f"'{name}' is no public set{nearest(name, known)}; they are {', '.join(known)}")
    return PublicSet.model_validate(yaml_text.parse((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def expanded(section: dict[str, Any]) -> dict[str, Any]:
    """A data section, or one source of `data.join`, whose `source` may name a set: the page's settings, and over them
    those of the section; settings of `columns` and `table` one by one."""
    name = section.get("source")
    if not isinstance(name, str) or name not in names():
        return section
    found = dict(page(name).data)
    for key, value in section.items():
        if key == "source":
            continue
        inner = found.get(key)
        merged = isinstance(inner, dict) and isinstance(value, dict) and key in ("columns", "table")
        found[key] = {**inner, **value} if merged and isinstance(inner, dict) else value
    return found


def task(name: str) -> dict[str, Any] | None:
    """The task `SET/TASK` of a set's page, as a recipe writes it; None where there is none."""
    place, _, last = name.partition("/")
    if place not in names():
        return None
    found = page(place).tasks.get(last)
    return None if found is None else {"name": name, **found}
