"""Weights in several files, as Hugging Face writes a large network: an index says which part holds which tensor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.files import read_json

_ENDING = ".index.json"
_PART = re.compile(r"(.+)-\d{5}-of-\d{5}(\.\w+)$")


def is_index(path: Path) -> bool:
    """Whether a file's name is that of an index of parts, such as `model.safetensors.index.json`."""
    return path.name.endswith(_ENDING)


def names(index: Path, what: str) -> list[str]:
    """Names of the parts that an index lists, in their order; they lie beside it.

    Raises
    ------
    RequestError
        It is no index, or a name leads out of its folder.
    """
    return list(dict.fromkeys(_map(index, what).values()))


def parts(index: Path, what: str) -> list[Path]:
    """The parts that an index lists.

    Raises
    ------
    RequestError
        As `names`, and where parts are missing: all of them.
    """
    found = [index.parent / name for name in names(index, what)]
    gone = [path.name for path in found if not path.is_file()]
    if gone:
        more = ", ..." if len(gone) > 4 else ""
        raise RequestError(
            f"{what} {index}: {len(gone)} of its {len(found)} parts are missing ({', '.join(gone[:4])}{more}); copy "
            "them into the same folder"
        )
    return found


def check_whole(index: Path, held: set[str], what: str) -> None:
    """Refuse parts that lack tensors which their index lists; `held` are the names of those that they have."""
    listed = _map(index, what)
    gone = [name for name in listed if name not in held]
    if gone:
        raise RequestError(
            f"{what} {index}: {len(gone)} of its {len(listed)} tensors are not in the parts that it names for them "
            f"('{visible(gone[0])}' in {listed[gone[0]]}, ...); copy index and parts again, all from one place"
        )


def refuse_part(path: Path, what: str) -> None:
    """Refuse one part of several, given for the whole."""
    found = _PART.match(path.name)
    if found and (path.parent / f"{found[1]}{found[2]}{_ENDING}").is_file():
        raise RequestError(f"{what} {path} is one part of several; give the folder: {what}={path.parent}")


def _map(index: Path, what: str) -> dict[str, str]:
    """Name of a tensor: name of the file that holds it."""
    try:
        read: Any = read_json(index)
    except (OSError, ValueError) as error:
        raise RequestError(f"{what} {index} is not JSON; copy it again") from error
    found = read.get("weight_map") if isinstance(read, dict) else None
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise RequestError(f"{what} {index} is no index of parts: it has no weight_map; copy it again")
    outside = sorted({name for name in found.values() if re.search(r"[/\\:\0]", name) or name in ("", ".", "..")})
    if outside:
        raise RequestError(
            f"{what} {index} names a part outside its folder ('{visible(outside[0])}'); parts lie beside their index"
        )
    return dict(found)
