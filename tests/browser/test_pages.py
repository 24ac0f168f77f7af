"""Every page of a run whose names, labels, columns and texts are scripts, in a real browser: all of it stays text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import contrastive_cxr
from contrastive_cxr import recipe as recipes
from contrastive_cxr.recipe.card_words import Card
from contrastive_cxr.report.pages import audit_page
from tests.report.pages.test_audit_page import facts as audit_facts

pytestmark = pytest.mark.slow
OURS = (Path(contrastive_cxr.__file__).parent / "html_parts" / "page.js").read_text(encoding="utf-8")
RUN = "window.ran=1;alert(1)"
EVIL = f"</title></style><script>{RUN}</script><img src=x onerror={RUN}>'\"--><svg onload={RUN}>{{{{7+7}}}}"
LINK = f"[a](javascript:{RUN}) ![b](x onerror={RUN}) `c` | d"
NAME = f"x'\"><img src=x onerror={RUN}><script>{RUN}<"  # of a folder: a name cannot hold a slash
CLASSES = (f"well {EVIL}", f"ill {EVIL}")
COLUMN = f"site {EVIL}"
OWN = ("report", "audit", "explain", "compare", "look", "search")
PAGES = (*OWN, "card", "table")


def _images(root: Path) -> None:
    """48 pictures in a folder named as a script, of patients who are scripts, and a file that is no picture."""
    rng, rows = np.random.default_rng(0), []
    (root / NAME).mkdir(parents=True)
    for number in range(48):
        path = f"{NAME}/script>{number}.png"
        grey = rng.normal(70 + 90 * (number % 2), 25, (40, 40)).clip(0, 255).astype(np.uint8)
        Image.fromarray(grey).save(root / path)
        rows.append((path, CLASSES[number % 2], f"{EVIL}{number // 2}", f"{EVIL}{number % 3}"))
    (root / NAME / "script>bad.png").write_text("no picture")
    rows.append((f"{NAME}/script>bad.png", CLASSES[0], "", EVIL))
    pd.DataFrame(rows, columns=["file", "label", "patient", COLUMN]).to_csv(root / "labels.csv", index=False)


def _recipe(folder: Path, root: Path) -> Path:
    """A recipe whose name, task, classes and card are scripts."""
    phase = {"epochs": 1, "batch_size": 8, "optimiser": {"name": "sgd", "lr": 0.01}}
    tree = {
        "name": EVIL,
        "data": {
            "source": "csv", "root": str(root), "csv": "labels.csv", "cache_size": 32, "on_bad_image": "skip",
            "cache_dir": str(folder / "cache"), "split": {"kind": "fractions", "val": 0.25, "test": 0.25},
        },
        "task": {"name": EVIL, "classes": {name: [name] for name in CLASSES}},
        "model": {"backbone": "cnn2", "image_size": 32},
        "pretrain": phase,
        "embed": {"epochs": 1, "images_per_class": 4, "projection": [16], "optimiser": phase["optimiser"]},
        "finetune": phase,
        "evaluation": {"resamples": 100, "subgroups": [COLUMN]},
        "card": dict.fromkeys(Card.model_fields, f"{EVIL} {LINK}"),
        "tracking": {"wandb": "off"},
        "runtime": {"device": "cpu"},
    }  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where each page is."""
    from markdown_it import MarkdownIt

    from contrastive_cxr.datasets.audit import audit
    from contrastive_cxr.datasets.look import look
    from contrastive_cxr.inference.explain import explain
    from contrastive_cxr.inference.gallery import index
    from contrastive_cxr.inference.search import search
    from contrastive_cxr.studies.compare import compare
    from contrastive_cxr.training.run import run as run_recipe

    folder = tmp_path_factory.mktemp("pages")
    root = folder / "images"
    _images(root)
    run = run_recipe(recipes.load(_recipe(folder, root)), folder / f"run {NAME}")
    second = folder / "second"
    shutil.copytree(run, second)
    image = next(path for path in sorted(root.rglob("*.png")) if "bad" not in path.name)
    look([root], folder / "look", [f"data.cache_dir={json.dumps(str(folder / 'cache'))}"])
    audit([root], folder / "audit", [f"data.cache_dir={json.dumps(str(folder / 'cache'))}"])
    compare([run, second], out=folder / "compare")
    explained = explain(run, [image], out=folder / "explain")
    index(run, "train", folder / "gallery")
    search(folder / "gallery", [image], run=run, html=folder / "search.html")
    card = MarkdownIt("commonmark", {"html": True}).enable("table")
    for name, file in (("card", run / "model-card.md"), ("table", folder / "compare" / "compare.md")):
        text = card.render(file.read_text(encoding="utf-8"))
        (folder / f"{name}.html").write_text(f"<meta charset=utf-8>{text}", encoding="utf-8")
    return {
        "report": run / "report.html",
        "audit": folder / "audit" / "audit.html",
        "explain": explained if explained.suffix == ".html" else explained / "explain.html",
        "compare": folder / "compare" / "compare.html",
        "look": folder / "look" / "data-look.html",
        "search": folder / "search.html",
        "card": folder / "card.html",
        "table": folder / "table.html",
    }


