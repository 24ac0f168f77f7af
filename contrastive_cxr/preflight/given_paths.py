"""The paths that a command is given, before PyTorch is imported: that takes seconds, on a busy machine a minute."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

from contrastive_cxr.data.files.addresses import is_url, of_path, split
from contrastive_cxr.data.files.store_urls import Place, StoreUrl
from contrastive_cxr.errors import nearest, nearest_beside, raise_faults

PARTS = ("train", "val", "test", "all")
"""Words that stand for a run's own images where a command takes them."""


def check(
    run: Place | None = None,
    sources: Iterable[Path | str] = (),
    *,
    parts: bool = False,
    gallery: Place | None = None,
    out: Path | None = None,
    endings: Sequence[str] = (),
    also: Sequence[str] = (),
) -> None:
    """Refuse paths where there is nothing, and a result whose ending is not written; what is in them is not looked at.

    Parameters
    ----------
    run, gallery : Path or StoreUrl, optional
        Folders, or galleries in PostgreSQL, whose packages must be there; no server is asked.
    sources : of Path or str
        Images, folders, archives, tables; URLs are not asked.
    parts : bool
        `PARTS` are sources too.
    out : Path, optional
        The result, which ends in one of `endings` ('' stands for a name without one).
    also : of str
        Faults of other options, to be said with those of the paths.

    Raises
    ------
    RequestError
        Every fault.
    """
    faults = [] if run is None else _of_folder(run, "run", "the folder that --out named in training")
    faults += [] if gallery is None else _of_folder(gallery, "gallery", "a folder that ccxr index wrote")
    words = PARTS if parts else ()
    for place in map(of_path, sources):
        if place not in words and not is_url(place) and not _is_there(split(place)[0]):
            meant = nearest(place, words) or nearest_beside(Path(place))
            faults.append(f"{place}: no such file or folder{meant}; {_from(Path(place))}")
    if out is not None and out.suffix not in endings and not ("" in endings and out.is_dir()):
        wanted = " or ".join(ending or "a name without an ending, for a folder" for ending in endings)
        faults.append(f"--out {out}: must end in {wanted}, such as {out.with_suffix(endings[0])}")
    raise_faults([*faults, *also])


def _of_folder(folder: Place, what: str, cure: str) -> list[str]:
    if isinstance(folder, StoreUrl):
        return _postgres_faults(folder)
    if folder.is_dir():
        return []
    if folder.is_file():
        return [f"{folder} is a file and no {what} folder; give {cure}"]
    return [f"{folder}: no such {what} folder{nearest_beside(folder)}; give {cure}"]


def _postgres_faults(url: StoreUrl) -> list[str]:
    missing = [name for name in ("psycopg", "pgvector") if importlib.util.find_spec(name) is None]
    cure = "pip install 'contrastive_cxr[postgres]'"
    return [f"{url}: a gallery in PostgreSQL needs {' and '.join(missing)}, not installed: {cure}"] if missing else []


def _is_there(place: str) -> bool:
    """Whether a path exists, or lies in an archive that does."""
    path = Path(place).expanduser()
    return path.exists() or any(above.is_file() for above in path.parents)


def _from(path: Path) -> str:
    """What to do about a path where nothing is: a relative one is taken from the current folder."""
    where = "" if path.is_absolute() else f" (relative paths begin in {Path.cwd()})"
    return f"name an image, a folder or an archive of images{where}"
