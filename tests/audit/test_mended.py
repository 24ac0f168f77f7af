"""The mended table: copies count as one patient, nothing else changes, and a split keeps them together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from contrastive_cxr.audit import groups, mended
from contrastive_cxr.data import sources
from contrastive_cxr.data.split import divide
from contrastive_cxr.recipe.schema import Data, Split
from tests.audit.test_groups import linked, table


def test_patients_are_joined_through_copies() -> None:
    rows = table({"patient": "p"}, {"patient": "q", "label": "y"}, {"patient": "q"}, {}, {}, {}, {"patient": "r"})
    found = linked((0, 1, "none", False, False, 0.99), (3, 4, "mirror", False, False, 0.99))
    gathered = groups.gather(rows, found)
    root, fixed = mended.mended(rows, found, gathered)
    assert root == "/r"
    assert fixed["patient"].tolist() == ["p+q", "p+q", "p+q", "copies-2", "copies-2", "", "r"]
    assert fixed["copies"].tolist() == ["1", "1", "", "2", "2", "", ""]
    assert fixed["label_conflict"].tolist() == ["yes", "yes", "", "", "", "", ""]
    assert fixed["label"].tolist() == rows["label"].tolist(), "a conflict is marked and not resolved"
    assert "split" not in fixed


def test_several_sources_get_one_root() -> None:
    rows = table({"root": "/data/a"}, {"root": "/data/b", "split": "train"})
    root, fixed = mended.mended(rows, linked((0, 1, "none", True, False, 1)), [])
    assert root == "/data"
    assert fixed["file"].tolist() == ["a/0.png", "b/1.png"]
    assert fixed["split"].tolist() == ["", "train"]


def test_a_split_of_the_table_keeps_copies_on_one_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    rows = table(*({"root": str(tmp_path), "label": "xy"[number // 2 % 2]} for number in range(40)))
    found = linked(*((number, number + 1, "none", False, False, 0.99) for number in range(0, 40, 2)))
    _, fixed = mended.mended(rows, found, groups.gather(rows, found))
    fixed.to_csv(tmp_path / "fixed.csv", index=False)
    manifest = sources.read_data(Data(source="csv", root=tmp_path, csv=Path("fixed.csv")))
    labels = (manifest.column("label") == "y").astype(np.int64)
    part = divide(manifest, labels, Split(kind="fractions", val=0.2, test=0.2), need=("train", "val", "test"))
    side = dict(zip(manifest.column("path"), part, strict=True))
    assert all(side[f"{number}.png"] == side[f"{number + 1}.png"] for number in range(0, 40, 2))


def test_owners_are_patients_and_copies() -> None:
    rows = table({"patient": "p"}, {"patient": "p"}, {}, {}, {})
    owner = mended.owners(rows, linked((1, 2, "none", False, False, 0.99)))
    assert owner[0] == owner[1] == owner[2]
    assert len({owner[0], owner[3], owner[4]}) == 3
