"""An audit says what it does before it does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr import terminal
from contrastive_cxr.datasets import audit
from tests.announced import Announced


def test_the_stages_of_an_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for label in ("normal", "nodule"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(6):
            grey = rng.integers(0, 256, (24, 24), dtype=np.uint8)
            Image.fromarray(grey).save(tmp_path / "images" / label / f"{number}.png")
    said = Announced(monkeypatch)
    said.watch(audit, "_rows_of", "facts_of")
    for module, name in (
        (audit.cache, "build"), (audit.links, "find"), (audit.associations, "with_label"), (audit.blind, "blind"),
        (audit.audit_page, "page"),
    ):  # fmt: skip
        said.watch(module, name)
    with terminal.Stages("audit", 7, shown=False, first="loading the libraries"):
        audit.audit([tmp_path / "images"], tmp_path / "out")
    assert said == {
        "_rows_of": "reading folders and tables",
        "build": "decoding",
        "find": "copies of images",
        "facts_of": "leaks and links with the label",
        "with_label": "shortcuts of files and metadata",
        "blind": "blind baselines",
        "page": "writing the page",
    }
