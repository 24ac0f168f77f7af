"""`augment` as a word and as a mapping over one: read, overridden, written, refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from contrastive_cxr import recipe
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.augment_sets import SETS, AugmentSet
from contrastive_cxr.recipe.augmentation import Augment, in_words, resolved
from contrastive_cxr.recipe.checks import augmentation
from contrastive_cxr.recipe.checks.augmentation import filled
from contrastive_cxr.recipe.schema import Embed, Pretrain
from contrastive_cxr.recipe.text import yaml_text


def choice(*words: str, phase: str = "pretrain", field: str = "augment") -> str | Augment:
    found: str | Augment = getattr(getattr(recipe.load("phantom", words), phase), field)
    return found


def faults(*words: str) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        recipe.load("phantom", words)
    return caught.value.faults


def test_a_word_stays_a_word() -> None:
    assert choice("pretrain.augment=xray-wide") == "xray-wide"
    assert Pretrain().augment == "xray"
    assert Embed().positive_augment == "strong"


def test_a_range_is_set_over_the_recipes_word_and_over_a_mapping() -> None:
    over_word = choice("pretrain.augment=ct", "pretrain.augment.crop=[0.6,1]", "pretrain.augment.erase=0.25")
    assert over_word == Augment(set="ct", crop=(0.6, 1.0), erase=0.25)
    over_mapping = choice("pretrain.augment={set: none, rotate: 5}", "pretrain.augment.gamma=0.2")
    assert over_mapping == Augment(set="none", rotate=5.0, gamma=0.2)
    assert choice("pretrain.augment={set: none, rotate: 5}", "pretrain.augment=xray") == "xray"
    other_set = choice("pretrain.augment={set: none, rotate: 5}", "pretrain.augment.set=ct")
    assert other_set == Augment(set="ct", rotate=5.0)


@pytest.mark.parametrize(
    ("phase", "field", "own"),
    [
        ("pretrain", "augment", "xray"),
        ("embed", "augment", "xray"),
        ("embed", "positive_augment", "strong"),
        ("finetune", "augment", "none"),
    ],
)
def test_a_mapping_without_a_set_is_over_the_phases_own(phase: str, field: str, own: str) -> None:
    words = (f"{phase}={{epochs: 1}}", f"{phase}.{field}.gamma=0.2")
    assert choice(*words, phase=phase, field=field) == Augment(set=own, gamma=0.2)  # type: ignore[arg-type]
    whole = f"{phase}={{epochs: 1, {field}: {{gamma: 0.2}}}}"
    assert choice(whole, phase=phase, field=field) == Augment(set=own, gamma=0.2)  # type: ignore[arg-type]


def test_ranges_are_the_sets_where_none_is_given() -> None:
    found = resolved(Augment(set="strong", zoom=(0.7, 1.1)))
    assert found.zoom == (0.7, 1.1)
    assert (found.crop, found.blur, found.erase_area) == ((0.3, 1.0), 0.5, (0.02, 0.15))


def test_what_changes_nothing_is_written_as_the_word(tmp_path: Path) -> None:
    assert choice("pretrain.augment={set: xray, zoom: [0.92, 1.04], flip_vertical: 0}") == "xray"
    changed = recipe.load("phantom", ["pretrain.augment={set: xray, zoom: [0.7, 1.1]}", "embed.augment={set: ct}"])
    tree = yaml_text.parse(recipe.dump(changed))
    assert isinstance(tree, dict)
    assert tree["pretrain"]["augment"] == {"set": "xray", "zoom": [0.7, 1.1]}
    assert (tree["embed"]["augment"], tree["embed"]["positive_augment"]) == ("ct", "strong")
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.dump(changed))
    assert recipe.load(path) == changed


def test_every_range_comes_back_from_a_dump(tmp_path: Path) -> None:
    every = (
        "pretrain.augment={set: strong, crop: [0.5, 0.9], ratio: [0.8, 1.2], zoom: [0.9, 1.1], aspect: 0.1, "
        "shift: 0.1, rotate: 5, flip_horizontal: 0.1, flip_vertical: 0.2, brightness: 0.1, contrast: 0.1, "
        "gamma: 0.1, noise: 0.1, "
        "jpeg: [20, 90], jpeg_rate: 0.1, blur: 0.1, sigma: [0.001, 0.002], sharpness: 0.1, resolution: [0.5, 1], "
        "resolution_rate: 0.2, erase: 0.1, erase_area: [0.1, 0.2], equalise: 0.3, rate: 0.9, noise_rate: 0.5, "
        "frame: 0.1, frame_rate: 0.2}"
    )
    loaded = recipe.load("phantom", [every])
    assert loaded.pretrain is not None
    assert isinstance(loaded.pretrain.augment, Augment)
    assert set(loaded.pretrain.augment.given()) == set(Augment.model_fields) - {"set"}
    (tmp_path / "recipe.yaml").write_text(recipe.dump(loaded))
    assert recipe.load(tmp_path / "recipe.yaml") == loaded


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pretrain.augment.zom=[1, 1]", ("`pretrain.augment.zom`", "did you mean 'zoom'?", "it has set, crop")),
        ("pretrain.zoom=[1, 1]", ("did you mean 'pretrain.augment.zoom'?",)),
        ("pretrain.augment.set=xrays", ("`pretrain.augment.set`", "did you mean 'xray'?")),
        ("pretrain.augment={rotate: 5, set: 3}", ("`pretrain.augment.set`", "3 is not one of none, ct")),
        ("pretrain.augment=[1, 2]", ("`pretrain.augment`", "is not one of none, ct")),
        ("pretrain.augment.zoom=[1.1, 0.9]", ("`pretrain.augment.zoom`", "[1.1, 0.9] is empty", "0.5 <= low")),
        ("pretrain.augment.zoom=[0.4, 1]", ("[0.4, 1]", "less than a quarter")),
        ("pretrain.augment.zoom=0.9", ("0.9 is not a list",)),
        ("pretrain.augment.zoom=[0.9]", ("`pretrain.augment.zoom`: [0.9] is too short", "[low, high]")),
        ("pretrain.augment.zoom=[0.9, 1, 1.1]", ("too long", "at most 2")),
        ("pretrain.augment.zoom=[a, 1]", ("`pretrain.augment.zoom.0`: 'a' is not a number",)),
        ("pretrain.augment.crop=[0, 1]", ("`pretrain.augment.crop`", "[0, 1]", "0.05 <= low")),
        ("pretrain.augment.crop=[0.5, 1.2]", ("[0.5, 1.2]", "high <= 1")),
        ("pretrain.augment.shift=0.8", ("`pretrain.augment.shift`: 0.8 is not within 0 to 0.5", "leave the picture")),
        ("pretrain.augment.shift=-0.1", ("-0.1 is not within 0 to 0.5",)),
        ("pretrain.augment.contrast=1", ("1 is not within 0 to 0.9", "one grey")),
        ("pretrain.augment.brightness=1", ("1 is not within 0 to 0.5", "black")),
        ("pretrain.augment.gamma=.nan", ("finite",)),
        ("pretrain.augment.jpeg=[0, 50]", ("`pretrain.augment.jpeg`", "[0, 50]", "1 <= low")),
        ("pretrain.augment.blur=2", ("2 is not within 0 to 1", "probability")),
        ("pretrain.augment.erase_area=[0.1, 0.9]", ("[0.1, 0.9]", "half")),
        ("embed.positive_augment.noise=3", ("`embed.positive_augment.noise`", "3 is not within 0 to 0.5")),
        ("pretrain.augment.sigma=[0.001, 0.002]", ("read only with pretrain.augment.blur", "give both")),
        (
            "pretrain.augment={set: xray, noise: 0, noise_rate: 0.3}",
            ("read only with pretrain.augment.noise, which is 0",),
        ),
        ("pretrain.augment.jpeg_rate=0.4", ("read only with pretrain.augment.jpeg",)),
        ("pretrain.augment.resolution=[0.1, 1]", ("of an input of 64 pixels leaves 6", "16", "begin at 0.25")),
        ("pretrain.augment={zoom: [1, 2], crop: [0.1, 1]}", ("crop", "zoom of 2", "2.5% of the image")),
        ("pretrain.augment={shift: 0.4, crop: [0.1, 1]}", ("shift", "0.4", "out of the picture", "at most 0.2")),
    ],
)
def test_a_wrong_range_is_one_sentence(word: str, said: tuple[str, ...]) -> None:
    found = faults("pretrain.augment=none", word)
    assert len(found) == 1, found
    assert all(part in found[0] for part in said), found[0]


def test_all_wrong_ranges_come_at_once() -> None:
    wrong = "{set: xray, zoom: [2, 1], shift: 3, contrast: 1, brightness: 1, jpeg: [0, 101], tilt: 1}"
    assert len(faults(f"pretrain.augment={wrong}", f"embed.positive_augment={wrong}")) == 12
    late = ("pretrain.augment.resolution=[0.1, 1]", "pretrain.augment={set: none, crop: [0.06, 1], zoom: [1, 1.5]}")
    assert len(faults(*reversed(late))) == 2


def test_ranges_over_nothing_are_fine() -> None:
    assert choice("pretrain.augment={set: none, rotate: 5}") == Augment(set="none", rotate=5.0)
    assert choice("pretrain.augment={set: none, sigma: [0.001, 0.002], blur: 0}") != "none"
    with pytest.raises(ValidationError):
        Augment(set="none", shift=2.0)


def test_the_smaller_inputs_of_growing_images_are_checked_too() -> None:
    words = ("pretrain.augment.resolution=[0.4, 1]", "model.image_size=64")
    assert choice(*words) != "xray"
    assert "of an input of 32 pixels leaves 13" in faults(*words, "pretrain.initial_image_size=32")[0]


@pytest.mark.parametrize("name", SETS)
def test_the_shipped_sets_keep_the_limits_of_ranges(name: str) -> None:
    ranges = {key: value for key, value in dataclasses.asdict(SETS[name]).items() if value is not None}
    spelt = Augment(set="none", **ranges)
    assert resolved(spelt) == SETS[name]
    assert not list(augmentation.faults("pretrain.augment", spelt, 64))


def test_what_fills_the_picture_is_what_a_million_windows_show() -> None:
    ranges = AugmentSet(crop=(0.3, 1.0), zoom=(0.6, 1.2), aspect=0.3, shift=0.3)
    rng = np.random.default_rng(0)
    draws = 200_000
    area = rng.uniform(0.3, 1, draws)
    low, high = np.maximum(area, 3 / 4), np.minimum(1 / area, 4 / 3)
    side = np.sqrt(area / (low * (high / low) ** rng.uniform(0, 1, draws)))
    half = side / rng.uniform(0.6, 1.2, draws) * np.exp(rng.uniform(-0.15, 0.15, draws))
    centre = rng.uniform(-1, 1, draws) * (1 - side) + 2 * rng.uniform(-0.3, 0.3, draws)
    shown = (np.minimum(1, centre + half) - np.maximum(-1, centre - half)) / (2 * half)
    least = filled(ranges, 0.3)
    assert least <= shown.min() < least + 0.15


def test_a_choice_in_words() -> None:
    words = in_words(Augment(set="xray", zoom=(0.7, 1.1), gamma=0.3))
    assert words == "xray with zoom 0.7 to 1.1, gamma 0.3"
    assert in_words("ct") == "ct"