@pytest.mark.parametrize("name", PAGES)
def test_no_name_becomes_markup(browser: Any, pages: dict[str, Path], name: str) -> None:
    page = browser.new_page()
    dialogs: list[str] = []
    asked: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[name].as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    assert not dialogs
    assert page.evaluate("window.ran") is None
    scripts = page.evaluate("[...document.scripts].map(each => [each.type, each.textContent])")
    assert {text for kind, text in scripts if not kind} <= {OURS}, "the one script of the package alone runs"
    assert all(json.loads(text) is not None for kind, text in scripts if kind == "application/json")
    assert {kind for kind, _ in scripts} <= {"", "application/json"}
    for picture in page.locator("[role=button]:visible").all()[:3]:  # the enlargement shows names too
        picture.click()
        assert page.locator("dialog[open]").count() == 1
        page.keyboard.press("Escape")
    handlers = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => /^on/i.test(a.name))"
    assert page.evaluate(f"{handlers}.length") == 0
    assert page.evaluate("document.querySelectorAll('[href^=\"javascript\" i], img[src=x]').length") == 0
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    text = page.evaluate("document.documentElement.textContent")
    assert RUN in text, "the name is shown, as text"
    assert "{{7+7}}" in text or name in ("search", "explain"), "and no template is filled in by it"
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", OWN)
def test_axe_finds_nothing_serious(
    axe: Callable[[Path, str], list[str]], pages: dict[str, Path], name: str, scheme: str
) -> None:
    assert axe(pages[name], scheme) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("word", ["leak", "look", "clean"])
def test_each_verdict_of_an_audit_can_be_read(
    axe: Callable[[Path, str], list[str]], tmp_path: Path, word: str, scheme: str
) -> None:
    facts = audit_facts(groups=0) | {"verdict": {"word": word, "sentences": ["a sentence"]}}
    (tmp_path / "audit.html").write_text(audit_page.page(facts, []), encoding="utf-8")
    assert axe(tmp_path / "audit.html", scheme) == []


@pytest.mark.parametrize("width", [390, 800, 1280])
@pytest.mark.parametrize("name", OWN)
def test_no_page_scrolls_sideways(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(pages[name].as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    beyond = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth)"
    wide = page.evaluate(f"document.documentElement.scrollWidth <= innerWidth ? [] : {beyond}.map(e => e.outerHTML)")
    page.close()
    assert [each[:200] for each in wide] == []


def test_unreadable_files_are_listed_in_the_report(pages: dict[str, Path]) -> None:
    facts = json.loads(pages["report"].with_name("report.json").read_text(encoding="utf-8"))
    assert [row["path"] for row in facts["skipped"]] == [f"{NAME}/script>bad.png"]
    assert "is not an image" in facts["skipped"][0]["error"]
    assert "script&gt;bad.png" in pages["report"].read_text(encoding="utf-8")
