from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks import page, record

RESULTS = sorted(record.RESULTS.glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_result_has_its_machine_and_command(path: Path) -> None:
    found = page.read(path)
    assert found.command
    assert found.commit
    assert {"python", "platform", "cores", "versions"} <= found.environment.keys()
    assert page.file(found) == path.name, "the page links to it"


def test_the_page_is_the_one_that_the_files_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = page.PAGE.read_text()
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    page.main()
    assert (tmp_path / "README.md").read_text() == before, "run python -m benchmarks.page"


def test_a_figure_is_the_median_with_quartiles() -> None:
    values = [3.0, 1.0, 2.0, 10.0, 4.0]
    line = record.figure("speed", values, "images/s", ">= 2.5")
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    assert (line.low, line.value, line.high, line.repeats) == (low, middle, high, 5)
    assert line.met
    assert record.figure("one", 7.0).low is None


@pytest.mark.parametrize(("wanted", "met"), [(">= 2", True), ("<= 2", True), (">= 2.1", False), ("<= 1.9", False)])
def test_an_aim_is_met_or_not(wanted: str, met: bool) -> None:
    assert record.figure("x", 2.0, wanted=wanted).met is met


def test_an_aim_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValidationError, match="wanted"):
        record.figure("x", 2.0, wanted="about 2")


def test_a_result_is_written_with_its_head(tmp_path: Path) -> None:
    target = record.write(tmp_path / "one.json", "one", {"figures": [record.figure("x", 1.0)], "more": [1, 2]})
    found = json.loads(target.read_text())
    assert found["figures"] == [{"name": "x", "value": 1.0}]
    assert found["more"] == [1, 2]
    assert str(tmp_path) not in target.read_text()
