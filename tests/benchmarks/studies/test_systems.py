from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from benchmarks.studies import systems, systems_rows, systems_table
from contrastive_cxr import recipe
from contrastive_cxr.data.dataset import open_dataset
from tests.recipe.roots import roots
from tests.small import overrides, small_recipe


def test_every_row_is_a_recipe_that_loads_and_no_two_are_alike() -> None:
    rows = list(systems_rows.rows())
    assert len({systems_rows.place(row, Path("out")) for row in rows}) == len(rows)
    for row in rows:
        recipe.load(row.recipe, [*roots(row.recipe), *row.changes])
    assert {row.system.split()[0] for row in rows} == set("12345")


@pytest.mark.parametrize("imbalance", ["none", "oversample", "undersample"])
def test_the_budget_is_so_many_image_passes(cache: Path, imbalance: str) -> None:
    words = [f"pretrain.imbalance={imbalance}", "pretrain.schedule={name: step, step_epochs: 1}"]
    only = small_recipe(cache, *words).model_copy(update={"embed": None, "finetune": None})
    data = open_dataset(only.data, only.task)
    counts = [list(data.labels[data.rows("train")]).count(label) for label in range(3)]
    size = {"none": sum(counts), "oversample": 3 * max(counts), "undersample": 3 * min(counts)}[imbalance]
    epochs, steps = systems.epochs(only, data, 10 * size)
    assert epochs == "pretrain.epochs=10"
    assert steps == "pretrain.schedule.step_epochs=5", "the recipe's drop lies at half of its two epochs"


@pytest.mark.slow
def test_a_row_is_run_once_and_stands_in_the_table(cache: Path, tmp_path: Path, monkeypatch: Any) -> None:
    phantom = [word for word in overrides(cache) if not word.startswith(("embed.", "finetune."))]
    rows = [
        systems_rows.Row("9 painted", "first", "phantom", ".", (), 32),
        systems_rows.Row("9 painted", "second", "phantom", ".", ("pretrain.loss=bce",), 32),
    ]
    monkeypatch.setattr(systems, "rows", lambda: iter(rows))
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "runs"), "--passes", "60", "--result"]
    words += [str(tmp_path / "table.json"), *phantom, "data.root=null", "embed=null", "finetune=null", "--jobs", "2"]
    monkeypatch.setattr("sys.argv", ["systems.py", *words])
    systems.main()
    place = tmp_path / "runs" / "9-painted" / "first" / "pretrain"
    before = (place / "done.json").stat().st_mtime_ns
    systems.main()
    assert (place / "done.json").stat().st_mtime_ns == before, "a finished row is kept"

    table = systems.folder.read_json(tmp_path / "table.json")
    assert [line["row"] for line in table["rows"]] == ["first", "second"]
    assert all(line["verdict"] == systems_table.NOT_COMPARABLE for line in table["rows"]), "two epochs have no plateau"
    assert all(line["peak_memory_mib"] > 100 for line in table["rows"])
    (comparison,) = table["comparisons"].values()
    assert comparison["runs"][1]["against"]["paired"]["auc"]["n"] == table["rows"][0]["n"]
    text = (tmp_path / "table.md").read_text()
    score = table["rows"][0]["scores"]["accuracy"]
    assert f"{score['value']:.3f} ({score['low']:.3f}-{score['high']:.3f})" in text


@pytest.mark.parametrize(
    ("values", "plateau"),
    [([0.5, 0.9, 0.8, 0.8, 0.8], True), ([0.5, 0.6, 0.7, 0.8, 0.9], False), ([0.9, 0.5], False)],
)
def test_a_plateau_is_a_best_epoch_before_the_last_fifth(tmp_path: Path, values: list[float], plateau: bool) -> None:
    curve(tmp_path, values)
    assert (systems_table.verdict([tmp_path]) == "at its plateau") is plateau


def test_every_phase_with_a_classifier_has_to_be_at_its_plateau(tmp_path: Path) -> None:
    flat, rising = (
        curve(tmp_path / "pretrain", [0.5, 0.9, 0.8, 0.8, 0.8]),
        curve(tmp_path / "finetune", [0.5, 0.6, 0.7, 0.8, 0.9]),
    )
    (tmp_path / "embed").mkdir()
    log = systems_table.MetricsLog(tmp_path / "embed" / "metrics.jsonl")
    log.append({"epoch": 1, "step": 1, "split": "val", "loss": 0.5})
    log.sync()
    assert systems_table.verdict([flat, tmp_path / "embed"]) == "at its plateau", "an embedding phase has no AUC"
    assert systems_table.verdict([flat, tmp_path / "embed", rising]) == systems_table.NOT_COMPARABLE


