"""A run audits its images before it trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contrastive_cxr.training import run_audit
from contrastive_cxr.training.run import run
from tests.small import small_recipe

QUICK = ("embed=null", "finetune=null", "pretrain.epochs=1")


@pytest.mark.slow
def test_a_run_audits_its_images_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(cache, *QUICK, "evaluation.audit=true")
    out = run(recipe, tmp_path / "run")
    facts = json.loads((out / "audit.json").read_text())
    assert facts["counts"]["images"] == 60
    assert facts["verdict"]["word"] in ("clean", "look", "leak")
    assert all(sentence in (out / "model-card.md").read_text() for sentence in facts["verdict"]["sentences"][:1])
    monkeypatch.setattr(run_audit, "of_dataset", lambda *_: pytest.fail("it is there already"))
    run(recipe, out, resume=True)
    monkeypatch.setattr(run_audit, "AUDITED", 59)
    assert not (run(recipe, tmp_path / "large") / "audit.json").exists()
