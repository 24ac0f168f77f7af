"""How every page is made from a Jinja template: escaped, loud about a missing name, and with one script of our own.

The parts that all pages share (colours, the enlargement, the script) lie in `html_parts/`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_PARTS = Path(__file__).parent / "html_parts"
_TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
_HEAD = re.compile(r"<thead>.*?</thead>", re.DOTALL)
_TITLE = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)
_ROW = re.compile(r"<tr.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<t[dh](?=[ >])")
_TAG = re.compile(r"<[^>]*>")


def environment(folder: Path) -> Environment:
    """An environment over the templates of a folder and the shared parts.

    Templates have two names: `script`, the text of the page's one script, and `policy`, a Content-Security-Policy under
    which a browser runs this script alone and asks no other place for anything.
    """
    made = Environment(
        loader=FileSystemLoader([folder, _PARTS]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (_PARTS / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    made.globals |= {
        "script": Markup(script),  # nosec B704: a file of this package, without a word of the user's
        "policy": f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
    }
    return made


def labelled(page: str) -> str:
    """The page with the column's title on each cell (`data-label`), which a narrow screen shows beside the value.

    Only markup of templates is touched: text of the user's has no `<` of its own, since it is escaped.

    Examples
    --------
    >>> page = "<table><thead><tr><th></th><th>n</th></tr></thead><tr><th>a</th><td>1</td></tr></table>"
    >>> labelled(page).split("</thead>")[1]
    '<tr><th>a</th><td data-label="n">1</td></tr></table>'
    """
    return _TABLE.sub(lambda found: _labelled_table(found.group()), page)


def _labelled_table(table: str) -> str:
    head = _HEAD.search(table)
    if head is None:
        return table
    titles = [_TAG.sub("", title).strip().replace('"', "&#34;") for title in _TITLE.findall(head.group())]
    start = head.end()
    return table[:start] + _ROW.sub(lambda row: _labelled_row(row.group(), titles), table[start:])


def _labelled_row(row: str, titles: list[str]) -> str:
    names = iter(titles)

    def cell(found: re.Match[str]) -> str:
        title = next(names, "")
        return f'{found.group()} data-label="{title}"' if title else found.group()

    return _CELL.sub(cell, row)
