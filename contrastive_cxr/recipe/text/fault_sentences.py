"""Pydantic's errors about a recipe as one sentence each: where, which value, what is right."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

import contrastive_cxr.recipe.public_sets as public_sets
import contrastive_cxr.recipe.text.synonyms as synonyms
import contrastive_cxr.recipe.text.yaml_text as yaml_text
from contrastive_cxr.errors import nearest
from contrastive_cxr.recipe.augmentation import FORMS
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.tasks import SHIPPED, Task

_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (put it in quotes where YAML reads it as something else)",
    "path_type": "a path (put it in quotes where YAML reads it as something else)",
    "tuple_type": "a list; write it as [a, b]",
    "dict_type": "a section; write key: value pairs",
    "model_type": "a section; write key: value pairs",
    "model_attributes_type": "a section; write key: value pairs",
}
_LIMITS = {
    "greater_than_equal": ("ge", "is too small; it is at least {}"),
    "greater_than": ("gt", "is too small; it is above {}"),
    "less_than_equal": ("le", "is too large; it is at most {}"),
    "less_than": ("lt", "is too large; it is below {}"),
    "too_short": ("min_length", "is too short; it has at least {} item"),
    "too_long": ("max_length", "is too long; it has at most {} items"),
}
_NO_ACCUMULATION = (
    "accumulating gradients would not enlarge the contrastive batch, whose pairs are those of one step; "
    "raise embed.images_per_class (with positives augmented: embed.batch_size), or set embed.memory_bank_size"
)
# The forms of a column's role, and what a wrong key of a mapping is called, as pydantic names them.
UNIONS = ("str", "Part", "[key]")
# Settings that a user has reason to look for, and why they are not there.
_ABSENT: dict[tuple[int | str, ...], str] = {
    ("embed", word): _NO_ACCUMULATION
    for word in ("accumulate", "accumulation", "accumulate_batches", "grad_accumulation")
}
_ABSENT |= {
    (phase, "class_weights"): f"it is {phase}.imbalance now; class_weights balanced is imbalance: class-weights"
    for phase in ("pretrain", "finetune")
}


def from_validation(error: ValidationError) -> list[str]:
    """One sentence for each error, in the recipe's order."""
    return [_sentence(item) for item in _joined(error.errors(include_url=False))]


def _joined(items: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The errors, those of a value that is neither true, false nor a word as one, with all that it may be."""
    words: dict[str, Any] = {}
    for item in items:
        *place, form = item["loc"]
        if form == "bool":
            words = {**item, "loc": tuple(place)}
        elif words and words["loc"] == tuple(place) and str(form).startswith("literal["):
            yield {**words, "type": "literal_error", "ctx": {"expected": f"'true', 'false', {item['ctx']['expected']}"}}
        else:
            yield dict(item)


def show(value: object) -> str:
    """A value as a sentence shows it: text in quotes, nothing long."""
    if isinstance(value, dict):
        return "a section"
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _sentence(item: dict[str, Any]) -> str:
    place = tuple(part for part in item["loc"] if part not in (*FORMS, *UNIONS))
    kind, context = str(item["type"]), item.get("ctx", {})
    name, given = _dotted(place), show(item["input"])
    if kind == "missing" and isinstance(place[-1], int):
        return f"`{_dotted(place[:-1])}`: {given} is too short; write it as [low, high]"
    if kind == "missing":
        return f"`{name}` is missing{_meaning(place)}"
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if isinstance(item["input"], str) and _model_at(place) is Task:
        return _unknown_task(name, item["input"])
    if kind in ("dict_type", "tuple_type") and _is_classes(place):
        return _classes_form(name, item["input"], whole=place[-1] == "classes")
    if kind in _KINDS:
        return f"`{name}`: {given} is not {_KINDS[kind]}"
    if kind in _LIMITS:
        limit, sentence = _LIMITS[kind]
        return f"`{name}`: {given} {sentence.format(context[limit])}"
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", str(context["expected"]))
        if place[0] == "data" and place[-1] == "source":
            words += public_sets.names()
        return f"`{name}`: {given} is not one of {', '.join(words)}{synonyms.meant(item['input'], words)}"
    if kind == "value_error":
        return f"`{name}`: {context['error']}"
    return f"`{name}`: {given}: {item['msg'][:1].lower()}{item['msg'][1:]}"


def _is_classes(place: Sequence[int | str]) -> bool:
    """Whether a place is a task's `classes`, or one class of them."""
    return any(
        place[-depth] == "classes" and _model_at(place[:-depth]) is Task for depth in (1, 2) if len(place) > depth
    )


def _classes_form(name: str, given: object, whole: bool) -> str:
    """How `task.classes` is written, with the names that were given; `whole`: all of it, not one class."""
    names = given if isinstance(given, list | tuple) else str(given).split(",")
    labels = [str(each).strip() for each in names if not isinstance(each, dict)]
    right = yaml_text.inline({label: [label] for label in labels} if whole else labels)
    form = "a mapping of each class to a list of its labels" if whole else "a list of labels"
    return f"`{name}`: {show(given)} is not {form}; write {right}, in a command '{name}={right}'"


def _unknown_task(name: str, given: str) -> str:
    return (
        f"`{name}`: task '{given}' is not a shipped one{nearest(given, SHIPPED)}; shipped are {', '.join(SHIPPED)}; "
        "or write classes and their labels"
    )


def _unknown_key(place: tuple[int | str, ...]) -> str:
    *parents, key = place
    section = _model_at(parents)
    where = f"of {_dotted(parents)}" if parents else "of a recipe"
    explained = _ABSENT.get(place)
    if explained:
        return f"`{_dotted(place)}` is not a setting: {explained}"
    if section is None:
        return f"`{_dotted(place)}` is not a setting {where}; take it out"
    word = synonyms.key(str(key), section.model_fields)
    hint = f" (did you mean '{word}'?)" if word else nearest(str(key), section.model_fields)
    if not hint:
        below = list(_paths(section))
        word = synonyms.key(str(key), [path.rpartition(".")[2] for path in below]) or str(key)
        deeper = [path for path in below if path.rpartition(".")[2] == word]
        hint = f" (did you mean '{_dotted((*parents, deeper[0]))}'?)" if deeper else ""
    return f"`{_dotted(place)}` is not a setting {where}{hint}; it has {', '.join(section.model_fields)}"


def _dotted(place: Sequence[int | str]) -> str:
    """`("data", "join", 0, "root")` as `data.join.0.root`, the way an override names it."""
    return ".".join(str(part) for part in place)


def _meaning(place: Sequence[int | str]) -> str:
    section = _model_at(place[:-1])
    field = section.model_fields.get(str(place[-1])) if section else None
    return f": {field.description}" if field and field.description else ""


def _model_at(place: Sequence[int | str]) -> type[BaseModel] | None:
    """The model of the section at `place`, None where there is none."""
    model: type[BaseModel] | None = Recipe
    for part in place:
        if isinstance(part, int):
            continue
        if model is None or part not in model.model_fields:
            return None
        model = _section_type(model.model_fields[part].annotation)
    return model


def _section_type(annotation: object) -> type[BaseModel] | None:
    """The model inside `X`, `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _section_type(part))), None)


def _paths(model: type[BaseModel]) -> Iterator[str]:
    """Dotted names of all settings below `model`."""
    for name, field in model.model_fields.items():
        inner = _section_type(field.annotation)
        yield name
        if inner is not None:
            yield from (f"{name}.{deeper}" for deeper in _paths(inner))
