"""Formulas as MathML, made when the site is built: they need no script and no network to be read."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

# Words after the three signs of a block that a test reads and no lexer knows: docs/reference/inputs.md.
PLAIN = ("files", "rows", "said", "list", "csv")


def inline(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    translator.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer, and the words of blocks that are plain text."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    for word in PLAIN:
        app.add_lexer(word, TextLexer)
    return {"parallel_read_safe": True}
