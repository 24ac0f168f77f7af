"""The directive `recipe-fields`: every field of a recipe, read from the pydantic models when the site is built."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from contrastive_cxr.recipe.text.field_words import FieldWords, every_section


def cell(text: str) -> str:
    """A text inside a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def line(field: FieldWords) -> str:
    """A field's line of the table: field, meaning, type, unit, default."""
    meaning = re.sub(r"docs/reference/([a-z-]+)\.md", r"[\1.md](\1.md)", cell(field.meaning).replace("*", "\\*"))
    return f"| `{field.path}` | {meaning} | {cell(field.type)} | {field.unit} | {cell(field.default)} |"


def page() -> str:
    """All sections as Markdown."""
    lines = []
    for section in every_section():
        depth = "##" if "." not in section.path else "###"
        lines += [f"{depth} {section.path or 'The top level'}", "", section.meaning, ""]
        lines += ["| field | meaning | type and allowed words | unit | default |", "| --- | --- | --- | --- | --- |"]
        lines += [*map(line, section.fields), ""]
    return "\n".join(lines)


class RecipeFields(SphinxDirective):
    """Puts the tables in the directive's place."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(page(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("recipe-fields", RecipeFields)
    return {"parallel_read_safe": True}
