from __future__ import annotations

import math

import pytest
import yaml

from contrastive_cxr.recipe.text import yaml_text


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


LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 9))
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!!python/object/apply:os.getcwd []", "the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' is not read"),
        ("a: !!int abc", "the tag 'tag:yaml.org,2002:int' is not read"),
        ("a: !!timestamp x", "is not read"),
        ("a: !mine {b: 1}", "the tag '!mine' is not read"),
        (LAUGHS, "aliases make more than 100000 values"),
        (MERGES, "aliases make more than 100000 values"),
        ("a: &a [*a]", "an alias stands inside itself"),
        ("a: &a {b: {c: *a}}", "an alias stands inside itself"),
        ("[" * 20_000, "more than 50 sections deep"),
        ("a: " + "{b: " * 60 + "1" + "}" * 60, "more than 50 sections deep"),
        ("- " * 5_000 + "1", "more than 50 sections deep"),
        (CHAIN, "more than 50 sections deep"),
        ("a: " + "9" * 5000, "a whole number of more than 18 digits"),
        ("a: -1000000000000000000", "a whole number of more than 18 digits"),
        ("a: b\0c", "special characters are not allowed"),
        ("a: *b", "found undefined alias"),
        ("#" * 2**20 + "\na: 1", "and a recipe at most 1048576"),
    ],
    ids=range(17),
)
def test_what_no_recipe_needs_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml_text.parse(text)
    said = yaml_text.explain(caught.value)
    assert words in said
    assert "\n" not in said
    assert len(said) < 200


def test_an_alias_may_be_used_again_and_a_number_may_be_long() -> None:
    assert yaml_text.parse("a: &a [1, 2]\nb: [*a, *a]") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    assert yaml_text.parse("a: 999999999999999999\nb: 000000000000000000000007") == {"a": 10**18 - 1, "b": 7}
    assert yaml_text.parse("a: " + "[" * 48 + "]" * 48) is not None


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


@pytest.mark.parametrize("text", ["a\x85b", "\u2028", "\u2029 a", " a\x85", "off", "1e3", "a\nb"])
def test_a_text_comes_back_with_its_line_ends(text: str) -> None:
    for value in (text, {text: [text]}):
        assert yaml_text.parse(yaml_text.write(value)) == value


def test_an_empty_text_is_a_key_like_any_other() -> None:
    assert (
        yaml_text.write({"words": {"": "negative", "-1": "leave-out"}}) == "words:\n  '': negative\n  '-1': leave-out\n"
    )
    assert yaml_text.parse(yaml_text.inline({"": 1})) == {"": 1}
    assert yaml_text.inline({"": 1}) == "{'': 1}"
