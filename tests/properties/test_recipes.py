"""Recipes of any settings, and YAML of any words: what is dumped is loaded."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from contrastive_cxr import recipe
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.text import yaml_text

SETTINGS = {
    "name": st.sampled_from(["off", "'1e-3'", "'0x10'", "'null'", "a b", "'12:30'", "é", "'~'", "'- x'", "yes"]),
    "seed": st.integers(-5, 2**40),
    "data.images": st.integers(0, 900),
    "data.cache_size": st.sampled_from([8, 16, 64, 4096]),
    "data.resize": st.sampled_from(["pad", "crop", "stretch", "Pad"]),
    "data.split": st.sampled_from(["{kind: folds, folds: 3}", "{kind: fractions, val: .2, test: 0.1}", "{val: 2}"]),
    "data.intensity": st.sampled_from(["{kind: window, low: -600, high: 1500}", "{kind: percentile}"]),
    "model.dropout": st.floats(-0.1, 1),
    "model.backbone": st.sampled_from(["resnet18", "torchvision/densenet121", "cnn4"]),
    "pretrain": st.sampled_from(["null", "{epochs: 3}"]),
    "pretrain.optimiser.lr": st.floats(0, 1, allow_subnormal=False),
    "embed.margin": st.floats(0, 2),
    "embed.mining": st.sampled_from(["semihard", "all", "batch-hard", "semi-hard"]),
    "embed.trainable": st.sampled_from(["null", "[a, b]", "[]"]),
    "finetune": st.sampled_from(["null", "{epochs: 1}"]),
    "tracking.wandb": st.sampled_from(["off", "offline", "maybe"]),
}


@given(st.dictionaries(st.sampled_from(sorted(SETTINGS)), st.none(), max_size=5), st.data())
def test_a_recipe_comes_back_as_it_was(chosen: dict[str, None], data: st.DataObject) -> None:
    words = [f"{key}={data.draw(SETTINGS[key], label=key)}" for key in chosen]
    try:
        loaded = recipe.load("phantom", words)
    except RequestError:
        assume(False)
        raise
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "recipe.yaml"
        for text in (recipe.dump(loaded), recipe.dump(recipe.load("phantom", words))):
            path.write_text(text, encoding="utf-8")
            assert recipe.load(path) == loaded


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**17), 10**17),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(
        ["on", "off", "1e3", "1e-3", "0o7", "010", "1_000", "2020-01-01", "12:30", ".inf", "<<", "=", "~", ""]
    ),
)
KEYS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(
    st.recursive(
        SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4))
    )
)
def test_yaml_comes_back_as_it_was(value: Any) -> None:
    assert same(yaml_text.parse(yaml_text.write(value)), value)


def same(first: Any, second: Any) -> bool:
    """Equal, and of the same types: 1 is neither 1.0 nor true."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))
    return first == second and (not isinstance(first, float) or math.copysign(1, first) == math.copysign(1, second))
