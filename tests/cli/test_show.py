"""Tables on a narrow terminal: every cell whole, no line beyond the edge."""

from __future__ import annotations

import re

import pytest

from contrastive_cxr.cli import show

SCORES = ["accuracy", "balanced_accuracy", "macro_f1", "auc", "average_precision", "brier"]


def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [(name, *(f"0.{n}{k}1 (0.{n}{k}0-0.{n}{k}9)" for n in range(6))) for k, name in enumerate(("one", "two"))]
    show.table("Scores", ["run", *SCORES], rows)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_interval_is_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = printed(capsys, monkeypatch, width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "\u2026" not in text
    for k in range(2):
        for n in range(6):
            assert f"(0.{n}{k}0-0.{n}{k}9)" in text
    assert all(name in text for name in SCORES)


def test_each_part_has_the_names_of_the_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = "\n".join(printed(capsys, monkeypatch, 80)).count("run")
    assert tables == 2
    assert "\n".join(printed(capsys, monkeypatch, 300)).count("run") == 1
    narrow = "\n".join(printed(capsys, monkeypatch, 80))
    assert len(re.findall(r"\bone\b", narrow)) == len(re.findall(r"\btwo\b", narrow)) == 2


def test_the_interval_of_a_difference_stays_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show.table("Differences", ["run", *SCORES], [("after", *["+0.680 (+0.600 to +0.760)"] * len(SCORES))])
    assert capsys.readouterr().out.count("(+0.600 to +0.760)") == len(SCORES)


def test_a_path_is_folded_and_not_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    path = "folder/" * 12 + "image.png"
    show.table("Neighbours", ["", "label", "path"], [(1, "covid", path)])
    text = capsys.readouterr().out
    assert path in re.sub(r"[^a-z./]", "", text.replace("covid", "").replace("label", "").replace("path", ""))
