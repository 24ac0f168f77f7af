"""Every field of a recipe in words: type, allowed words, range, unit and default, read from the pydantic models.

The reference page and `ccxr recipes fields` are made of this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import contrastive_cxr.recipe.text.synonyms as synonyms
import contrastive_cxr.recipe.text.yaml_text as yaml_text
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe.schema import Recipe

Schema = dict[str, Any]
# The unit of a field by its name; the first that fits counts. A learning rate or a weight has none.
UNITS = (
    (r"(^|_)(epochs)$|^validate_every$", "epochs"),
    (r"_minutes$", "minutes"),
    (r"_mib$", "MiB"),
    (r"^(image_size|cache_size|initial_image_size)$", "pixels"),
    (r"^(batch_size|images_per_class|eval_batch_size|images)$", "images"),
    (r"^(accumulate|steps_per_epoch)$", "steps"),
    (r"^classes_per_batch$", "classes"),
    (r"^rotate$", "degrees"),
    (r"^(k|vote)$", "neighbours"),
    (r"^memory_bank_size$", "embeddings"),
    (r"^workers$", "threads"),
    (r"^resamples$", "resamples"),
    (r"^(val|test|border_crop|erase_area|shift|crop|frame|resolution|sigma|probability)$", "share, 0 to 1"),
    (r"^(flip_.*|erase|equalise|blur|rate|.*_rate|dropout|drop_path|drop_rates)$", "probability, 0 to 1"),
    (r"^(brightness|noise)$", "grey value, range 0 to 1"),
    (r"^(sensitivity|specificity)$", "rate, 0 to 1"),
    (r"^(ct)$", "HU"),
    (r"^(margin)$", "distance, 0 to 2"),
)
WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}


class FieldWords(NamedTuple):
    """A field: its path such as `pretrain.optimiser.lr`, and the rest in words; `unit` is `-` where there is none."""

    path: str
    meaning: str
    type: str
    unit: str
    default: str


class SectionWords(NamedTuple):
    """A section: its path (`` the top level), what it is, and its fields."""

    path: str
    meaning: str
    fields: tuple[FieldWords, ...]


def every_section() -> list[SectionWords]:
    """All sections from the top; one that came before with equal fields is not repeated, but pointed to."""
    schema = Recipe.model_json_schema()
    found = list(_sections(schema))
    names = {section["title"]: f"`{path}`" for path, section in reversed(found)}
    return [_in_words(path, section, names) for path, section in found]


def some_sections(place: str) -> list[SectionWords]:
    """The section at `place` (`pretrain`, `finetune.optimiser`) and the sections in it; of a field the field alone.

    Raises
    ------
    RequestError
        There is no such section or field.
    """
    schema = Recipe.model_json_schema()
    section, path = schema, ""
    for name in filter(None, place.split(".")):
        if name.isdecimal():
            continue  # data.join.0.root: a list's sections are alike
        if name not in section["properties"]:
            raise RequestError(_no_field(place, name, path, section))
        inner = list(_references(section["properties"][name]))
        if not inner:
            only = section | {"properties": {name: section["properties"][name]}}
            return [_in_words(path, only, {})]
        section, path = schema["$defs"][inner[0]], f"{path}.{name}" if path else name
    found = list(_sections(section | {"$defs": schema["$defs"]}, path))
    names = {each["title"]: f"`{inside}`" for inside, each in reversed(found)}
    return [_in_words(inside, each, names) for inside, each in found]


def _no_field(place: str, name: str, path: str, section: Schema) -> str:
    known = list(section["properties"])
    word = synonyms.key(name, known)
    hint = f" (did you mean '{word}'?)" if word else nearest(name, known)
    where = f"section {path}" if path else "a recipe"
    return f"ccxr recipes fields {place}: {where} has no '{name}'{hint}; it has {', '.join(known)}"


def _in_words(path: str, section: Schema, names: dict[str, str]) -> SectionWords:
    """A section of the schema in words; other sections are named by the title that `names` has."""
    required = section.get("required", ())
    fields = tuple(
        FieldWords(
            f"{path}.{name}" if path else name,
            schema.get("description", ""),
            type_words(schema, names),
            unit(name, schema),
            default_words(schema, name in required),
        )
        for name, schema in section["properties"].items()
    )
    return SectionWords(path, section.get("description", "").split("\n\n")[0].replace("\n", " "), fields)


def unit(name: str, schema: Schema) -> str:
    """The unit of a field, or a dash; words and switches have none."""
    plain = {"integer", "number", "array"} & {part.get("type", "") for part in _flat(schema)}
    return next((text for pattern, text in UNITS if plain and re.search(pattern, name)), "-")


def type_words(schema: Schema, names: dict[str, str]) -> str:
    """The type in words, with the allowed words or the range."""
    return " or ".join(_one(part, names) for part in _flat(schema))


def default_words(schema: Schema, required: bool) -> str:
    """The default as it stands in a recipe, in backticks; a section's own fields have theirs."""
    if required:
        return "must be given"
    return f"`{yaml_text.inline(schema['default'])}`" if "default" in schema else "-"


def _flat(schema: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, one after the other."""
    parts = schema.get("anyOf") or schema.get("oneOf")
    if not parts:
        yield schema
    for part in parts or ():
        yield from _flat(part)


def _one(schema: Schema, names: dict[str, str]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"section, its fields under {names[name]}" if name in names else "section"
    if words := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{word}`" for word in words)
    if schema.get("type") == "array":
        if pair := schema.get("prefixItems"):
            return f"list of {len(pair)}: {_one(pair[0], names)}"
        return f"list of {type_words(schema.get('items', {}), names)}"
    if schema.get("type") == "object":
        inner = schema.get("additionalProperties")
        return "mapping" if not isinstance(inner, dict) else f"mapping to {type_words(inner, names)}"
    word = "path" if schema.get("format") == "path" else WORDS.get(schema.get("type", ""), "any")
    return word + bounds(schema)


def bounds(schema: Schema) -> str:
    """The range of a number: ` (at least 1)`, or an empty text."""
    found = [
        f"{word} {schema[key]:g}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    return f" ({', '.join(found)})" if found else ""


def _sections(schema: Schema, start: str = "") -> Iterator[tuple[str, Schema]]:
    """Every section at and below a schema with its path; `$defs` holds those that it refers to."""
    seen: list[Schema] = []
    waiting: list[tuple[str, Schema]] = [(start, schema)]
    while waiting:
        path, section = waiting.pop(0)
        if section in seen:
            continue
        seen.append(section)
        yield path, section
        inner = []
        for name, field in section["properties"].items():
            for key in _references(field):
                inner.append((f"{path}.{name}" if path else name, schema["$defs"][key]))
        waiting[:0] = inner


def _references(field: Schema) -> Iterator[str]:
    """Names of the sections that a field may hold, also in a list."""
    for part in _flat(field):
        if "$ref" in part:
            yield part["$ref"].rsplit("/", 1)[-1]
        elif isinstance(part.get("items"), dict):
            yield from _references(part["items"])
