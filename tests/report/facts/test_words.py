"""Scores in words."""

from __future__ import annotations

from typing import Any

import pytest

from contrastive_cxr.report.facts import words

RATE = {"value": 8 / 9, "n": 9, "successes": 8, "wilson": [0.565, 0.980], "low": 0.67, "high": 1.0}


@pytest.mark.parametrize(
    ("entry", "grouped", "text"),
    [
        (RATE | {"low": 0.565, "high": 0.98}, False, "0.89 (8/9; 0.56-0.98)"),
        (RATE, True, "0.89 (8/9; 0.67-1.00)"),
        ({"value": 0.5, "n": 9, "low": 0.4, "high": 0.6}, False, "0.50 (n 9; 0.40-0.60)"),
        ({"value": 1.0, "n": 9, "low": None, "high": None}, False, "1.00 (n 9)"),
        ({"value": 0.9971, "n": 900, "low": 0.99, "high": 1.0}, False, "0.997 (n 900; 0.990-1.000)"),
        ({"value": None, "n": 0, "reason": "no rows"}, False, "undefined: no rows"),
    ],
)
def test_score(entry: dict[str, Any], grouped: bool, text: str) -> None:
    assert words.score(entry, grouped).replace("\N{EN DASH}", "-") == text


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.3, "better"), (-0.3, -0.1, "worse"), (-0.1, 0.1, "unclear"), (None, None, "unclear")],
)
def test_a_difference_is_clear_where_its_interval_keeps_off_zero(low: Any, high: Any, word: str) -> None:
    assert words.verdict({"difference": 0.0, "low": low, "high": high}) == word


def test_difference_has_its_sign() -> None:
    assert words.difference({"difference": 0.05, "low": -0.02, "high": 0.12, "n": 7}) == "+0.05 (n 7; -0.02 to +0.12)"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.02, 0.08, "The model is better than the best blind baseline (metadata): AUC +0.05 (n 90; +0.02 to +0.08)."),
        (-0.02, 0.12, "is not measurably better than"),
        (-0.08, -0.02, "is worse than the best blind baseline"),
        (None, None, "It is unknown whether"),
    ],
)
def test_what_the_model_adds_in_a_sentence(low: Any, high: Any, said: str) -> None:
    assert said in words.adds("metadata", "auc", {"difference": 0.05, "low": low, "high": high, "n": 90})


def test_few_patients_are_said() -> None:
    assert words.few(50, True) is None
    assert "These are 9 patients" in str(words.few(9, True))
    assert "These are 49 images" in str(words.few(49, False))
