"""The lines of docs/how-to/export.md: what `ccxr predict` says, without ccxr."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.inference.predict import predict
from tests.docs.pages import DOCS, blocks
from tests.export.conftest import Made

PACKAGES = ("onnxruntime", "numpy", "pillow")


@pytest.fixture
def place(onnx_export: Made, finished: Path, tmp_path: Path) -> Path:
    """A user's folder: `exported/model.onnx` and pictures in `new`, twice as large as the cache and not square."""
    from PIL import Image

    (tmp_path / "exported").mkdir()
    shutil.copyfile(onnx_export[0] / "model.onnx", tmp_path / "exported" / "model.onnx")
    (tmp_path / "new").mkdir()
    root = Path(str(pd.read_csv(finished / "manifest.csv", dtype=str)["root"].iloc[0]))
    for number, file in enumerate(sorted(root.rglob("*.png"))[:24]):
        picture = Image.open(file).convert("RGB" if number % 2 else "L")
        picture.resize((70 + number, 64)).save(tmp_path / "new" / f"{number:02}.png")
    return tmp_path


def snippets() -> list[str]:
    """The page's lines that run the file, and those that hold thresholds against it."""
    page = [block.text for block in blocks(DOCS / "how-to" / "export.md") if block.kind == "python"]
    first = next(number for number, text in enumerate(page) if "import onnxruntime" in text)
    return page[first : first + 2]


def test_they_say_what_predict_says(place: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names: dict[str, Any] = {}
    for text in snippets():
        exec(compile(text, "export.md", "exec"), names)
    table = predict(finished, place / "new", place / "said.csv")
    classes = names["about"]["classes"]
    np.testing.assert_allclose(names["said"]["probabilities"], table[[f"p_{name}" for name in classes]], atol=1e-5)
    np.testing.assert_allclose(
        names["said"]["calibrated"], table[[f"calibrated_{name}" for name in classes]], atol=1e-5
    )
    assert [classes[number] for number in names["said"]["decision"]] == table["decision"].tolist()
    assert names["about"]["thresholds"], "a phantom run reaches at least one of the wanted rates"
    for name, threshold in names["about"]["thresholds"].items():
        clear = (table["p_opacity"] - threshold).abs() > 1e-5
        assert ((names["positive"] >= threshold) == table[name])[clear].all()


@pytest.mark.slow
def test_they_run_where_ccxr_is_not(place: Path, finished: Path) -> None:
    """An environment with ONNX Runtime, NumPy and Pillow alone, made by uv or by venv and pip."""
    uv = shutil.which("uv") or str(Path(__file__).parents[2] / ".uv" / "bin" / "uv")
    there = place / "fresh"
    python = str(there / "bin" / "python")
    with_uv = Path(uv).is_file()
    made = (
        ([uv, "venv", "--quiet", "--python", sys.executable, str(there)], [uv, "pip", "install", "--python", python])
        if with_uv
        else ([sys.executable, "-m", "venv", str(there)], [python, "-m", "pip", "install"])
    )
    subprocess.run(made[0], check=True)
    done = subprocess.run([*made[1], "--quiet", *PACKAGES], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index is reached: {done.stderr[-200:]}")
    (place / "lines.py").write_text("\n".join(snippets()))
    alone = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    absent = subprocess.run(
        [python, "-c", "import contrastive_cxr"], cwd=place, env=alone, capture_output=True, check=False
    )
    assert absent.returncode != 0, "the environment must not have the package"
    said = subprocess.run([python, "lines.py"], cwd=place, env=alone, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    lines = [line.split() for line in said.stdout.splitlines() if line.startswith("new/")]
    table = predict(finished, place / "new", place / "said.csv")
    assert [line[1] for line in lines] == table["decision"].tolist()
    np.testing.assert_allclose(
        [[float(value) for value in line[2:]] for line in lines],
        table[[name for name in table if name.startswith("p_")]], atol=1e-4,
    )  # fmt: skip
