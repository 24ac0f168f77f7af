"""`ccxr recipes`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from contrastive_cxr import shipped

Answer = tuple[int, str, str]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_recipes_are_grouped_and_end_with_the_line(
    ccxr: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = ccxr("recipes")[1].splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(listed) == shipped.names()
    assert max(map(len, lines[:-1])) <= columns
    assert lines[lines.index("ct: CT slices") + 1].split()[0] == "ct/three-phase"
    for line in lines:  # whole words before the dots
        if line.endswith("..."):
            name, sentence = line[2:-3].split(maxsplit=1)
            assert shipped.sentence(name).startswith(sentence)
            assert not shipped.sentence(name)[len(sentence)].isalnum()


def test_recipes_are_whole_where_they_go_to_a_file(
    ccxr: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    said = ccxr("recipes")[1]
    assert all(shipped.sentence(name) in said for name in shipped.names())


def test_a_name_alone_shows_the_recipe(ccxr: Callable[..., Answer]) -> None:
    assert ccxr("recipes", "phantom")[1] == ccxr("recipes", "show", "phantom")[1]
    assert ccxr("recipes", "phantom", "phantom")[0] == 2
    assert ccxr("recipes", "list", "phantom")[0] == 2


def test_a_copy_has_the_schema_beside_it(ccxr: Callable[..., Answer], tmp_path: Path) -> None:
    copy = tmp_path / "mine.yaml"
    assert ccxr("recipes", "copy", "phantom", "--out", copy)[0] == 0
    first, *rest = copy.read_text().splitlines()
    assert rest == shipped.path("phantom").read_text().splitlines()
    file = tmp_path / first.removeprefix("# yaml-language-server: $schema=")
    schema = json.loads(file.read_text())
    jsonschema.validate(yaml.safe_load(copy.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError, match="epoch"):
        jsonschema.validate({"task": "ct", "pretrain": {"epoch": 1}}, schema)
    file.write_text("{}")
    assert ccxr("recipes", "copy", "phantom", "--out", tmp_path / "other.yaml")[0] == 0
    assert file.read_text() == "{}"  # what is there stays


def test_the_schema_is_printed_or_written(ccxr: Callable[..., Answer], tmp_path: Path) -> None:
    printed = json.loads(ccxr("recipes", "schema")[1])
    assert ccxr("recipes", "schema", "--out", tmp_path / "s.json")[0] == 0
    assert json.loads((tmp_path / "s.json").read_text()) == printed
    assert printed["properties"]["seed"]["minimum"] == 0


def test_the_doctor_speaks_in_lines_and_ticks(
    ccxr: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    code, said, _ = ccxr("doctor", "--no-speed")
    assert code == 0
    assert max(map(len, said.splitlines())) <= 80
    assert "torch" in said
    assert "\u2713 Cache" in said
    assert "Speed" not in said
    (tmp_path / "contrastive_cxr").write_text("no folder")
    code, said, _ = ccxr("doctor", "--no-speed")
    assert code == 1
    assert "\u2717 Cache" in said
    code, said, _ = ccxr("doctor", "--no-speed", "--json")
    assert code == 1
    assert json.loads(said)["cache"]["writable"] is False


def test_fields_are_those_of_the_models(ccxr: Callable[..., Answer]) -> None:
    from contrastive_cxr.recipe.schema import Embed

    code, said, _ = ccxr("recipes", "fields", "embed")
    assert code == 0
    listed = [line.split()[0] for line in said.splitlines() if line.startswith("  embed.")]
    assert [path for path in listed if path.count(".") == 1] == [f"embed.{name}" for name in Embed.model_fields]
    assert "  embed.margin  number (above 0, at most 2), distance, 0 to 2; default 0.2" in said
    assert "  embed.loss  triplet, nt-xent, supcon, multi-similarity; default triplet" in said
    assert "embed.optimiser.lr  number (above 0); default 0.0003" in said


def test_fields_of_one_field_of_all_and_of_none(ccxr: Callable[..., Answer]) -> None:
    one = ccxr("recipes", "fields", "pretrain.optimiser.lr")[1].splitlines()
    assert one[0] == "pretrain.optimiser: The optimiser of a phase."
    assert one[1:] == ["  pretrain.optimiser.lr  number (above 0); default 0.001", "      peak learning rate"]
    every = ccxr("recipes", "fields")[1]
    assert "  task.classes  mapping to list of text; must be given" in every
    assert "  data.cache_size  whole number (at least 16, at most 4096), pixels; default 256" in every
    code, _, said = ccxr("recipes", "fields", "pretrain.optimizer.lr")
    assert code == 2
    assert "did you mean 'optimiser'?" in said
