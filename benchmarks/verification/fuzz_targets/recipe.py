"""Bytes as a recipe, and as overrides of a shipped one."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from contrastive_cxr import recipe
from contrastive_cxr.recipe import shipped

OVERRIDE = b"\xff"  # never in UTF-8: what follows it are overrides, one a line


def run(content: bytes) -> None:
    """Load; what was loaded is dumped and must load to the same recipe."""
    text, _, overrides = content.partition(OVERRIDE)
    lines = [line.decode("utf-8", "replace") for line in overrides.split(b"\n") if line]
    path = _scratch() / "recipe.yaml"
    path.write_bytes(text)
    loaded = recipe.load(path if text else "phantom", lines)
    path.write_text(recipe.dump(loaded), encoding="utf-8")
    assert recipe.load(path) == loaded, "dumped and loaded, the recipe differs"


def seeds() -> dict[str, bytes]:
    """The shipped recipes, small ones, and overrides."""
    found = {name.replace("/", "-"): shipped.path(name).read_bytes() for name in shipped.names()}
    found["dumped"] = recipe.dump(recipe.load("phantom")).encode()
    found["small"] = b"task: phantom\ndata: {source: phantom}\nembed: {epochs: 1}\n"
    found["aliases"] = b"task: phantom\na: &a [1, 2]\nb: &b [*a, *a]\ndata: {<<: {source: phantom}, images: 24}\n"
    found["tags"] = b"task: !!python/object/apply:os.system [echo]\ndata: !!binary aGVsbG8=\n"
    found["own-task"] = (
        b"task: {name: x, columns: [label], classes: {a: [1], b: ['2']}, positive: b}\ndata: {root: .}\n"
    )
    found["override"] = (
        OVERRIDE + b"pretrain.epochs=3\nembed=null\ndata.join=[{root: a}, {root: b}]\nmodel.dropout=.5\n"
    )
    found["override-odd"] = OVERRIDE + b"a.b.c=1\n=\nx\ntask.positive=no\nembed.trainable.0=y\nseed=0x10\n"
    return found


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-recipe-"))
