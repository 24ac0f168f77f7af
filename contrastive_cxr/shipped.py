"""The recipes that come with the package."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from contrastive_cxr.errors import RequestError, nearest

_PACKAGE = Path(__file__).resolve().parent


def folder() -> Path:
    """Folder of the shipped recipes: inside the package in a wheel, beside it in a checkout."""
    inside = _PACKAGE / "recipes"
    return inside if inside.is_dir() else _PACKAGE.parent / "recipes"


def names() -> list[str]:
    """Names of the shipped recipes, sorted, such as `ct/three-phase`."""
    root = folder()
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def path(name: str) -> Path:
    """File of a shipped recipe.

    Raises
    ------
    RequestError
        Where no recipe of that name is shipped.
    """
    known = names()
    if name not in known:
        raise RequestError(
            f"recipe '{name}' is not a shipped one{nearest(name, known)}; shipped are {', '.join(known)}"
        )
    return folder() / f"{name}.yaml"


def sentence(name: str) -> str:
    """What a shipped recipe is: the first sentence of its head, without `Ours.`, which says only whose idea it was.

    Examples
    --------
    >>> sentence("xray/fast-scratch")
    'Chest X-rays in three classes without downloaded weights, in the least time for the score of a plain script'
    """
    lines = takewhile(lambda line: line.lstrip("# "), path(name).read_text(encoding="utf-8").splitlines())
    return " ".join(line.lstrip("# ") for line in lines).partition(". ")[0].removesuffix(".")


def groups() -> dict[str, list[str]]:
    """The shipped recipes by their folders: `{folder: [names]}`, those in no folder first, under `''`."""
    found: dict[str, list[str]] = {}
    for name in sorted(names(), key=lambda each: ("/" in each, each)):
        found.setdefault(name.rpartition("/")[0], []).append(name)
    return found
