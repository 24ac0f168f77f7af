"""The command looks at a table by the settings of its columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def test_the_command_looks_at_a_table_by_its_settings(
    ccxr: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    rows, rng = [], np.random.default_rng(0)
    (tmp_path / "x" / "part 1").mkdir(parents=True)
    for number in range(6):
        picture = Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8))
        picture.save(tmp_path / "x" / "part 1" / f"{number}.png")
        rows.append({"name": f"{number}.png", "batch": "part 1", "kind of image": ["neg", "pos"][number % 2]})
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    settings = [
        "data.columns={file: '{batch}/{name}', label: kind of image}",
        "data.where={kind of image: neg}",
        f"data.root={tmp_path / 'x'}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "data.cache_size=32",
    ]
    code, out, err = ccxr("data", "look", tmp_path / "rows.csv", *settings, "--out", tmp_path / "out")
    assert code == 0, err
    assert "3 of 6 rows have kind of image neg" in out
    assert json.loads((tmp_path / "out" / "data-look.json").read_text())["images"] == 3
    code, _, err = ccxr("data", "look", tmp_path / "rows.csv", "data.columns.file=nam", "--out", tmp_path / "no")
    assert code == 2
    assert "data.columns.file='name'" in err
    assert not (tmp_path / "no").exists()
