"""The report in a real browser: filters, hover pictures, the enlargement, narrow screens, colours and axe-core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contrastive_cxr import report
from tests.report.small import write_run

pytestmark = pytest.mark.slow
SHOWN = "#gallery figure:not([hidden])"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("report"))
    arrays = run / "finetune" / "arrays"
    truth, given = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy")
    rows = report.case_rows(given.max(1), given.argmax(1), truth)
    np.save(arrays / "gradcam.npy", np.full((len(rows), 24, 24, 3), 90, np.uint8))
    np.save(arrays / "gradcam_rows.npy", np.array([(row, 1) for row in rows]))
    return report.write(run)


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert not wrong


def shown(page: Any) -> list[dict[str, str]]:
    """The data of the scored images that can be seen, in their order."""
    return list(
        page.evaluate("[...document.querySelectorAll('#gallery figure:not([hidden])')].map(e => ({...e.dataset}))")
    )


def test_filters_by_prediction_class_confidence_and_name(page: Any) -> None:
    every = shown(page)
    assert len(every) == 40
    wrong = [each for each in every if each["true"] != each["predicted"]]
    page.select_option("#filters [name=which]", "wrong")
    assert shown(page) == wrong
    page.select_option("#filters [name=true]", label="covid")
    assert shown(page) == [each for each in wrong if each["true"] == "1"]
    page.click("#filters [type=reset]")
    page.locator(SHOWN).nth(39).wait_for(state="attached")
    page.locator("#filters [name=low]").fill("45")
    kept = [each for each in every if float(each["sure"]) >= 0.45]
    assert shown(page) == kept
    assert 0 < len(kept) < 40
    assert f"of {len(kept)} that fit, 40 in all" in page.locator("#filters output").inner_text()
    page.select_option("#filters [name=order]", "unsure")
    sure = [float(each["sure"]) for each in shown(page)]
    assert sure == sorted(sure)
    page.locator("#filters [name=low]").fill("0")
    page.fill("#filters [name=text]", "TEST7.")
    assert [each["name"] for each in shown(page)] == ["test7.png"]


def test_enter_enlarges_arrows_go_on_and_escape_closes(page: Any) -> None:
    names = [each["name"] for each in shown(page)]
    first = page.locator("#gallery figure:not([hidden]) [role=button]").first
    first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    assert dialog.locator("h2").inner_text() == names[0]
    assert dialog.locator("meter").count() == 3, "a probability of each class"
    assert dialog.locator("figure.map img").count() == 1, "Grad-CAM"
    assert dialog.locator("figure.near").count() == 6
    assert dialog.locator(".large img").bounding_box()["width"] > 300
    page.keyboard.press("ArrowRight")
    assert dialog.locator("h2").inner_text() == names[1]
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("h2").inner_text() == names[0]
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.closest('figure').dataset.name") == names[0], "the focus comes back"


def test_an_image_without_pictures_of_neighbours_names_them(page: Any) -> None:
    page.locator("#gallery figure:not([data-case]) [role=button]").first.click()
    lines = page.locator("dialog[open] .beside li").all_inner_texts()
    assert sum("distance" in line and "train" in line for line in lines) == 4


def test_the_map_shows_pictures_filters_and_enlarges(page: Any) -> None:
    page.locator("#map circle").first.hover(force=True)
    card = page.locator("#map .hover")
    assert card.is_visible()
    assert "test" in card.inner_text()
    assert card.locator("img").evaluate("image => image.naturalWidth") == 64
    drawn = "[...document.querySelectorAll('#map circle')].filter(e => e.style.display !== 'none')"
    drawn += ".map(e => ({...e.dataset}))"
    assert len(page.evaluate(drawn)) == 40
    page.uncheck("#map-filters [value='0'][name=class]")
    assert {each["true"] for each in page.evaluate(drawn)} == {"1", "2"}
    page.check("#map-filters [name=wrong]")
    assert all("predicted rightly" not in each["words"] for each in page.evaluate(drawn))
    page.locator("#map svg").focus()
    page.keyboard.press("ArrowRight")
    assert card.is_visible()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").count() == 1


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_no_table_is_cut_and_nothing_scrolls_sideways(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    cut = "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert page.evaluate(cut) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_without_scripts_everything_is_there(browser: Any, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#gallery figure").count() == 40
    assert page.locator("#gallery figure").last.is_visible()
    assert not page.locator("#filters").is_visible(), "what only a script can do is not offered"
    assert "test0.png" in page.locator("#gallery").text_content()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(axe: Callable[[Path, str], list[str]], file: Path, scheme: str) -> None:
    assert axe(file, scheme) == []
