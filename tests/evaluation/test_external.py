"""Scoring a run again, and on images that it never saw."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.data import phantom
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import cached_embeddings
from contrastive_cxr.evaluation.external import evaluate


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms of another seed, in class folders."""
    root = tmp_path_factory.mktemp("strangers")
    phantom.paint(root / "painted", 12, seed=99)
    table = pd.read_csv(root / "painted" / "labels.csv", dtype=str)
    for row in table.itertuples():
        (root / "folders" / str(row.label)).mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "painted" / str(row.file), root / "folders" / str(row.label))
    return root / "folders"


def test_new_images_without_parts_are_all_scored(finished: Path, strangers: Path, tmp_path: Path) -> None:
    out = evaluate(finished, ["data.source=folders", f"data.root={strangers}"], out=tmp_path / "scores")
    facts = json.loads((out / "report.json").read_text())
    assert facts["n"] == 12
    assert facts["split"] == "test"
    arrays = out / "finetune" / "arrays"
    labels, said = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy").argmax(1)
    assert facts["scores"]["accuracy"]["value"] == pytest.approx((labels == said).mean())
    assert (out / "report.html").is_file()
    assert any(note.startswith("An external test") for note in facts["notes"])
    card = (out / "model-card.md").read_text()
    assert r"test\_resnet" in card, "the card of an external test tells of the run, wherever it is written"


def test_what_an_external_test_scores_lower_is_said_with_its_interval(
    finished: Path, strangers: Path, tmp_path: Path
) -> None:
    words = ["data.source=folders", f"data.root={strangers}"]
    facts = json.loads((evaluate(finished, words, out=tmp_path / "scores") / "report.json").read_text())
    own = json.loads((finished / "report.json").read_text())
    assert own["external_drop"] is None
    drop = facts["external_drop"]
    assert drop["recorded"] == {"split": "test", "n": own["n"]}
    accuracy = [each["scores"]["accuracy"] for each in (facts, own)]
    gap = accuracy[0]["value"] - accuracy[1]["value"]
    assert drop["scores"]["accuracy"]["difference"] == pytest.approx(gap)
    below = [accuracy[0]["value"] - accuracy[0]["low"], accuracy[1]["high"] - accuracy[1]["value"]]
    assert drop["scores"]["accuracy"]["low"] == pytest.approx(gap - np.hypot(*below))
    for name in ("normal", "nodule", "opacity"):
        recall = [each["per_class"][name]["recall"]["value"] for each in (facts, own)]
        assert drop["recall"][name]["difference"] == pytest.approx(recall[0] - recall[1])
    assert drop["sentences"]
    assert 'id="elsewhere"' in (tmp_path / "scores" / "report.html").read_text()


def test_without_a_report_of_its_own_there_is_no_drop(finished: Path, strangers: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    facts = json.loads((run / "report.json").read_text())
    (run / "report.json").write_text(json.dumps(facts | {"split": "train"}))
    words = ["data.source=folders", f"data.root={strangers}"]
    found = json.loads((evaluate(run, words, out=tmp_path / "scores") / "report.json").read_text())
    assert found["external_drop"] is None, "the training part is no part to compare with"


def test_a_root_with_test_folders_alone(finished: Path, strangers: Path, tmp_path: Path) -> None:
    shutil.copytree(strangers, tmp_path / "images" / "test")
    shutil.rmtree(tmp_path / "images" / "test" / "nodule")  # a class may be missing
    words = ["data.source=folders", f"data.root={tmp_path / 'images'}"]
    facts = json.loads((evaluate(finished, words, out=tmp_path / "scores") / "report.json").read_text())
    assert facts["n"] == sum(1 for _ in (tmp_path / "images").rglob("*.png"))


def test_images_of_the_training_are_refused(finished: Path, strangers: Path, tmp_path: Path) -> None:
    shutil.copytree(strangers, tmp_path / "images")
    rows = pd.read_csv(finished / "manifest.csv", dtype=str)
    row = rows[(rows["split"] == "train") & (rows["label"] == "nodule")].iloc[0]
    shutil.copy(Path(row["root"]) / row["path"], tmp_path / "images" / "nodule" / "renamed.png")
    with pytest.raises(RequestError, match=r"1 of 13 images .* by content: nodule/renamed\.png"):
        evaluate(finished, ["data.source=folders", f"data.root={tmp_path / 'images'}"], out=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


def test_other_settings_than_of_data_are_refused(finished: Path) -> None:
    with pytest.raises(RequestError, match="settings of data and of evaluation alone"):
        evaluate(finished, ["model.backbone=resnet34"])


def test_a_recorded_split_is_scored_again_also_in_groups_that_the_run_did_not_ask_for(
    finished: Path, tmp_path: Path
) -> None:
    out = evaluate(finished, ["evaluation.subgroups=[source]"], split="val", out=tmp_path / "scores")
    facts = json.loads((out / "report.json").read_text())
    table = pd.read_csv(finished / "split.csv")
    assert facts["split"] == "val"
    assert facts["n"] == int((table["split"] == "val").sum())
    assert any("choose the checkpoint" in note for note in facts["notes"])
    assert [group["n"] for group in facts["subgroups"]["source"]["groups"]] == [facts["n"]]


def test_the_test_part_scored_again_gives_the_same_report_and_encodes_no_training_image(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    monkeypatch.setattr(cached_embeddings, "outputs", lambda *arguments: encoded.append(arguments))
    again = json.loads((evaluate(finished, out=tmp_path / "scores") / "report.json").read_text())
    assert not encoded
    then = json.loads((finished / "report.json").read_text())
    assert again["scores"] == then["scores"]
    assert again["neighbours"] == then["neighbours"]


def test_a_run_without_a_finished_phase_is_refused(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("recipe.yaml", "manifest.csv"):
        shutil.copy(finished / name, run)
    with pytest.raises(RequestError, match="has no finished phase to score"):
        evaluate(run)
    assert sorted(path.name for path in run.iterdir()) == ["manifest.csv", "recipe.yaml"]
