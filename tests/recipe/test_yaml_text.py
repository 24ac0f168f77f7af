from __future__ import annotations

import math

import pytest
import yaml

from contrastive_cxr.recipe import yaml_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5E4", 50000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("010", 10),
        ("+7", 7),
        ("true", True),
        ("off", "off"),
        ("no", "no"),
        ("none", "none"),
        ("null", None),
        ("~", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("1:30", "1:30"),
        ("'3'", "3"),
        ("[a, 1]", ["a", 1]),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: object) -> None:
    found = yaml_text.parse(text)
    assert found == value
    assert type(found) is type(value)


def test_a_merge_key_still_merges() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}"
    assert yaml_text.parse(text) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "b: {1: x, 1: y}", "x: [{a: 1, a: 1}]"])
def test_a_key_twice_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="given twice"):
        yaml_text.parse(text)


def test_an_object_cannot_be_made() -> None:
    with pytest.raises(yaml.YAMLError):
        yaml_text.parse("!!python/object/apply:os.getcwd []")


@pytest.mark.parametrize(
    "value", ["off", "yes", "1e3", "010", "null", "", "true", "2020-01-01", 1e-5, 0.1, None, False]
)
def test_what_is_written_reads_back(value: object) -> None:
    found = yaml_text.parse(yaml_text.write({"key": value}))
    assert found == {"key": value}


def test_a_fault_is_one_line_with_its_place() -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml_text.parse("a: 1\nb: [\n")
    assert "\n" not in yaml_text.explain(caught.value)
    assert "line 3" in yaml_text.explain(caught.value)
