"""`runtime.precision=auto`: the fastest choice is taken, once measured, and a resumed run keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import processes
from contrastive_cxr.training import dry_run, precision, step_time
from contrastive_cxr.training.run import run
from contrastive_cxr.training.step_time import Timed
from tests import small

ORDER = ("pretrain", "embed", "finetune")


def small_recipe(cache: Path, *changes: str) -> Recipe:
    """The small recipe, which leaves precision and layout open."""
    return small.small_recipe(cache, "runtime.precision=auto", "runtime.channels_last=auto", *changes)


@pytest.fixture(autouse=True)
def nothing_measured(cache: Path) -> None:
    """The cache folder is of the whole session."""
    (cache / precision.FILE).unlink(missing_ok=True)


class Machine:
    """A machine on which a step of 10 images takes a given number of seconds with each choice."""

    def __init__(self, seconds: dict[tuple[str, bool], float]) -> None:
        self.seconds, self.asked = seconds, list[tuple[str, bool]]()

    def timed_phase(self, recipe: Recipe, *_: Any) -> Timed:
        choice = recipe.runtime.precision, bool(recipe.runtime.channels_last)
        self.asked.append(choice)
        if choice not in self.seconds:
            raise RuntimeError("no kernel image is available")
        return Timed(step=self.seconds[choice], images=10, validated=0.0, encoded=0.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One on which bfloat16 trains twice as fast; every training is long enough to be measured."""
    made = Machine({("32-true", True): 1.0, ("32-true", False): 1.25, ("bf16-mixed", True): 0.5})
    monkeypatch.setattr(step_time, "timed_phase", made.timed_phase)
    monkeypatch.setattr(precision, "WORTH", 0.0)
    return made


def chosen(recipe: Recipe) -> tuple[str, bool | str, dict[str, Any]]:
    settled, facts = precision.settled(recipe, open_dataset(recipe.data, recipe.task), ORDER)
    return settled.runtime.precision, settled.runtime.channels_last, facts


