"""The page: whole, self-contained, escaped, and graceful about what is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from contrastive_cxr import report
from contrastive_cxr.errors import CcxrError, RequestError

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects ids, headings and addresses, and checks that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [named["id"] or ""] if "id" in named else []
        self.addresses += [named[key] or "" for key in ("src", "href") if key in named]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes what is open"


def test_the_page_is_whole_and_needs_nothing_else(run_folder: Path) -> None:
    path = report.write(run_folder)
    assert path == run_folder / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    for section in ("scores", "classes", "patients", "neighbours", "embedding", "cases", "training", "reading"):
        assert section in page.ids
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert all(address[1:] in page.ids for address in page.addresses if address.startswith("#"))
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"data:[^\"]*", "", text))
    assert sum(address.startswith("data:image/jpeg") for address in page.addresses) >= 30


def test_words_from_outside_are_escaped(run_folder: Path) -> None:
    text = report.write(run_folder).read_text(encoding="utf-8")
    assert "&lt;b&gt;raw&lt;/b&gt;" in text
    assert "<b>raw</b>" not in text
    assert "a <small> run" not in text


def test_the_scores_stand_on_the_page(run_folder: Path) -> None:
    text = report.write(run_folder).read_text(encoding="utf-8")
    entry = json.loads((run_folder / "report.json").read_text())["scores"]["accuracy"]
    assert f"{entry['value']:.2f}" in text
    assert f"{entry['successes']}/{entry['n']}" in text


def test_missing_images_are_said_in_their_place(run_folder: Path) -> None:
    shutil.rmtree(run_folder.parent / "images")
    text = report.write(run_folder).read_text(encoding="utf-8")
    assert "image not readable here" in text
    assert "data:image/jpeg" not in text


def test_report_json_alone_makes_a_page(run_folder: Path) -> None:
    shutil.rmtree(run_folder / "finetune")
    page = Page(report.write(run_folder).read_text(encoding="utf-8"))
    assert "scores" in page.ids
    assert not {"embedding", "cases", "training"} & set(page.ids)


def test_the_same_run_gives_the_same_page(run_folder: Path) -> None:
    first = report.write(run_folder).read_bytes()
    assert report.write(run_folder).read_bytes() == first


def test_undefined_scores_say_why(run_folder: Path) -> None:
    path = run_folder / "report.json"
    facts = json.loads(path.read_text())
    for entries in (facts["scores"], facts["per_class"]["covid"]):
        entries["auc"] = {"value": None, "n": 0, "low": None, "high": None, "reason": "no rows of 'covid'"}
    facts["roc"] = {}
    path.write_text(json.dumps(facts))
    assert "undefined: no rows of &#39;covid&#39;" in report.write(run_folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "does not exist"), ("{", "is not JSON"), ('{"version": 9}', "version 9"), ("[]", "version None")],
)
def test_a_report_that_cannot_be_read_is_refused(tmp_path: Path, content: str | None, word: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(RequestError, match=word):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_arrays_of_another_evaluation_are_refused(run_folder: Path) -> None:
    path = run_folder / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n": 41}))
    with pytest.raises(CcxrError, match=r"40 rows, report\.json has 41"):
        report.write(run_folder)
