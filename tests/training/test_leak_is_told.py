"""A planted leak is told where people look, with its exact count: terminal, report.json, page, card, dry run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import terminal
from contrastive_cxr.cli import main
from contrastive_cxr.data import phantom
from contrastive_cxr.metrics import baselines
from contrastive_cxr.training import step_time
from tests.cli.conftest import ccxr

__all__ = ["ccxr", "main"]
Call = Callable[..., tuple[int, str, str]]
LEAKS = 4
SENTENCE = f"{LEAKS} groups of copies are in more than one of train, val and test"
UNKNOWN = "No patient is known: one patient may be on both sides of the split"


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """60 phantoms in class folders; four images of train lie in test again, mirrored or as another JPEG."""
    root = tmp_path / "my scans"
    phantom.paint(tmp_path / "painted", 60, 0)
    rows = pd.read_csv(tmp_path / "painted" / "labels.csv")
    for number, (file, label) in enumerate(zip(rows["file"], rows["label"], strict=True)):
        part = ("train", "train", "train", "val", "test")[number // 3 % 5]
        (root / part / label).mkdir(parents=True, exist_ok=True)
        Image.open(tmp_path / "painted" / file).save(root / part / label / f"{number}.png")
    for number, file in enumerate(sorted((root / "train").rglob("*.png"))[: 5 * LEAKS : 5]):
        pixels = np.asarray(Image.open(file))
        copy = root / "test" / file.parent.name / f"copy{number}.jpg"
        Image.fromarray(pixels[:, ::-1] if number % 2 else pixels).save(copy, quality=90)
    return root


def words(root: Path, tmp_path: Path) -> list[str]:
    """A run of one phase, three seconds long."""
    return [
        "data.source=folders", f"data.root={root}", "data.split.kind=official", "data.cache_size=64",
        f"data.cache_dir={tmp_path / 'cache'}", "model.backbone=cnn2", "model.image_size=32", "pretrain.epochs=1",
        "pretrain.batch_size=8", "pretrain.ema_decay=0", "embed=null", "finetune=null", "evaluation.resamples=100",
        "evaluation.robustness=off", "evaluation.baselines=false", "tracking.wandb=off", "runtime.device=cpu",
    ]  # fmt: skip


def test_a_dry_run_tells_the_leak_and_the_command_that_mends_it(
    ccxr: Call, leaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_time, "seconds", lambda *_: {})
    monkeypatch.setattr(baselines, "_TREES", 5)
    code, said, _ = ccxr("run", "phantom", *words(leaky, tmp_path), "--out", tmp_path / "run", "--dry-run")
    assert code == 0
    assert "LEAK: the same picture on both sides of the split" in said
    assert SENTENCE in said
    assert UNKNOWN in said
    (command,) = [line.strip() for line in said.splitlines() if line.strip().startswith("ccxr audit ")]
    given = shlex.split(command)
    assert str(leaky) in given
    assert given[-2:] == ["--fix", "clean.csv"]
    assert not (tmp_path / "run").exists()
    mended = tmp_path / "clean.csv"
    code, said, _ = ccxr(*given[1:-1], mended, "--out", tmp_path / "audit")
    assert code == 0
    assert SENTENCE in said
    table = pd.read_csv(mended, dtype=str, na_filter=False)
    assert table[table["copies"] != ""].groupby("patient").size().tolist() == [2] * LEAKS


@pytest.mark.slow
def test_a_run_tells_the_leak_before_and_after_and_in_its_report(
    ccxr: Call, leaky: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    code, said, told = ccxr("run", "phantom", *words(leaky, tmp_path), "--out", run)
    assert code == 0, told
    assert said.count(SENTENCE) == said.count("\n  ccxr audit ") == 1, "beside the scores"
    (warned,) = [record for record in caplog.records if hasattr(record, "alert")]
    before = terminal.Messages().format(warned)
    assert before.count(SENTENCE) == before.count("\n  ccxr audit ") == 1
    trained = (run / "pretrain" / "metrics.jsonl").stat().st_mtime
    assert warned.created < trained, "and before training"
    facts = json.loads((run / "report.json").read_text())["audit"]
    assert (facts["word"], facts["level"], facts["counts"]["across_splits"]) == ("leak", "leak", LEAKS)
    assert len(facts["groups"]) == LEAKS
    page = (run / "report.html").read_text(encoding="utf-8")
    banner = page[page.index('<div class="banner leak"') : page.index('<div class="cards">')]
    assert SENTENCE in banner
    assert "--fix clean.csv" in banner
    section = page[page.index('<section id="audit">') :]
    assert section.count("data:image/jpeg", 0, section.index("</section>")) == 2 * LEAKS
    assert f"Leak: {SENTENCE}" in (run / "model-card.md").read_text(encoding="utf-8")


def test_byte_copies_are_refused_with_the_command_that_mends_them(ccxr: Call, leaky: Path, tmp_path: Path) -> None:
    original = next((leaky / "train").rglob("*.png"))
    (leaky / "test" / original.parent.name / "same.png").write_bytes(original.read_bytes())
    code, _, told = ccxr("run", "phantom", *words(leaky, tmp_path), "--out", tmp_path / "run", "--dry-run")
    assert code == 2
    assert "1 images (equal in content) are in two parts of the split" in told
    assert f"ccxr audit {shlex.quote(str(leaky))} data.source=folders data.cache_size=64" in told
