"""A real browser for the pages, where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Chromium, driven by playwright; without either the test is skipped, by name."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed; it is in the extra dev"
    )
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium is installed; with Debian: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox", *flags])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a GPU."""
    with chromium("--disable-gpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def axe(browser: Any) -> Callable[[Path, str], list[str]]:
    """What axe-core calls serious or critical on a page with everything unfolded, and in its first enlargement."""
    module = pytest.importorskip("axe_playwright_python.sync_playwright", reason="it is in the extra dev")

    def serious(file: Path, scheme: str) -> list[str]:
        context = browser.new_context(color_scheme=scheme, bypass_csp=True, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        found = module.Axe().run(page).response["violations"]
        pictures = page.locator("[role=button]:visible")
        if pictures.count():
            pictures.first.click()
            found += module.Axe().run(page, context="dialog").response["violations"]
        context.close()
        return [
            f"{each['id']}: {node['html'][:200]}"
            for each in found
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    return serious
