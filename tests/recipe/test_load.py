from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe
from contrastive_cxr.errors import RequestError
from contrastive_cxr.tasks import SHIPPED

SMALL = "name: small\ntask: phantom\ndata: {source: phantom}\npretrain: {epochs: 2}\n"


def faults(reference: str | Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        recipe.load(reference, overrides)
    return caught.value.faults


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_a_file_is_read_and_defaults_are_filled_in(small: Path) -> None:
    loaded = recipe.load(small)
    assert loaded.pretrain is not None
    assert loaded.pretrain.epochs == 2
    assert loaded.pretrain.batch_size == 32
    assert loaded.embed is None
    assert loaded.task == SHIPPED["phantom"]


def test_overrides_set_create_and_take_out(small: Path) -> None:
    loaded = recipe.load(
        small,
        [
            "pretrain.epochs=7",
            "pretrain.optimiser.lr=1e-3",
            "embed.trainable=[denseblock4, projection]",
            "embed.optimiser.weight_decay=0.1",
            "data.root=some/folder",
            "finetune={epochs: 3}",
            "finetune=null",
            "tracking.wandb=off",
            "name=a=b",
        ],
    )
    assert loaded.pretrain is not None
    assert loaded.embed is not None
    assert (loaded.pretrain.epochs, loaded.pretrain.optimiser.lr) == (7, 0.001)
    assert loaded.embed.trainable == ("denseblock4", "projection")
    assert loaded.embed.optimiser.lr == 3e-4  # the phase's own default outlives a setting beside it
    assert loaded.data.root == Path("some/folder")
    assert loaded.finetune is None
    assert loaded.tracking.wandb == "off"
    assert loaded.name == "a=b"


def test_a_task_may_be_named_and_then_changed(small: Path) -> None:
    loaded = recipe.load(small, ["task=phantom/lesion", "task.positive=normal"])
    assert loaded.task.names == ("normal", "lesion")
    assert loaded.task.positive == "normal"
    assert SHIPPED["phantom/lesion"].positive == "lesion"


def test_an_inline_task_and_a_cascade_of_shipped_ones(small: Path) -> None:
    loaded = recipe.load(small, ["cascade.stage1=phantom/lesion", "cascade.stage2=phantom/opacity"])
    assert loaded.cascade is not None
    assert loaded.cascade.stage2 == SHIPPED["phantom/opacity"]
    own = recipe.load(small, ["task={name: mine, classes: {a: [no], b: [yes, off]}}"])
    assert own.task.classes == {"a": ("no",), "b": ("yes", "off")}


def test_a_joined_source_is_reached_by_its_number(small: Path) -> None:
    join = "data.join=[{source: phantom}, {source: folders}]"
    assert faults(small, join) == ("`data.join.1.root` is not set; say where the images are with data.join.1.root=DIR",)
    loaded = recipe.load(small, [join, "data.join.1.root=there"])
    assert loaded.data.join[1].root == Path("there")


def test_a_tilde_is_the_home_folder(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    assert recipe.load(small, ["data.root=~/images"]).data.root == Path("/somebody/images")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("pretrain.epochs=abc", ("`pretrain.epochs`", "'abc'", "whole number")),
        ("pretrain.epochs='3'", ("'3'", "whole number")),
        ("pretrain.epochs=2.5", ("2.5", "whole number")),
        ("pretrain.epochs=true", ("true is not a whole number",)),
        ("pretrain.epochs=0", ("0 is too small", "at least 1")),
        ("pretrain.optimiser.lr=fast", ("`pretrain.optimiser.lr`", "'fast' is not a number")),
        ("pretrain.optimiser.lr=.inf", ("`pretrain.optimiser.lr`", "finite")),
        ("embed.margin=3", ("`embed.margin`: 3 is too large; it is at most 2",)),
        ("embed.margin=0", ("above 0",)),
        ("embed.projection=4", ("4 is not a list",)),
        ("embed.projection=[64, -1]", ("`embed.projection.1`: -1 is too small",)),
        ("model.dropout=1", ("1 is too large; it is below 1",)),
        ("runtime.compile=1", ("`runtime.compile`: 1 is not one of true, false, reduce-overhead",)),
        ("runtime.channels_last=fast", ("`runtime.channels_last`: 'fast' is not one of true, false, auto",)),
        ("runtime.keep_freed_memory=1", ("true or false",)),
        ("data.root=2020", ("`data.root`: 2020 is not text", "quotes")),
        ("pretrain.augment=xrays", ("'xrays' is not one of none, ct, ct-upright, xray", "did you mean 'xray'?")),
        ("pretrain.epoch=3", ("`pretrain.epoch`", "setting of pretrain", "did you mean 'epochs'?")),
        ("pretrain.lr=3", ("did you mean 'pretrain.optimiser.lr'?",)),
        ("pretrian.epochs=3", ("`pretrian`", "did you mean 'pretrain'?")),
        ("data.join=[{source: phantom, images: 20, rot: a}]", ("`data.join.0.rot`", "did you mean 'root'?")),
        ("embed.accumulate=2", ("would not enlarge the contrastive batch", "images_per_class")),
        ("model=7", ("`model`: 7 is not a section",)),
        ("task=phantoms", ("`task`: task 'phantoms'", "did you mean 'phantom'?")),
        ("task.positive=zebra", ("`task`: positive 'zebra'",)),
        ("task.classes.normal=7", ("`task.classes.normal`: 7 is not a list",)),
        ("cascade.stage1=phantom/lesion", ("`cascade.stage2` is missing",)),
        ("epochs", ("'epochs' is not an override", "section.key=value")),
        ("=3", ("is not an override",)),
        ("pretrain..epochs=3", ("is not an override",)),
        ("pretrain.epochs=[", ("'pretrain.epochs=['", "not YAML")),
        ("pretrain={epochs: 1, epochs: 2}", ("'epochs' is given twice",)),
        ("name.first=x", ("name is 'small' and has no 'first'",)),
    ],
)
def test_a_wrong_override_is_one_sentence(small: Path, override: str, words: tuple[str, ...]) -> None:
    found = faults(small, override)
    assert len(found) == 1, found
    assert all(word in found[0] for word in words), found[0]