def curve(phase: Path, values: list[float]) -> Path:
    """A phase whose validation AUC went like this."""
    phase.mkdir(exist_ok=True)
    log = systems_table.MetricsLog(phase / "metrics.jsonl")
    for epoch, auc in enumerate(values, 1):
        log.append({"epoch": epoch, "step": epoch, "split": "val", "auc": auc})
    log.sync()
    return phase


def test_overrides_keep_the_command_lines_words(cache: Path, tmp_path: Path) -> None:
    options = argparse.Namespace(
        data=tmp_path, overrides=[*overrides(cache), "data.root=null"], weights="none", own_size=False, passes=100
    )
    words = systems.overrides(systems_rows.Row("9 painted", "x", "phantom", ".", ("seed=3",), 48), options)
    loaded = recipe.load("phantom", words)
    assert (loaded.seed, loaded.model.image_size, loaded.model.weights) == (3, 48, "none")


@pytest.mark.slow
def test_a_row_that_fails_stands_in_the_table_with_its_reason(cache: Path, tmp_path: Path) -> None:
    row = systems_rows.Row("9 painted", "wild", "phantom", ".", ("pretrain.optimiser={name: sgd, lr: 1.0e+30}",), 32)
    words = [word for word in overrides(cache) if not word.startswith(("embed.", "finetune.", "pretrain.opt"))]
    options = argparse.Namespace(
        data=tmp_path,
        out=tmp_path / "runs",
        overrides=[*words, "data.root=null", "embed=null", "finetune=null"],
        weights="none",
        own_size=False,
        passes=60,
    )
    words = systems.overrides(row, options)
    assert systems.run(row, words, options.out) == "", "a row that fails does not stop the others"
    found = systems_table.failure(row, tmp_path / "runs")
    assert (found["row"], found["changes"]) == ("wild", list(row.changes))
    assert "the loss is" in found["reason"]
    text = systems_table.markdown({"weights": "none", "rows": [], "failed": [found]})
    assert f"9 painted, wild: {found['reason']}" in text
    assert systems_rows.settled(row, options.out), "a failed row is left alone"


def test_a_score_without_an_interval_stands_alone() -> None:
    scores = {"auc": {"value": 0.5, "low": None, "high": None}, "accuracy": {"value": None, "low": None, "high": None}}
    assert systems_table.value({"scores": scores}, "auc") == "0.500"
    assert systems_table.value({"scores": scores}, "accuracy") == ""


def test_rows_of_other_systems_stay_in_the_file() -> None:
    old = {
        "rows": [{"system": "1 a", "row": "old"}, {"system": "2 b", "row": "kept"}],
        "comparisons": {"1 a, task": {"is": "old"}, "2 b, task": {"is": "kept"}},
        "failed": [{"system": "3 c", "row": "kept"}],
    }
    new = {"rows": [{"system": "1 a", "row": "new"}], "comparisons": {"1 a, task": {"is": "new"}}, "failed": [], "n": 1}
    whole = systems_table.beside(new, old, {"1"})
    assert [line["row"] for line in whole["rows"]] == ["new", "kept"]
    assert whole["comparisons"] == {"1 a, task": {"is": "new"}, "2 b, task": {"is": "kept"}}
    assert whole["failed"] == old["failed"]
    assert whole["n"] == 1


def test_a_cascade_cut_off_shows_the_networks_that_are_finished(tmp_path: Path) -> None:
    row = systems_rows.Row("9 painted", "cut", "phantom", ".")
    for part in ("flat", "stage1"):
        (systems_rows.place(row, tmp_path) / part).mkdir(parents=True)
        (systems_rows.place(row, tmp_path) / part / "report.json").write_text("{}")
    assert systems_rows.parts_of(row, tmp_path) == ["flat", "stage1"]
    assert not systems_rows.settled(row, tmp_path), "it goes on where it was cut off"
    (systems_rows.place(row, tmp_path) / "report.json").write_text("{}")
    assert systems_rows.parts_of(row, tmp_path) == [".", "flat", "stage1"]
    assert systems_rows.settled(row, tmp_path)
