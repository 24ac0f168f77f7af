"""The directive `error-index`: the errors that the package raises, read from its source when the site is built."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import contrastive_cxr

PACKAGE = Path(contrastive_cxr.__file__).parent
CODES = {"RequestError": 2, "CcxrError": 1}


class Message(NamedTuple):
    """An error: the folder that raises it, its exit code, and its text with the parts in braces that vary."""

    room: str
    code: int
    text: str


def literal(node: ast.expr) -> str | None:
    """The text of a string or an f-string, its variable parts as `{name}`; None of anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else f"{{{shortened(part)}}}"  # type: ignore[misc]
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = literal(node.left), literal(node.right)
        return None if left is None and right is None else (left or "…") + (right or "…")
    return None


def shortened(part: ast.expr) -> str:
    """A variable part by its last name, as `folder` of `recipe.out.folder`; `…` of anything longer."""
    value = part.value if isinstance(part, ast.FormattedValue) else part
    if isinstance(value, ast.Attribute):
        return value.attr
    return value.id if isinstance(value, ast.Name) else "…"


def raised(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Exit code and text of each error that is made or yielded as a fault in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CODES:
            for text in filter(None, map(literal, node.args)):
                yield CODES[node.func.id], text
        elif isinstance(node, ast.Yield) and node.value is not None and (text := literal(node.value)):
            yield 2, text


def messages() -> list[Message]:
    """All errors with at least four words, by folder and text; each once."""
    found = set()
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for code, text in raised(ast.parse(file.read_text(encoding="utf-8"))):
            if len(text.split()) >= 4:
                found.add(Message(room, code, " ".join(text.split())))
    return sorted(found, key=lambda each: (each.room, each.text.lstrip("`'{").lower()))


def page() -> str:
    """The errors as Markdown: a heading a folder, a table of texts."""
    lines: list[str] = []
    last = None
    for each in messages():
        if each.room != last:
            lines += ["", f"## {each.room}", "", "| what is said | exit code |", "| --- | --- |"]
            last = each.room
        text = each.text.replace("``", "`").replace("|", "\\|")
        for sign in "*_<[$#":
            text = text.replace(sign, f"\\{sign}")
        lines.append(f"| {text.replace('`', chr(92) + '`')} | {each.code} |")
    return "\n".join(lines)


class ErrorIndex(SphinxDirective):
    """Puts the tables in the directive's place."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(page(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("error-index", ErrorIndex)
    return {"parallel_read_safe": True}
