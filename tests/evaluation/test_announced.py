"""A scoring with a gallery says what it does before it does it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.evaluation import evaluate, external, knn_vote
from contrastive_cxr.inference.gallery import index
from tests.announced import Announced


@pytest.mark.slow
def test_the_stages_of_a_scoring_with_a_gallery(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(finished, "train", tmp_path / "gallery")
    said = Announced(monkeypatch)
    said.watch(external, "recorded_split")
    said.watch(knn_vote, "voters", "check")
    said.watch(knn_vote.KnnClassifier, "vote")
    said.watch(evaluate, "write_arrays", "neighbour_scores", "blind_baselines", "build_report_facts")
    external.evaluate(finished, out=tmp_path / "out", gallery=tmp_path / "gallery")
    assert said == {
        "recorded_split": "reading the images",
        "voters": "loading the gallery",
        "check": "looking for the images in the gallery",
        "vote": "vote of the gallery",
        "write_arrays": "writing the arrays",
        "neighbour_scores": "nearest neighbours",
        "blind_baselines": "blind baselines",
        "build_report_facts": "scores with intervals",
    }
