"""The page of `ccxr explore` in a real browser, clicked and typed at."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contrastive_cxr.explore.answers import Explorer
from contrastive_cxr.explore.served import around
from contrastive_cxr.server.access import Access
from contrastive_cxr.server.limits import Limits
from tests.browser.conftest import chromium
from tests.explore.conftest import explored_copy
from tests.server.conftest import running

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-this-test"
NO_WEBGL = """HTMLCanvasElement.prototype.getContext = (real => function (kind, ...rest) {
  return kind.startsWith('webgl') ? null : real.call(this, kind, ...rest);
})(HTMLCanvasElement.prototype.getContext);"""


@pytest.fixture(scope="module")
def gl_browser() -> Iterator[Any]:
    """Chromium with WebGL in software."""
    with chromium("--use-angle=swiftshader-webgl", "--ignore-gpu-blocklist") as opened:
        yield opened


@pytest.fixture(scope="module")
def explored(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    return explored_copy(finished, tmp_path_factory)


@pytest.fixture(scope="module")
def address(explored: Explorer) -> Iterator[str]:
    with running(around(explored, Limits(rate=0))) as found:
        yield f"http://127.0.0.1:{found.port}/"


@pytest.fixture
def page(gl_browser: Any, address: str) -> Iterator[Any]:
    """The page, drawn; what it asks elsewhere and what goes wrong in it fails the test."""
    context = gl_browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    opened = context.new_page()
    wrong: list[str] = []
    own = (address, "blob:", "data:")
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    expected = "Failed to load resource"  # what the browser says of each refused image
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    opened.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith(own) else None)
    opened.goto(f"{address}?webgl")  # though it is software here
    opened.wait_for_selector("body[data-drawn]")
    yield opened
    context.close()
    assert not [words for words in wrong if not words.startswith(expected)]


def until(page: Any, wanted: str) -> None:
    """Wait for an expression; playwright's own wait is an `eval` in the page, which its policy forbids."""
    for _ in range(600):
        if page.evaluate(wanted):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still not so after 30 s: {wanted}")


def middle(page: Any) -> tuple[float, float]:
    box = page.locator("#map").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def point(page: Any, explored: Explorer, row: int) -> tuple[float, float]:
    """Where a case is drawn on the whole map."""
    box = page.locator("#map").bounding_box()
    scale = 0.47 * min(box["width"], box["height"])
    x, y = explored.found.places[row]
    return middle(page)[0] + float(x) * scale, middle(page)[1] + float(y) * scale


def circle(page: Any, radius: float) -> None:
    across, down = middle(page)
    page.mouse.move(across + radius, down)
    page.mouse.down()
    for angle in range(0, 361, 15):
        turn = math.radians(angle)
        page.mouse.move(across + radius * math.cos(turn), down + radius * math.sin(turn))
    page.mouse.up()


def test_points_are_drawn_by_webgl_hovered_and_opened(page: Any, explored: Explorer) -> None:
    assert page.locator("#map").get_attribute("data-renderer") == "webgl"
    row = 0
    page.mouse.move(*point(page, explored, row))
    until(page, "document.querySelector('#hover img')?.naturalWidth > 0")
    told = page.locator("#hover").inner_text()
    assert explored.cases["label"].iloc[row] in told
    page.mouse.click(*point(page, explored, row))
    page.wait_for_selector("#case canvas[data-shown]")
    page.wait_for_selector("#case figure.map")
    inside = page.locator("#case").inner_text()
    assert "Grad-CAM for" in inside
    assert "distance" in inside
    assert page.locator("#case .probabilities tbody tr").count() == 3
    assert page.locator("#case .tile").count() >= 3
    before = page.evaluate("document.querySelector('#case canvas').toDataURL()")
    page.locator("#case [name=window]").fill("60")
    windowed = page.evaluate("document.querySelector('#case canvas').toDataURL()")
    page.locator("#case [name=zoom]").fill("4")
    assert len({before, windowed, page.evaluate("document.querySelector('#case canvas').toDataURL()")}) == 3
    page.locator("#case .tile").first.click()
    until(page, "document.querySelector('#case-next').disabled === false")
    page.keyboard.press("Escape")
    assert not page.locator("#case").is_visible()


