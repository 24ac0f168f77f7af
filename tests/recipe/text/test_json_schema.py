"""The JSON schema takes what the loader takes."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from contrastive_cxr import recipe, shipped, tasks
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import json_schema, public_sets
from contrastive_cxr.recipe.text import yaml_text


@pytest.fixture(scope="module")
def checker() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(checker: jsonschema.Draft202012Validator, tree: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in checker.iter_errors(tree)]


@pytest.mark.parametrize("name", shipped.names())
def test_shipped_recipes_fit(checker: jsonschema.Draft202012Validator, name: str) -> None:
    assert faults(checker, yaml_text.parse(shipped.path(name).read_text())) == []


def test_recorded_recipes_fit(checker: jsonschema.Draft202012Validator) -> None:
    for name in ("ct/three-phase", "xray/cascade", "systems/xray-vit"):
        recorded = recipe.dump(recipe.load(name, ["data.root=/images"]))
        assert faults(checker, yaml_text.parse(recorded)) == []


@pytest.mark.parametrize(
    "text",
    [
        "{task: nih/pneumonia, data: {source: nih, root: s3://bucket/nih}}",
        "{task: ct, data: {intensity: window}}",
        "{task: ct, data: {intensity: {kind: window, low: 0, high: 1000}}}",
        "{task: ct, pretrain: {augment: {zoom: [0.7, 1.1]}}}",
        "{task: ct, pretrain: {augment: xray}, embed: null}",
        "{task: {classes: {a: [x], b: [y]}}, data: {merge: [{csv: a.csv, on: id}, {csv: b.csv, on: [id]}]}}",
        "{task: ct, data: {merge: [{csv: a.csv, on: {id: number}}], frames: middle}}",
    ],
)
def test_short_forms_fit(checker: jsonschema.Draft202012Validator, text: str) -> None:
    assert faults(checker, yaml_text.parse(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "{data: {source: phantom}}",
        "{task: ct, data: {source: folder}}",
        "{task: ct, pretrain: {epoch: 3}}",
        "{task: ct, pretrain: {epochs: 0}}",
        "{task: ct, pretrain: {epochs: many}}",
        "{task: ct, data: {intensity: wide}}",
        "{task: ct, embed: {loss: tripletts}}",
        "{task: {classes: [a, b]}}",
    ],
)
def test_what_the_loader_refuses_does_not_fit(
    checker: jsonschema.Draft202012Validator, tmp_path: Any, text: str
) -> None:
    assert faults(checker, yaml_text.parse(text))
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(RequestError):
        recipe.load(tmp_path / "wrong.yaml")


def test_names_are_offered(checker: jsonschema.Draft202012Validator) -> None:
    schema = checker.schema
    offered = schema["properties"]["task"]["anyOf"][0]["examples"]
    assert set(tasks.SHIPPED) < set(offered)
    assert set(public_sets.names()) < set(schema["$defs"]["Data"]["properties"]["source"]["enum"])
    described = [name for name, field in schema["properties"].items() if not field.get("description")]
    assert described == []
