"""What `key=a,b,c` comes to."""

from __future__ import annotations

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.augmentation import Augment
from contrastive_cxr.studies.sweep_points import items, override, point_name, points_of, read_words, short_keys

FIXED = ("embed=null", "finetune=null")


def names(*words: str, one_at_a_time: bool = False) -> list[str]:
    found = points_of("phantom", read_words([*FIXED, *words]), one_at_a_time=one_at_a_time)
    return [point.name for point in found]


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ("0.1,1e-3", [0.1, 0.001]),
        ("sgd", ["sgd"]),
        ("[a,b]", [["a", "b"]]),
        ("[a,b],[a],null", [["a", "b"], ["a"], None]),
        ("'a,b',c", ["a,b", "c"]),
        ("{name: sgd, lr: 0.1},{name: adam}", [{"name": "sgd", "lr": 0.1}, {"name": "adam"}]),
        ("off,true", ["off", True]),
        ("", []),
        ("a # b,c", ["a"]),
        ("a,[b", None),
    ],
)
def test_values_are_the_items_of_a_list(raw: str, want: object) -> None:
    assert items(raw) == want


def test_the_grid_is_every_combination_the_last_factor_fastest() -> None:
    found = points_of("phantom", read_words([*FIXED, "pretrain.optimiser.lr=0.1,0.2", "pretrain.epochs=3,4", "seed=7"]))
    assert [point.name for point in found] == [
        "lr-0.1_epochs-3",
        "lr-0.1_epochs-4",
        "lr-0.2_epochs-3",
        "lr-0.2_epochs-4",
    ]
    for point, (rate, epochs) in zip(found, [(0.1, 3), (0.1, 4), (0.2, 3), (0.2, 4)], strict=True):
        phase = point.recipe.pretrain
        assert phase is not None
        assert (phase.optimiser.lr, phase.epochs, point.recipe.seed) == (rate, epochs, 7)
        same = recipes.load("phantom", [*FIXED, "seed=7", f"pretrain.optimiser.lr={rate}", f"pretrain.epochs={epochs}"])
        assert point.recipe == same.model_copy(update={"name": f"phantom/{point.name}"})


def test_one_at_a_time_starts_from_the_recipes_own_settings() -> None:
    own = recipes.load("phantom").pretrain
    assert own is not None
    words = (
        f"pretrain.epochs=3,{own.epochs},4",
        "pretrain.trainable=null,[layer4, classifier]",
        "model.backbone=resnet18",
    )
    found = points_of("phantom", read_words([*FIXED, *words]), one_at_a_time=True)
    assert [point.name for point in found] == ["base", "epochs-3", "epochs-4", "trainable-layer4+classifier"]
    assert [each.recipe.pretrain.epochs for each in found] == [own.epochs, 3, 4, own.epochs]  # type: ignore[union-attr]
    assert found[3].recipe.pretrain.trainable == ("layer4", "classifier")  # type: ignore[union-attr]


def test_one_list_is_one_value() -> None:
    read = read_words(["pretrain.trainable=[layer4, classifier]", "seed=0,1", "pretrain.epochs=2"])
    assert read.fixed == ("pretrain.trainable=[layer4, classifier]", "pretrain.epochs=2")
    assert [factor.key for factor in read.factors] == ["seed"]


def test_words_that_make_no_sweep_are_told_together() -> None:
    with pytest.raises(RequestError) as caught:
        read_words(["seed=1", "seed=2,3", "pretrain.epochs=3", "pretrain.augment=none,none"])
    assert any("seed is given twice" in fault for fault in caught.value.faults)
    assert any('"none" is there twice' in fault for fault in caught.value.faults)
    with pytest.raises(RequestError, match="several values"):
        read_words(["pretrain.epochs=3"])
    with pytest.raises(RequestError, match=r"0\.1 is there twice"):
        read_words(["pretrain.optimiser.lr=0.1,0.10"])


def test_every_fault_of_every_point_is_told_once_with_its_points() -> None:
    words = read_words([*FIXED, "pretrain.epochs=0,2,many", "pretrain.augment=xray,xrays", "model.backbon=x"])
    with pytest.raises(RequestError) as caught:
        points_of("phantom", words)
    faults = caught.value.faults
    assert len(faults) == len(set(faults)) == 4
    assert any("did you mean 'backbone'" in fault and "(point" not in fault for fault in faults), "all points have it"
    assert any("epochs-0_augment-xray, epochs-0_augment-xrays" in fault for fault in faults)
    assert any("'many' is not a whole number" in fault for fault in faults)
    assert any("did you mean 'xray'" in fault and "(point epochs-0_augment-xrays" in fault for fault in faults)


def test_points_that_are_one_experiment_are_refused() -> None:
    with pytest.raises(RequestError, match=r"lr-1 and lr-1\.0 are the same recipe"):
        names("pretrain.optimiser.lr=1,1.0")


def test_points_whose_names_would_clash_are_refused() -> None:
    with pytest.raises(RequestError, match="would be called"):
        names("tracking.project=a b,a-b")


def test_names_are_short_and_tell_the_settings() -> None:
    assert short_keys(["a.b.lr", "c.b.lr", "lr"]) == {"a.b.lr": "a.b.lr", "c.b.lr": "c.b.lr", "lr": "lr"}
    assert short_keys(["seed", "data.split.seed"]) == {"seed": "seed", "data.split.seed": "split.seed"}
    assert point_name({"x": True, "y": None, "z": {"name": "sgd", "lr": 1e-05}}) == "x-true_y-none_z-name.sgd+lr.1e-05"
    assert point_name({"root": "../../etc/passwd", "b": "a/b"}) == "root-etc-passwd_b-a-b"
    long = point_name({f"key{i}": "value" * 4 for i in range(9)})
    assert len(long) <= 80
    assert long != point_name({f"key{i}": "value" * 4 for i in range(9)} | {"key8": "another"})


@pytest.mark.parametrize("value", [0.1, 1e-05, None, True, "off", "3", ["a", "b"], {"name": "sgd", "lr": 0.5}, "ä: [#"])
def test_an_override_reads_back_as_its_value(value: object) -> None:
    assert items(override("key", value).partition("=")[2]) == [value]


def test_ranges_of_an_augmentation_are_swept_and_never_silently_replaced() -> None:
    words = ("pretrain.augment.set=xray,ct", "pretrain.augment.crop=[0.6,1],[0.8,1]", "pretrain.augment.erase=0.25")
    found = points_of("phantom", read_words([*FIXED, *words]))
    assert [point.name for point in found] == [
        "set-xray_crop-0.6+1", "set-xray_crop-0.8+1", "set-ct_crop-0.6+1", "set-ct_crop-0.8+1",
    ]  # fmt: skip
    phases = [point.recipe.pretrain for point in found]
    assert phases[1] is not None
    assert phases[1].augment == Augment(set="xray", crop=(0.8, 1.0), erase=0.25)
    with pytest.raises(RequestError, match=r"would replace pretrain\.augment\.erase; vary pretrain\.augment\.set"):
        read_words(["pretrain.augment=xray,ct", words[2]])
