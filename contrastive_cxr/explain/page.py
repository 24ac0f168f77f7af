"""`explain.html`: one self-contained page, pictures side by side."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastive_cxr.html_templates import environment, labelled

VERSION = 1


def render(facts: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """The page, from the contents of `explain.json` and the PNGs that it names.

    Parameters
    ----------
    facts : mapping
        As `inference.explain` makes them; words in it are escaped.
    files : mapping of str to bytes
        Name: content.

    Returns
    -------
    str
        HTML that needs no other file.
    """

    def address(name: str) -> str:
        return f"data:image/png;base64,{base64.b64encode(files[name]).decode()}"

    template = environment(Path(__file__).parent).get_template("explain.html.j2")
    return labelled(template.render(facts=facts, address=address))
