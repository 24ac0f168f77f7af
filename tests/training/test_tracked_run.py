"""A real run with both trackers: what they hold is what the run's report and arrays say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from contrastive_cxr.cli.app import app
from contrastive_cxr.training.run import run
from tests.run import read_back
from tests.small import PHASES, small_recipe

pytest.importorskip("tensorboard")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    words = ("tracking.to=[wandb, tensorboard]", "tracking.wandb=offline", *(f"{name}.epochs=1" for name in PHASES))
    out = run(small_recipe(cache, *words), tmp_path_factory.mktemp("runs") / "tracked")
    done = CliRunner().invoke(app, ["index", str(out), "train", "--out", str(out.parent / "near"), "--track"])
    assert done.exit_code == 0, done.output
    return out


@pytest.mark.slow
def test_both_hold_what_the_report_says(tracked: Path) -> None:
    report = json.loads((tracked / "report.json").read_text())
    classes = report["task"]["classes"]
    lines = [
        f"| {name} | {' | '.join(map(str, row))} |" for name, row in zip(classes, report["confusion"], strict=True)
    ]
    events = read_back.events(tracked)
    assert "\n".join(lines) in read_back.text(events, "evaluation/confusion")
    (score,) = events.Scalars("evaluation/balanced_accuracy")
    assert score.value == pytest.approx(report["scores"]["balanced_accuracy"]["value"], rel=1e-6)
    values = read_back.logged(read_back.wandb_records(tracked))
    assert values["evaluation/balanced_accuracy"] == report["scores"]["balanced_accuracy"]["value"]
    table = read_back.table(tracked, values["evaluation/confusion_table"])["data"]
    assert [int(line[2]) for line in table] == [number for row in report["confusion"] for number in row]
    steps = [json.loads(line) for line in (tracked / "pretrain" / "metrics.jsonl").read_text().splitlines()]
    aucs = [row["auc"] for row in steps if row["split"] == "val"]
    assert [event.value for event in events.Scalars("pretrain/val/auc")] == pytest.approx(aucs, rel=1e-6)


@pytest.mark.slow
def test_the_cases_have_the_neighbours_of_a_loop(tracked: Path) -> None:
    arrays = tracked / "finetune" / "arrays"
    rows, train = (pd.read_csv(arrays / name, dtype=str) for name in ("rows.csv", "train_rows.csv"))
    vectors, known = np.load(arrays / "vectors.npy"), np.load(arrays / "train_vectors.npy")
    given, labels = np.load(arrays / "probabilities.npy"), np.load(arrays / "labels.npy")
    values = read_back.logged(read_back.wandb_records(tracked))
    cases = read_back.table(tracked, values["evaluation/cases"])
    assert len(cases["data"]) == min(32, int((given.argmax(1) != labels).sum())) + min(
        16, int((given.argmax(1) == labels).sum())
    )
    for line in cases["data"]:
        case = dict(zip(cases["columns"], line, strict=True))
        place = rows.index[rows["path"] == case["file"]][0]
        assert case["class"] == rows["class"][place]
        gaps = np.linalg.norm(known.astype(np.float64) - vectors[place], axis=1)
        gaps[(train["patient"] == rows["patient"][place]).to_numpy()] = np.inf
        nearest = np.sort(gaps)[:5]
        np.testing.assert_allclose([float(each) for each in case["distances"].split(", ")], nearest, atol=2e-3)


@pytest.mark.slow
def test_the_artifacts_lead_from_the_data_to_the_gallery(tracked: Path) -> None:
    found = read_back.artifacts(read_back.wandb_records(tracked))
    identity = json.loads((tracked / "wandb.json").read_text())["id"]
    kinds = {name: each.type for name, each in found.items() if each.type != "run_table"}
    (data,) = [name for name, kind in kinds.items() if kind == "dataset"]
    digests = {}
    for name in PHASES:
        lineage = json.loads(found[f"{identity}-{name}"].metadata)
        assert (lineage["data"], lineage["run"]) == (data, identity)
        digests[name] = lineage["sha256"]
        assert digests[name] == json.loads((tracked / name / "model.json").read_text())["sha256"]
    near = json.loads(found[f"{identity}-gallery-near"].metadata)
    assert near["model_sha256"] == digests["embed"]
    assert near["images"] == len(pd.read_csv(tracked / "embed" / "arrays" / "train_rows.csv"))
    manifest = pd.read_csv(tracked / "manifest.csv", dtype=str)
    (entry,) = found[data].manifest.contents
    held = pd.read_csv(entry.local_path, dtype=str)
    assert sorted(held["digest"]) == sorted(manifest["digest"])
    assert "patient" not in held
    assert read_back.text(read_back.events(tracked), "gallery/near")
