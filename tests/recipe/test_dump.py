from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe, shipped
from contrastive_cxr.recipe.text import yaml_text
from tests.recipe.roots import roots


@pytest.mark.parametrize("name", shipped.names())
def test_a_dumped_recipe_reads_back_equal(name: str, tmp_path: Path) -> None:
    loaded = recipe.load(name, [*roots(name), "data.border_crop=1e-5", "tracking.wandb=off", "tracking.entity='1e3'"])
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.dump(loaded))
    assert recipe.load(path) == loaded


def test_every_setting_is_written_out() -> None:
    tree = yaml_text.parse(recipe.dump(recipe.load("phantom")))
    assert isinstance(tree, dict)
    assert set(tree) == set(recipe.Recipe.model_fields)
    assert set(tree["embed"]) == set(recipe.schema.Embed.model_fields)


def test_a_notebook_shows_a_recipe_as_its_file(tmp_path: Path) -> None:
    pretty = pytest.importorskip("IPython.lib.pretty", reason="IPython is not installed; it is in the extra docs")
    loaded = recipe.load("phantom")
    path = tmp_path / "shown.yaml"
    path.write_text(pretty.pretty(loaded))
    assert recipe.load(path) == loaded
    assert pretty.pretty(loaded.pretrain).splitlines()[0] == "epochs: 12"