def test_the_lasso_counts_what_lies_inside(page: Any, explored: Explorer) -> None:
    page.click("#lasso")
    circle(page, 150)
    box = page.locator("#map").bounding_box()
    scale = 0.47 * min(box["width"], box["height"])
    inside = (explored.found.places**2).sum(axis=1) < (150 / scale) ** 2
    told = page.locator("#summary caption").inner_text()
    assert abs(int(told.split()[0]) - int(inside.sum())) <= 1
    assert page.locator("#which").input_value() == "selected"
    page.click("#unselect")
    page.click("#in-view")
    assert page.locator("#summary caption").inner_text().startswith(f"{len(explored.gallery)} cases")


def test_filters_colours_and_legend(page: Any, explored: Explorer) -> None:
    labels = explored.cases["label"]
    name = str(labels.iloc[0])
    page.locator("#legend .entry", has_text=name).click()
    left = int((labels != name).sum())
    assert page.locator("#count").inner_text() == f"{left} of {len(labels)} cases"
    assert page.locator("#legend .entry", has_text=name).get_attribute("aria-pressed") == "false"
    page.fill("#text", str(explored.cases["path"].iloc[-1]))
    until(page, "/^[01] of/.test(document.querySelector('#count').textContent)")
    page.click("#clear")
    assert page.locator("#count").inner_text() == f"{len(labels)} cases"
    page.select_option("#colour", "outcome")
    assert "not predicted" in page.locator("#legend").inner_text()
    page.select_option("#colour", "distance")
    assert page.locator("#legend .scale").count() == 1


def test_keys_alone_reach_a_case(page: Any) -> None:
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#hover").is_visible()
    assert page.locator("#said").inner_text()
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    page.wait_for_selector("#case[open]")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "map"


def test_marks_stay_over_a_reload_and_come_as_a_csv(page: Any, explored: Explorer) -> None:
    page.select_option("#which", "all")
    page.locator("#tiles .tile").first.click()
    row = int(page.locator("#tiles .tile").first.get_attribute("data-row"))
    page.locator("#case [name=label]").fill("another")
    page.locator("#case [name=note]").fill("<b>see</b>, again")
    page.click("#case-close")
    page.reload()
    page.wait_for_selector("body[data-drawn]")
    assert page.locator("#export").inner_text() == "Export marks (1)"
    with page.expect_download() as started:
        page.click("#export")
    told = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text())))
    assert [(line["label"], line["note"]) for line in told] == [("another", "<b>see</b>, again")]
    assert told[0]["file"] == str(Path(explored.pictures.files[row]).resolve())


def test_an_image_of_ones_own_is_found_and_what_is_none_is_told(page: Any, explored: Explorer, tmp_path: Path) -> None:
    (tmp_path / "none.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "none.png")
    page.wait_for_selector("#told.wrong")
    assert "none.png" in page.locator("#told").inner_text()
    page.locator("#told button").click()
    page.set_input_files("#file", explored.pictures.files[3])
    page.wait_for_selector("#case figure.map")
    told = page.locator("#case").inner_text()
    assert "The gallery has this very file" in told
    assert page.locator("#case .probabilities").count() == 1
    assert page.locator("#case .tile").count() == 8


def test_without_webgl_the_same_cases_are_there(gl_browser: Any, address: str, explored: Explorer) -> None:
    context = gl_browser.new_context(viewport={"width": 1280, "height": 860})
    context.add_init_script(NO_WEBGL)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("body[data-drawn]")
    assert page.locator("#map").get_attribute("data-renderer") == "canvas"
    page.mouse.click(*point(page, explored, 0))
    page.wait_for_selector("#case[open]")
    context.close()


def test_the_token_is_asked_for(gl_browser: Any, explored: Explorer) -> None:
    with running(around(explored, Limits(rate=0), Access(TOKEN))) as found:
        context = gl_browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{found.port}/")
        page.fill("#token [name=token]", TOKEN)
        page.click("#token button")
        page.wait_for_selector("body[data-drawn]")
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_can_be_read(gl_browser: Any, address: str, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="it is in the extra dev").Axe()
    context = gl_browser.new_context(
        color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 860}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("body[data-drawn]")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    until(page, "document.querySelector('#tiles img')?.naturalWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = axe.run(page).response["violations"]
    page.locator("#tiles .tile").first.click()
    page.wait_for_selector("#case figure.map")
    assert page.evaluate("(box => box.scrollWidth <= box.clientWidth)(document.querySelector('#case'))")
    found += axe.run(page, context="#case").response["violations"]
    context.close()
    bad = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not [f"{each['id']}: {node['html'][:160]}" for each in bad for node in each["nodes"]]