def test_all_faults_come_at_once(small: Path) -> None:
    found = faults(small, "zzz", "pretrain.epochs=abc", "embed.margin=3", "seeed=1")
    assert len(found) == 4
    assert (
        len(faults(small, "zzz", "data.source=folders", "pretrain.initial_image_size=512")) == 3
    )  # with those of checks


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("task: phantom\ntask: ct\n", "'task' is given twice (line 2, column 1)"),
        ("data: {root: a, root: b}\n", "'root' is given twice"),
        ("task: [\n", "is not YAML"),
        ("", "holds null, not sections"),
        ("- a\n", "not sections"),
        ("pretrain: {epochs: 1}\n", "`task` is missing"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    found = faults(path)
    assert len(found) == 1
    assert words in found[0]


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    assert "cannot be read" in faults(path)[0]


@pytest.mark.parametrize("reference", ["xray/threeclass", "xray/three-clas.yaml", Path("xray/threeclass")])
def test_a_missing_recipe_names_the_nearest_and_all_shipped(reference: str | Path) -> None:
    (found,) = faults(reference)
    assert "did you mean 'xray/three-class'?" in found
    assert all(name in found for name in recipe.shipped.names())


def test_a_pattern_over_columns_needs_no_quotes_of_yaml(small: Path) -> None:
    """A shell takes the quotes away with which our own advice writes it."""
    for pattern in ("{folder}/{filename}", "{file}.png", "{a b}_{c}"):
        words = [f"data.columns.file={pattern}", "data.source=csv", "data.csv=t.csv", "data.root=x"]
        assert recipe.load(small, words).data.columns.file == pattern
    assert "the value is not YAML" in faults(small, "data.where={a: 1")[0]


def test_a_missing_recipe_file_names_the_nearest_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans.yaml").write_text("name: scans\n")
    (found,) = faults("scan.yaml")
    assert found.startswith("recipe 'scan.yaml': there is no such file (did you mean 'scans.yaml'?)")
    assert str(tmp_path) in found
