"""Each published system's `--dry-run` shows its published settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr import recipe
from contrastive_cxr.training import step_time
from tests.recipe.roots import roots
from tests.recipe.test_systems import PUBLISHED, setting

Call = Callable[..., tuple[int, str, str]]
XRAYS = [
    name for name in PUBLISHED if name != "systems/ct-backbones"
]  # whose lists of files are published with the slices


LARGE = ("systems/xray-hybrid-vit", "systems/xray-vit", "systems/xray-bit")


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.slow] * (each in LARGE)) for each in XRAYS])
def test_its_dry_run_shows_them(
    name: str, ccxr: Call, tmp_path: Path, amount: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_time, "seconds", lambda *_: {})
    csv = recipe.load(name, roots(name)).data.source == "csv"
    root = images(tmp_path / "images", folders=not csv)
    words = [f"data.root={root}", f"data.cache_dir={tmp_path / 'cache'}", "evaluation.audit=false"]
    code, said, _ = ccxr("--verbose", "run", name, *words, "--out", tmp_path / "run", "--dry-run")
    assert code == 0
    assert not (tmp_path / "run").exists()
    tree = recipe.load(name, roots(name)).model_dump(mode="json")
    for key in PUBLISHED[name]:
        value = setting(tree, key)
        if isinstance(value, str | int):
            assert f"{key.split('.')[-1]}: {value}" in said, key


def images(root: Path, folders: bool) -> Path:
    """60 grey images of noise, as class folders or as `labels.csv`."""
    rng = np.random.default_rng(0)
    labels = ("normal", "infected/covid", "infected/non-covid") if folders else ("normal", "bacterial", "viral")
    lines = ["file,label"]
    for number in range(60):
        label = labels[number % 3]
        file = f"train/{label}/{number}.png" if folders else f"{number}.png"
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(root / file)
        lines.append(f"{file},{label}")
    if not folders:
        (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root