def test_the_fastest_is_taken_and_what_was_measured_is_told(
    cache: Path, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    found, layout, facts = chosen(small_recipe(cache))
    assert (found, layout) == ("bf16-mixed", True)
    assert facts["images_per_second"] == {
        "32-true, channels last": 10.0, "bf16-mixed, channels last": 20.0, "32-true, channels first": 8.0
    }  # fmt: skip
    assert facts["phase"] == "pretrain"
    assert "bf16-mixed, channels last (images/s of pretrain: 32-true, channels last: 10.0;" in caplog.text


def test_a_small_gain_does_not_change_the_precision(cache: Path, machine: Machine) -> None:
    machine.seconds["bf16-mixed", True] = 1.0 / 1.09
    assert chosen(small_recipe(cache))[:2] == ("32-true", True)


def test_a_choice_that_this_machine_lacks_is_passed_over(cache: Path, machine: Machine) -> None:
    del machine.seconds["bf16-mixed", True]
    found, _, facts = chosen(small_recipe(cache))
    assert (found, facts["images_per_second"]["bf16-mixed, channels last"]) == ("32-true", 0.0)


def test_nothing_is_kept_where_nothing_could_be_tried(cache: Path, machine: Machine) -> None:
    machine.seconds.clear()
    recipe = small_recipe(cache)
    assert chosen(recipe)[2]["why"] == "no choice could be tried here"
    assert not (cache / precision.FILE).exists()


def test_it_is_measured_once_for_each_machine_and_network(
    cache: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(small_recipe(cache))
    asked = len(machine.asked)
    assert asked == 2 * 3, "two rounds of three choices"
    assert chosen(small_recipe(cache))[2]["why"] == "measured by an earlier run"
    assert len(machine.asked) == asked
    chosen(small_recipe(cache, "model.image_size=40"))
    assert len(machine.asked) == 2 * asked, "images of another size"
    monkeypatch.setattr(torch, "__version__", "0.1")
    chosen(small_recipe(cache))
    assert len(machine.asked) == 3 * asked, "another version of torch"


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": 1}'])
def test_a_damaged_file_is_measured_again_and_mended(cache: Path, machine: Machine, content: str) -> None:
    (cache / precision.FILE).write_text(content)
    assert chosen(small_recipe(cache))[0] == "bf16-mixed"
    assert len(json.loads((cache / precision.FILE).read_text())) == 1


def test_what_the_recipe_sets_is_not_measured(cache: Path, machine: Machine) -> None:
    recipe = small_recipe(cache, "runtime.precision=32-true", "runtime.channels_last=false")
    settled, facts = precision.settled(recipe, open_dataset(recipe.data, recipe.task), ORDER)
    assert settled is recipe
    assert facts == {}
    assert chosen(small_recipe(cache, "runtime.precision=bf16-mixed"))[:2] == ("bf16-mixed", True)
    assert chosen(small_recipe(cache, "runtime.precision=16-mixed", "runtime.device=auto"))[:2] == ("16-mixed", True)
    assert not machine.asked, "one choice is left, so there is nothing to compare"
    assert chosen(small_recipe(cache, "runtime.channels_last=true"))[:2] == ("bf16-mixed", True)
    assert ("32-true", False) not in machine.asked


def test_a_short_training_is_not_measured(cache: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(cache, "embed=null", "finetune=null", "pretrain.epochs=3", "pretrain.batch_size=8")
    train = len(open_dataset(recipe.data, recipe.task).rows("train"))
    passes = 3 * (train // 8) * 8 * recipe.model.image_size**2
    for worth, measured in ((passes + 1, False), (passes, True)):
        monkeypatch.setattr(precision, "WORTH", worth)
        settled, facts = precision.settled(recipe, open_dataset(recipe.data, recipe.task), ("pretrain",))
        assert ("images_per_second" in facts) == measured
        assert settled.runtime.precision == ("bf16-mixed" if measured else "32-true")


def test_several_processes_do_not_measure(cache: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "count", lambda: 2)
    assert chosen(small_recipe(cache))[:2] == ("32-true", True)
    assert not machine.asked


def test_a_run_records_its_precision_and_keeps_it_when_it_goes_on(
    cache: Path, tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = small_recipe(cache, "embed=null", "finetune=null"), tmp_path / "run"
    run(recipe, out)
    recorded = yaml.safe_load((out / "recipe.yaml").read_text())["runtime"]
    assert (recorded["precision"], recorded["channels_last"]) == ("bf16-mixed", True)
    facts = json.loads((out / "environment.json").read_text())["precision"]
    assert facts["images_per_second"]["bf16-mixed, channels last"] == 20.0
    (cache / precision.FILE).unlink()
    machine.seconds["bf16-mixed", True] = 5.0  # now the slowest
    asked = len(machine.asked)
    (out / "report.json").unlink()
    run(recipe, out, resume=True)
    assert len(machine.asked) == asked
    assert yaml.safe_load((out / "recipe.yaml").read_text())["runtime"] == recorded
    assert json.loads((out / "environment.json").read_text())["precision"] == facts
    assert recipes.load(out / "recipe.yaml").runtime.precision == "bf16-mixed"


def test_a_dry_run_measures_nothing_and_takes_what_a_run_measured(cache: Path, machine: Machine) -> None:
    recipe = small_recipe(cache)
    planned = dry_run.plan(recipe, timed=True)
    assert set(machine.asked) == {("auto", True)}, "the steps of the phases are timed, no choice is"
    assert (planned.recipe.runtime.precision, planned.device.endswith("which is faster")) == ("auto", True)
    chosen(recipe)
    assert dry_run.plan(recipe, timed=False).recipe.runtime.precision == "auto"
    machine.seconds["auto", True] = 1.0
    assert dry_run.plan(recipe, timed=True).device.endswith("precision bf16-mixed")


def test_the_choices_are_really_measured(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "WORTH", 0.0)
    caplog.set_level("INFO")
    _, _, facts = chosen(small_recipe(cache))
    assert set(facts["images_per_second"]) == {str(choice) for choice in precision.CHOICES}
    assert all(speed > 0 for speed in facts["images_per_second"].values())
    assert "Automatic Mixed Precision" not in caplog.text, "of what is only tried nothing is said"
