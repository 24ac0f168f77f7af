"""The page of similar cases in a real browser: it draws, it fits, and text in it stays text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr import explain as maps
from contrastive_cxr.explain.overlays import FOR
from contrastive_cxr.report.pages import search_page

pytestmark = pytest.mark.slow
EVIL = "<script>window.ran = true</script><img src=x onerror='window.ran = true'>"


def picture(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), shade).save(buffer, format="PNG")
    return buffer.getvalue()


def layer() -> bytes:
    """A map of the full colour everywhere, as `explain.layer` makes it."""
    return maps.layer(np.ones((4, 4)), 64)


def facts() -> dict[str, Any]:
    """Two images with five neighbours each, the last without a picture; every text of the user's is markup."""
    near = [
        {"position": place, "id": place, "label": EVIL, "patient": EVIL, "path": f"{place}{EVIL}.png", "file": EVIL,
         "distance": 0.1 * place}
        for place in range(5)
    ]  # fmt: skip
    query = {
        "file": f"{EVIL}.png", "inside": False, "neighbours": near, "percentile": 42.0, "words": "",
        "unfamiliar": False,
        "agreement": {"label": EVIL, "votes": 5, "of": 5},
    }  # fmt: skip
    return {
        "version": 1, "gallery": EVIL, "rows": 1234, "kind": "exact", "recall": None, "model": "a" * 64, "k": 5,
        "where": {"label": [EVIL]}, "threshold": 99.0, "familiar_n": 100, "notes": [EVIL],
        "queries": [query, query | {"unfamiliar": True, "percentile": 99.7, "words": "4 of the 5"}],
    }  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = {search_page.name(query): picture(90) for query in range(2)}
    for query in range(2):
        for place in range(4):
            pictures[search_page.name(query, place)] = picture(40 * place)
            pictures[search_page.name(query, place, "toward")] = layer()
    path = tmp_path_factory.mktemp("page") / "page.html"
    reasons = {search_page.name(0, 0, "back"): f"No map: {EVIL}", search_page.name(0, 4): f"Not shown. {EVIL}."}
    path.write_text(search_page.page(facts(), pictures, reasons), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1200, 400])
def test_it_draws_it_fits_and_text_stays_text(browser: Any, file: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    wrong: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert page.evaluate("window.ran") is None
    assert page.locator("script").count() == 1
    assert page.locator("img[onerror]").count() == 0
    assert EVIL in page.locator("#query-1 h2").inner_text()
    assert page.locator("figure.near").count() == 10
    assert page.locator(".near + .gone, figure .gone").count() == 2
    told = page.locator("#query-1 .column > .gone").all_inner_texts()
    assert len(told) == 6, "each missing map has a reason"
    assert told[0] == f"No map: {EVIL}"
    assert page.locator("#query-1 figure .gone").inner_text() == f"Not shown. {EVIL}."
    if width == 1200:  # pictures, words and maps of all columns stand in the same rows
        for kind in (".near img, .near .gone", ".words", ".column > :nth-child(3)"):
            tops = "(kind) => new Set([...document.querySelectorAll('#query-1 .column:not(.query)')].map(column => "
            tops += "Math.round(column.querySelector(kind).getBoundingClientRect().top))).size"
            assert page.evaluate(tops, kind) == 1
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.locator("#query-1 .flag").count() == 0
    assert page.locator("#query-2 .flag").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    if width == 1200:  # five neighbours, the number found unless told, are seen without scrolling
        assert page.evaluate(
            "[...document.querySelectorAll('.cases')].every(row => row.scrollWidth <= row.clientWidth)"
        )
    assert not wrong
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    page.close()


def colour(page: Any, selector: str) -> tuple[int, int, int]:
    """The colour that is drawn in the middle of what the selector finds."""
    with Image.open(io.BytesIO(page.locator(selector).first.screenshot())) as shot:
        red, green, blue = shot.convert("RGB").getpixel((shot.width // 2, shot.height // 2))
    return red, green, blue


def test_the_maps_are_laid_over_the_image_and_fade_with_the_opacity(browser: Any, file: Path) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(file.as_uri())
    drawn = "#query-1 figure.map .stack"
    full = colour(page, drawn)
    expected = [round(0.25 * 90 + 0.75 * strong) for strong in FOR]  # three quarters of orange over grey 90
    assert np.abs(np.subtract(full, expected)).max() <= 6
    page.locator("form.strength [name=opacity]").fill("50")
    half = colour(page, drawn)
    assert np.abs(np.subtract(half, np.mean([expected, [90] * 3], axis=0))).max() <= 6
    assert "opacity 50 %" in page.locator("form.strength output").inner_text()
    page.locator("form.strength [name=opacity]").fill("0")
    assert np.abs(np.subtract(colour(page, drawn), 90)).max() <= 2, "the image alone"
    page.close()


def test_a_page_without_any_map_offers_no_control(browser: Any, tmp_path: Path) -> None:
    pictures = {search_page.name(query): picture(90) for query in range(2)}
    path = tmp_path / "page.html"
    path.write_text(search_page.page(facts(), pictures, {search_page.name(0, 0, "toward"): "No map: none."}))
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator("form.strength").count() == 0
    assert page.locator("#query-1 .column > .gone").first.inner_text() == "No map: none."
    page.close()
