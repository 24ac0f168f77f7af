"""The page of similar cases: each image, its neighbours, their distances, and which regions make them similar."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from contrastive_cxr.html_templates import environment, labelled
from contrastive_cxr.report.figures.drawing import encoded

SIDE = 300  # pixels of a picture, shown at some 160: the image and five neighbours fit a page


def name(query: int, neighbour: int | None = None, side: str = "") -> str:
    """Key of a picture: an image, its neighbour, or the map of one of the two (`toward`, `back`)."""
    return "-".join(str(part) for part in ("query", query, neighbour, side) if part not in (None, ""))


def page(facts: Mapping[str, Any], pictures: Mapping[str, bytes], reasons: Mapping[str, str] | None = None) -> str:
    """The page, self-contained; file names, labels and patients are plain text in it, never markup.

    Parameters
    ----------
    facts : as `inference.search` makes them (docs/reference/retrieval.md)
    pictures : {`name(...)`: the bytes of a picture file}; a map is transparent (RGBA) and is laid over its image
    reasons : {`name(...)`: why this picture or map is missing}
    """
    shown = {key: small(content) for key, content in pictures.items()}
    why = reasons or {}
    template = environment(Path(__file__).parent).get_template("search.html.j2")
    return labelled(
        template.render(
            facts=facts,
            picture=lambda *key: shown.get(name(*key)),
            mapped=any(key.endswith(("toward", "back")) for key in pictures),
            reason=lambda *key: why.get(name(*key), "Not made."),
            percent=percent,
        )
    )


def percent(value: float) -> str:
    """A percentile in words.

    Examples
    --------
    >>> percent(100.0), percent(42.4), percent(99.6)
    ('all', '42 %', '99.6 %')
    """
    if value >= 100:
        return "all"
    return f"{value:.1f} %" if value > 99 else f"{value:.0f} %"


def small(content: bytes) -> str:
    """A picture as data address of a JPEG, a transparent map as one of a WebP; `SIDE` pixels on its longer side."""
    with Image.open(io.BytesIO(content)) as opened:
        clear = opened.mode == "RGBA"
        picture = opened.convert("RGBA" if clear else "RGB")
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    return encoded(resized, "webp", 80) if clear else encoded(resized, "jpeg", 82)
