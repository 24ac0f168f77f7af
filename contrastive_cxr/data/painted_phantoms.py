"""The folder of painted phantoms of a source: painted once, beside its place, and renamed when it is whole."""

from __future__ import annotations

import shutil
from pathlib import Path

from contrastive_cxr import locks
from contrastive_cxr.data import phantom
from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.files import sync_folder, sync_tree
from contrastive_cxr.recipe import schema
from contrastive_cxr.space import free, size_words


def root_of(source: schema.Source, cache_dir: Path | None) -> Path:
    """The folder of painted phantoms, painted now where it is not there yet."""
    if source.root is not None:
        raise RequestError(
            f"data.root is {source.root}, but phantoms are painted; read painted ones with data.source=csv"
        )
    parent = cache_folder(cache_dir) / "phantom"
    folder = parent / f"{source.images}-{source.seed}-v{phantom.VERSION}"
    if (folder / "labels.csv").is_file():
        return folder.resolve()
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CcxrError(f"{parent} cannot be written ({error}); set data.cache_dir to another folder") from error
    with locks.held(parent / locks.NAME, f"the painting of phantoms in {parent}", wait=True):
        for left in parent.glob(".painting-*"):  # by a killed process
            shutil.rmtree(left, ignore_errors=True)
        if not (folder / "labels.csv").is_file():  # another process may have painted the same just now
            _paint(source, folder)
    return folder.resolve()


def _paint(source: schema.Source, folder: Path) -> None:
    """Paint beside the folder's place, sync, and rename."""
    beside = folder.with_name(f".painting-{folder.name}")
    try:
        phantom.paint(beside, source.images, source.seed)
        sync_tree(beside)
        beside.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        raise CcxrError(
            f"phantoms cannot be painted into {folder} ({error}; {size_words(free(folder.parent))} free); make room or "
            "set data.cache_dir"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
