"""The recipes that come with the package."""

from __future__ import annotations

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
