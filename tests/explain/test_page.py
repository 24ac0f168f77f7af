"""The page: whole, self-contained, escaped."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from contrastive_cxr.explain import VERSION, grey, render

RAW = "<b>raw</b>"
MAP = {"picture": "a.png", "layer": "a.png", "image": "a.png", "even": False}


def facts() -> dict[str, Any]:
    near = {
        "file": f"{RAW}.png",
        "label": RAW,
        "cosine": 0.5,
        "distance": 0.00456,
        "toward": MAP | {"exact": True, "unplaced": 0.0},
    }
    shown = {
        "file": f"{RAW}.png",
        "picture": "a.png",
        "decided": RAW,
        "target": RAW,
        "probabilities": {RAW: 1.0},
        "gradcam": MAP | {"empty": False},
        "attention": MAP,
        "neighbours": [near | {"back": None}, near | {"back": MAP | {"even": True}}],
    }
    return {
        "version": VERSION,
        "run": RAW,
        "phase": RAW,
        "backbone": RAW,
        "image_size": 8,
        "sha256": "0" * 64,
        "images": [shown],
        "ascent": {"seed": 0, "steps": 1, "rate": 0.1, "jitter": 1, "blur": 1.0, "blur_every": 1, "pull": 0.0},
        "maximisation": [{"class": RAW, "before": 0.0, "after": 1.0, "picture": "a.png"}],
        "notes": [RAW],
    }


def test_words_from_outside_are_escaped_everywhere() -> None:
    page = render(facts(), {"a.png": grey(np.zeros((8, 8)))})
    assert RAW not in page
    assert page.count("&lt;b&gt;raw&lt;/b&gt;") >= 10


def test_it_needs_nothing_else_and_says_what_is_gone() -> None:
    page = render(facts(), {"a.png": grey(np.zeros((8, 8)))})
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(addresses) == 11, "image, maximisation, five maps of an image and its layer each, the even one without"
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert not re.search(r"//[a-z]", re.sub(r'data:[^"]*', "", page))
    assert page.count("image not readable here") == 1
    assert page.count("No colours: no place of this image stands out") == 1


def test_a_small_distance_is_not_shown_as_zero() -> None:
    assert "distance 0.0046" in render(facts(), {"a.png": grey(np.zeros((8, 8)))})


def test_an_embedding_alone_has_no_classes_on_its_page() -> None:
    given = facts() | {"maximisation": []}
    given["images"][0] |= {"decided": None, "probabilities": {}, "gradcam": None, "attention": None, "neighbours": []}
    page = render(given, {"a.png": grey(np.zeros((8, 8)))})
    assert "prediction: <b>" not in page
    assert 'id="maximisation"' not in page
    assert page.count("<img") == 1


def test_the_legend_and_the_colour_bar_come_before_the_images() -> None:
    page = render(facts(), {"a.png": grey(np.zeros((8, 8)))})
    assert page.index('id="reading"') < page.index('class="colourbar"') < page.index('id="image-1"')
    assert "not where disease is" in page
