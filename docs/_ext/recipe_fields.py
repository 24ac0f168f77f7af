"""The directive `recipe-fields`: every field of a recipe, read from the pydantic models when the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

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


def unit(name: str, schema: Schema) -> str:
    """The unit of a field, or a dash; words and switches have none."""
    plain = {"integer", "number", "array"} & {part.get("type", "") for part in flat(schema)}
    return next((text for pattern, text in UNITS if plain and re.search(pattern, name)), "-")


def flat(schema: Schema) -> Iterator[Schema]:
    """The alternatives of a schema, one after the other."""
    parts = schema.get("anyOf") or schema.get("oneOf")
    if not parts:
        yield schema
    for part in parts or ():
        yield from flat(part)


def type_words(schema: Schema, names: dict[str, str]) -> str:
    """The type in words, with the allowed words or the range; sections are named by the title that `names` has."""
    return " or ".join(_one(part, names) for part in flat(schema))


def _one(schema: Schema, names: dict[str, str]) -> str:
    if "$ref" in schema:
        return f"section, its fields under {names[schema['$ref'].rsplit('/', 1)[-1]]}"
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
    """The range of a number: `, at least 1`, or an empty text."""
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


def default_words(name: str, schema: Schema, required: bool) -> str:
    """The default as it stands in a recipe; a section's own fields have theirs."""
    if required:
        return "must be given"
    if "default" not in schema:
        return "-"
    text = yaml.safe_dump(schema["default"], default_flow_style=True, width=1000).strip().removesuffix("...").strip()
    return f"`{text}`"


def cell(text: str) -> str:
    """A text inside a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("*", "\\*")


def table(path: str, section: Schema, names: dict[str, str]) -> list[str]:
    """The lines of one section's table: field, meaning, type, unit, default."""
    lines = ["| field | meaning | type and allowed words | unit | default |", "| --- | --- | --- | --- | --- |"]
    for name, schema in section["properties"].items():
        full = f"{path}.{name}" if path else name
        described = re.sub(r"docs/reference/([a-z-]+)\.md", r"[\1.md](\1.md)", cell(schema.get("description", "")))
        required = name in section.get("required", ())
        lines.append(
            f"| `{full}` | {described} | {cell(type_words(schema, names)).replace(chr(92) + '*', '*')} | "
            f"{unit(name, schema)} | {cell(default_words(name, schema, required)).replace(chr(92) + '*', '*')} |"
        )
    return lines


def sections(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Every section of a recipe with its path, from the top; one that came before with equal fields is not repeated."""
    seen: list[Schema] = []
    waiting: list[tuple[str, Schema]] = [("", schema)]
    while waiting:
        path, section = waiting.pop(0)
        if section in seen:
            continue
        seen.append(section)
        yield path, section
        inner = []
        for name, field in section["properties"].items():
            for key in references(field):
                inner.append((f"{path}.{name}" if path else name, schema["$defs"][key]))
        waiting[:0] = inner


def references(field: Schema) -> Iterator[str]:
    """Names of the sections that a field may hold, also in a list."""
    for part in flat(field):
        if "$ref" in part:
            yield part["$ref"].rsplit("/", 1)[-1]
        elif isinstance(part.get("items"), dict):
            yield from references(part["items"])


def page() -> str:
    """All sections as Markdown."""
    schema = Recipe.model_json_schema()
    found = list(sections(schema))
    names = {section["title"]: f"`{path}`" for path, section in reversed(found)}
    lines = []
    for path, section in found:
        depth = "##" if "." not in path else "###"
        lines += [f"{depth} {path or 'The top level'}", ""]
        lines += [
            section.get("description", "").split("\n\n")[0].replace("\n", " "),
            "",
            *table(path, section, names),
            "",
        ]
    return "\n".join(lines)


class RecipeFields(SphinxDirective):
    """Puts the tables in the directive's place."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(page(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("recipe-fields", RecipeFields)
    return {"parallel_read_safe": True}
