"""The digests of what a run is made of."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.run_folder import provenance
from contrastive_cxr.run_folder.recorded import recipe_of, reopen, rows_of
from tests.run_folder.recorded_runs import images, record, table


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_run_records_the_digest_of_every_input(finished: Path, cache: Path) -> None:
    facts = json.loads((finished / "inputs.json").read_text())
    assert facts["recipe"] == sha256(finished / "recipe.yaml")
    assert facts["manifest"] == sha256(finished / "manifest.csv")
    rows = rows_of(finished)
    files = [Path(root) / path for root, path in zip(rows["root"], rows["path"], strict=True)]
    assert [sha256(file) for file in files] == list(rows["digest"])
    whole = hashlib.sha256("\n".join(map(sha256, files)).encode()).hexdigest()
    assert facts["images"] == {"count": len(rows), "sha256": whole}
    assert facts["weights"] == {"word": "none"}


def test_weights_tables_and_the_start_are_digested(finished: Path, cache: Path, tmp_path: Path) -> None:
    root = table(images(tmp_path / "images", {"train": 4, "val": 2}), {})
    words = ("data.source=csv", "data.csv=labels.csv", f"data.root={root}", f"model.weights={finished}")
    run = record(tmp_path / "run", tmp_path / "cache", *words, "model.backbone=resnet18")
    recipe = recipe_of(run)
    data = open_dataset(recipe.data, recipe.task)
    provenance.record(run, recipe, data, finished / "pretrain")
    facts = json.loads((run / "inputs.json").read_text())
    assert facts["tables"] == {str(root / "labels.csv"): sha256(root / "labels.csv")}
    assert facts["weights"]["sha256"] == sha256(finished / "embed" / "model.safetensors")
    assert facts["from"]["sha256"] == sha256(finished / "pretrain" / "model.safetensors")
    before = (run / "inputs.json").read_bytes()
    (root / "labels.csv").write_text("changed")
    provenance.record(run, recipe, data, resume=True)
    assert (run / "inputs.json").read_bytes() == before, "a resumed run keeps what it began with"


def test_the_digest_of_tensors_sees_values_and_names(cache: Path) -> None:
    import torch
    from torch import nn

    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    second.load_state_dict(first.state_dict())
    assert provenance.tensors_digest(first) == provenance.tensors_digest(second)
    with torch.no_grad():
        second.bias[0] += 1e-6
    assert provenance.tensors_digest(first) != provenance.tensors_digest(second)
    named = nn.ModuleDict({"a": first})
    assert provenance.tensors_digest(first) != provenance.tensors_digest(named)


def test_a_manifest_that_was_changed_is_refused(tmp_path: Path) -> None:
    root = images(tmp_path / "images", {"train": 4, "val": 2, "test": 2})
    run = record(tmp_path / "run", tmp_path / "cache", "data.source=folders", f"data.root={root}")
    recipe = recipe_of(run)
    rows_of(run)  # a run of an earlier version has no record
    provenance.record(run, recipe, open_dataset(recipe.data, recipe.task))
    reopen(run, recipe, "test")
    text = (run / "manifest.csv").read_text()
    (run / "manifest.csv").write_text(text.replace("test/nodule/0.png", "test/nodule/9.png"))
    with pytest.raises(RequestError, match=r"manifest\.csv is not what the run wrote: its SHA-256 is [0-9a-f]{12}"):
        reopen(run, recipe, "test")


def test_another_patient_of_the_same_image_is_a_change(tmp_path: Path) -> None:
    root = images(tmp_path / "images", {"train": 4, "val": 2, "test": 2})
    table(root, {"test/nodule/0.png": "p1", "test/nodule/1.png": "p2"})
    words = ("data.source=csv", "data.csv=labels.csv", f"data.root={root}")
    run = record(tmp_path / "run", tmp_path / "cache", *words)
    reopen(run, recipe_of(run), "test")
    table(root, {"test/nodule/0.png": "p1", "test/nodule/1.png": "p3"})
    with pytest.raises(RequestError, match=r"1 of another patient \(test/nodule/1\.png\)"):
        reopen(run, recipe_of(run), "test")
