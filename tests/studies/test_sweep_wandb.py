"""The sweep definition: W&B takes it, and what its agent then calls is the point's own recipe."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.studies.sweep_points import points_of, read_words
from contrastive_cxr.studies.sweep_wandb import definition, write_definition

WORDS = (
    "embed=null", "finetune=null", "model.backbone=resnet18", "name='a b'", "pretrain.optimiser.lr=0.1,1e-5",
    "pretrain.trainable=[layer4, classifier],null", "pretrain.augment=xray,none",
)  # fmt: skip


@pytest.fixture
def written(tmp_path: Path) -> dict[str, Any]:
    """The definition, written and read as `wandb sweep` reads it."""
    from wandb.sdk.launch.sweeps.utils import load_sweep_config

    words = read_words(WORDS)
    points = points_of("phantom", words)
    file = tmp_path / "sweep.yaml"
    write_definition(file, "phantom", words, points[0].recipe, tmp_path / "my runs", 2)
    found = load_sweep_config(str(file))
    assert isinstance(found, dict)
    return found


def test_it_has_the_shape_that_wandb_documents(written: dict[str, Any]) -> None:
    assert set(written) == {"name", "project", "program", "method", "metric", "command", "parameters"}
    assert (written["method"], written["name"]) == ("grid", "a b")
    assert written["metric"] == {"name": "evaluation/balanced_accuracy", "goal": "maximize"}
    assert written["parameters"]["pretrain.optimiser.lr"] == {"values": [0.1, 1e-05]}
    assert written["parameters"]["seed"] == {"values": [0, 1]}


def test_wandbs_own_schema_accepts_it(written: dict[str, Any]) -> None:
    sweeps = pytest.importorskip(
        "sweeps", reason="wandb's validator is the package `sweeps` (pip install wandb[sweeps])"
    )
    assert sweeps.schema_violations_from_proposed_config(written) == []


def test_the_agents_command_is_the_points_recipe(written: dict[str, Any], tmp_path: Path) -> None:
    """Built by wandb's own code, run by a shell, with `ccxr` replaced by a listing of its words."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    chosen = {"pretrain.optimiser.lr": 1, "pretrain.trainable": 0, "pretrain.augment": 1, "seed": 1}
    values = {key: {"value": written["parameters"][key]["values"][place]} for key, place in chosen.items()}
    words = create_sweep_command_args({"args": values})["args_no_hyphens"]
    at = written["command"].index("${args_no_hyphens}")
    command = [*written["command"][1:at], *words]
    (tmp_path / "ccxr").write_text('#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done\n')
    (tmp_path / "ccxr").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "WANDB_RUN_ID": "x7"}
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()
    assert said[:2] == ["run", "phantom"]
    assert said[-2:] == ["--out", f"{tmp_path / 'my runs'}/x7"]
    recipe = recipes.load(said[1], said[2:-2])
    want = next(
        point.recipe
        for point in points_of("phantom", read_words(WORDS))
        if point.settings
        == {"pretrain.optimiser.lr": 1e-05, "pretrain.trainable": ["layer4", "classifier"], "pretrain.augment": "none"}
    )
    tracking = want.tracking.model_copy(update={"wandb": "online"})
    assert recipe == want.model_copy(update={"name": "a b", "seed": 1, "tracking": tracking})


def test_an_existing_file_and_a_cascade_are_refused(tmp_path: Path) -> None:
    words = read_words(["seed=0,1"])
    recipe = points_of("phantom", words)[0].recipe
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(RequestError, match="exists"):
        write_definition(tmp_path / "mine.yaml", "phantom", words, recipe, tmp_path, None)
    cascade = recipes.load("phantom", ["cascade={stage1: phantom/lesion, stage2: phantom/opacity}"])
    with pytest.raises(RequestError, match="three W&B runs"):
        write_definition(tmp_path / "new.yaml", "phantom", words, cascade, tmp_path, None)


def test_words_for_the_shell_are_quoted(tmp_path: Path) -> None:
    words = read_words(["data.root=/it's; rm -rf ~", "seed=0,1"])
    recipe = recipes.load("phantom")
    line = definition("my recipe.yaml", words, recipe, tmp_path)["command"][3]
    assert shlex.split(line)[3:5] == ["my recipe.yaml", "data.root=/it's; rm -rf ~"]
    assert yaml.safe_load(yaml.safe_dump(line)) == line
