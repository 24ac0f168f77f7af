"""What changes and images from elsewhere cost, in words: only what an interval holds."""

from __future__ import annotations

from typing import Any

import pytest

from contrastive_cxr.report.facts import robust_words
from tests.report.robust import facts


def entry(difference: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"difference": difference, "low": low, "high": high, "n": 50}


def test_a_cost_is_told_by_the_middle_severity_with_its_interval() -> None:
    found = facts()
    middle = found["changes"][0]["severities"][1]["difference"]["accuracy"]
    first, *rest = found["sentences"]
    assert first == (
        f"A 10 % crop of all sides costs {-100 * middle['difference']:.0f} points of accuracy "
        f"({-100 * middle['high']:.0f} to {-100 * middle['low']:.0f})."
    )
    assert rest[0].startswith("The worst change is the crop of all sides: over its severities it costs ")
    assert rest[1].startswith("The worst single case is a 15 % crop of all sides: accuracy 0.")
    assert rest[2].startswith("Over all kinds of change the mean accuracy is 0.")
    assert "7 cases are measured" in rest[3]
    assert not any("noise of" in line or "qualisation" in line for line in rest), "what costs nothing has no sentence"


def test_nothing_is_called_a_cost_where_no_interval_keeps_off_0() -> None:
    found = facts(n=12)
    for change in found["changes"]:
        for each in (*change["severities"], change["mean"]):
            each["difference"]["accuracy"] |= {"low": -0.4, "high": 0.1}
    for name in ("worst", "worst_case", "mean"):
        found[name]["difference"]["accuracy"] |= {"low": -0.4, "high": 0.1}
    told = robust_words.sentences(found)
    assert told[0] == "None of the 3 kinds of change costs a measurable amount of accuracy."
    assert "no measurable difference" in told[1]
    assert not any("costs " in line for line in told[1:])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (entry(-0.14, -0.18, -0.1), "costs 14 points of accuracy (10 to 18)"),
        (entry(-0.01, -0.018, -0.004), "costs 1 point of accuracy (0.4 to 1.8)"),
        (entry(-0.1, -0.2, 0.0), ""),
        (entry(0.1, 0.05, 0.2), ""),
        (entry(0.0), ""),
        (entry(None), ""),
    ],
)
def test_costs(given: dict[str, Any], said: str) -> None:
    assert robust_words.costs(given) == said


def test_images_from_elsewhere() -> None:
    found: dict[str, Any] = {
        "recorded": {"split": "test", "n": 782},
        "scores": {"accuracy": entry(-0.12, -0.16, -0.08), "auc": entry(-0.01, -0.03, 0.01)},
        "recall": {"normal": entry(-0.43, -0.5, -0.36), "covid": entry(None)},
    }
    assert robust_words.external_sentences(found) == [
        "Accuracy is 12 points lower (8 to 16) on these images than on the run's own test part of 782 images.",
        "The recall of normal is 43 points lower (36 to 50).",
    ]
    found["scores"], found["recall"] = {"accuracy": entry(-0.12, -0.3, 0.02)}, {}
    assert robust_words.external_sentences(found) == [
        "No score is measurably lower on these images than on the run's own test part of 782 images."
    ]


def test_a_fall_without_an_interval_is_not_denied() -> None:
    found = {
        "recorded": {"split": "test", "n": 80},
        "scores": {"auc": entry(-0.39), "accuracy": entry(0.01, -0.05, 0.07)},
        "recall": {},
    }
    said = robust_words.external_sentences(found)
    assert len(said) == 1
    assert said[0].startswith("AUC is 39 points lower on these images than on the run's own test part of 80 images;")
