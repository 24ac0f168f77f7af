"""`ccxr export`: what it prints and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contrastive_cxr.cli.export import print_cost
from contrastive_cxr.retrieval import EmbeddingModel
from tests.cli.next_lines import next_of

Call = Callable[..., tuple[int, str, str]]


def test_a_folder_of_hugging_face(ccxr: Call, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "my export"
    code, said, told = ccxr("export", finished, "--to", "hf", "--out", out)
    assert code == 0, told
    assert "Checked on all 12 validation images of the run: least cosine 1.0000000, 0 decisions differ." in said
    assert EmbeddingModel.from_pretrained(out).classes == ("normal", "nodule", "opacity")
    assert json.loads((out / "check.json").read_text())["format"] == "hf"
    steps = next_of(said)
    assert list(steps) == ["check", "onnx"]
    assert steps["onnx"] == ["export", str(finished), "--to", "onnx", "--out", f"{out}-onnx"]


def test_faults_are_one_line_each_and_nothing_is_written(ccxr: Call, finished: Path, tmp_path: Path) -> None:
    code, _, told = ccxr(
        "export", finished, "--to", "onnx", "--opset", "9", "--part", "head", "--out", tmp_path / "out"
    )
    assert code == 2
    assert told.count("error: ") == 2
    assert "too old" in told
    code, _, told = ccxr("export", finished / "embed", "--to", "torch", "--part", "both", "--out", tmp_path / "out")
    assert (code, "has no classifier" in told) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_cost_of_8_bits_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    gap = {"difference": -0.01, "low": -0.02, "high": 0.0, "n": 9}
    facts = {
        "images": 9, "differing_decisions": 4,
        "knn_accuracy": {"float32": 0.9, "int8": 0.89, "difference": gap}, "auc": None,
        "milliseconds": {"float32": 20.0, "int8": 9.0}, "bytes": {"float32": 4e7, "int8": 1e7},
    }  # fmt: skip
    print_cost(facts)
    said = capsys.readouterr().out
    assert "-0.010 (-0.020 to +0.000)" in said
    assert "decisions that differ" in said
    assert "AUC" not in said.replace("neighbours and AUC", "")
