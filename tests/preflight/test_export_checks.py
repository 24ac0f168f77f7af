"""What `ccxr export` refuses before PyTorch is there: every fault at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight import export_checks


def model(folder: Path, *classes: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"classes": list(classes)}))
    return folder


def faults(run: Path, to: str = "onnx", out: Path = Path("nowhere/out"), **options: object) -> list[str]:
    with pytest.raises(RequestError) as refused:
        export_checks.check(run, to, out, **options)  # type: ignore[arg-type]
    return list(refused.value.faults)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    found = faults(tmp_path / "no", "onx", tmp_path / "file", part="heads", opset=7, int8=True)
    assert len(found) == 5
    for fault, word in zip(
        found,
        ("no such run folder", "did you mean 'onnx'", "--part heads", "--opset and --int8", "is no folder"),
        strict=True,
    ):
        assert word in fault


@pytest.mark.parametrize(("opset", "word"), [(17, "too old"), (11, "too old"), (24, "too new")])
def test_an_opset_that_is_not_written(tmp_path: Path, opset: int, word: str) -> None:
    model(tmp_path / "run" / "embed")
    assert word in faults(tmp_path / "run", opset=opset)[0]
    export_checks.check(tmp_path / "run", "onnx", tmp_path / "out", opset=18)
    export_checks.check(tmp_path / "run", "onnx", tmp_path / "out", opset=23)


def test_a_missing_extra_is_one_sentence_and_of_onnx_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model(tmp_path / "run" / "embed")
    monkeypatch.setattr(export_checks, "NEEDED", ("onnx", "not_installed_here"))
    found = faults(tmp_path / "run")
    assert found == ["--to onnx needs not_installed_here, not installed here: pip install 'contrastive_cxr[export]'"]
    export_checks.check(tmp_path / "run", "hf", tmp_path / "out")


def test_a_classifier_that_is_not_there(tmp_path: Path) -> None:
    run = model(tmp_path / "run" / "embed").parent
    for part in ("classifier", "both"):
        assert "has no classifier" in faults(run, "torch", part=part)[0]
    export_checks.check(run, "torch", tmp_path / "out", part="encoder")
    assert "has no classifier" in faults(run / "embed", "torch", part="both")[0]
    model(run / "finetune", "a", "b")
    export_checks.check(run, "torch", tmp_path / "out", part="both")
    export_checks.check(run / "finetune", "torch", tmp_path / "out", part="both")
    assert export_checks.classifier_of(run) == run / "finetune"


def test_several_models_are_named(tmp_path: Path) -> None:
    model(tmp_path / "cascade" / "flat" / "pretrain", "a", "b")
    model(tmp_path / "cascade" / "stage1" / "pretrain", "a", "b")
    found = faults(tmp_path / "cascade")
    assert "cascade of the runs flat, stage1" in found[0]
    assert f"ccxr export {tmp_path}/cascade/flat" in found[0]
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "parts.json").write_text(json.dumps({"parts": ["seed0", "seed1"]}))
    assert "over seed0, seed1" in faults(tmp_path / "pool")[0]
    (tmp_path / "empty").mkdir()
    assert "holds no finished model" in faults(tmp_path / "empty")[0]


def test_what_is_at_out(tmp_path: Path) -> None:
    run, out = model(tmp_path / "run" / "embed").parent, tmp_path / "out"
    out.mkdir()
    export_checks.check(run, "hf", out)
    (out / "mine.txt").write_text("mine")
    assert "holds no export" in faults(run, "hf", out, overwrite=True)[0]
    (out / export_checks.CHECK).write_text(json.dumps({"kind": "export"}))
    assert "--overwrite" in faults(run, "hf", out)[0]
    export_checks.check(run, "hf", out, overwrite=True)
    (out / export_checks.CHECK).write_text("[]")
    assert "holds no export" in faults(run, "hf", out, overwrite=True)[0]


def test_a_place_where_nothing_can_be_made(tmp_path: Path) -> None:
    run = model(tmp_path / "run" / "embed").parent
    (tmp_path / "file").write_text("mine")
    assert "cannot be made in" in faults(run, "hf", tmp_path / "file" / "out")[0]


def test_torch_is_not_imported() -> None:
    code = "import sys, contrastive_cxr.preflight.export_checks; print('torch' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
