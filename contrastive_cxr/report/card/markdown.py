"""The card as Markdown; texts of the author, file names and labels are plain text in it and never markup."""

from __future__ import annotations

import html
import re

from contrastive_cxr.report.card.found import Table
from contrastive_cxr.report.card.layout import Card, Item

NOT_STATED = "*not stated*"
_MARKS = re.compile(r"([\\`*_\[\]|~$^])")
_START = re.compile(r"^([-+=#:]|\d+(?=[.)]))")
_LINK = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)


def markdown(card: Card) -> str:
    """`model-card.md`: headings, paragraphs and tables (GitHub's); items without content say so."""
    stated, every = card.counts
    lines = [
        f"# Model card: {escape(card.name)}",
        "",
        "Laid out after CLAIM 2024 (doi 10.1148/ryai.240300) and TRIPOD+AI (doi 10.1136/bmj-2023-078378); their item "
        f"numbers stand behind each name. {stated} of {every} items are stated.",
        "",
    ]
    for title, items in card.sections:
        lines += [f"## {title}", ""]
        for item in items:
            lines += _item(item)
    return "\n".join(lines).rstrip("\n") + "\n"


def escape(text: str) -> str:
    """`text` on one line; everything that Markdown or HTML would read as markup is escaped.

    Examples
    --------
    >>> print(escape("a|b <script> `c` *d*"))
    a\\|b &lt;script&gt; \\`c\\` \\*d\\*
    """
    plain = html.escape(" ".join(text.split()), quote=False)
    marked = _LINK.sub(r"\\", _MARKS.sub(r"\\\1", plain))
    number = _START.match(marked)
    if number and number.group(1).isdigit():
        return f"{number.group(1)}\\{marked[number.end() :]}"
    return f"\\{marked}" if number else marked


def _item(item: Item) -> list[str]:
    lines = [f"### {item.title}{f' ({item.numbers})' if item.numbers else ''}", ""]
    if not item.stated:
        return [*lines, NOT_STATED, ""]
    for line in item.lines:
        lines += [escape(line), ""]
    for table in item.tables:
        lines += [*_table(table), ""]
    return lines


def _table(table: Table) -> list[str]:
    rows = [_row(table.columns), _row(["---"] * len(table.columns), raw=True), *(_row(row) for row in table.rows)]
    return rows


def _row(cells: list[str] | tuple[str, ...], raw: bool = False) -> str:
    return f"| {' | '.join(cell if raw else escape(cell) for cell in cells)} |"
