"""The page: whole, self-contained, escaped, and graceful about what is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr import report
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.metrics import decisions
from contrastive_cxr.report.facts import robust_words
from contrastive_cxr.run.folder import write_json
from tests.report import robust
from tests.report.small import CLASSES, drawn, facts_of

VOID = {"meta", "img", "br", "input", "source"}


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
        self.addresses += [named[key] or "" for key in ("src", "srcset", "href") if key in named]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes what is open"


def test_the_page_is_whole_and_needs_nothing_else(run_folder: Path) -> None:
    path = report.write(run_folder)
    assert path == run_folder / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    sections = ("scores", "classes", "patients", "neighbours", "embedding", "sheets", "cases", "training", "reading")
    for section in sections:
        assert section in page.ids
    assert not {"costs", "tta"} & set(page.ids)
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
    assert text.count("data:image/webp") == 40, "the evaluation kept a small picture of each"


def test_report_json_alone_makes_a_page(run_folder: Path) -> None:
    shutil.rmtree(run_folder / "finetune")
    page = Page(report.write(run_folder).read_text(encoding="utf-8"))
    assert "scores" in page.ids
    assert not {"embedding", "sheets", "cases", "training"} & set(page.ids)


def test_costs_augmented_views_and_the_last_layer_have_their_places(run_folder: Path) -> None:
    asked, known = drawn(40, 0, True), drawn(60, 1, False)
    facts = facts_of(
        asked,
        known,
        costs=decisions.matrix(CLASSES, {"covid": {"normal": 8}}),
        tta=report.Tta("mirror-turn", ("plain", "<mirrored>"), drawn(40, 3, True)["probabilities"]),
        last_layers={"pretrain": {"mean": 0.001, "variance": 0.04, "standard_deviation": 0.2, "weights": 24.0}},
    )
    write_json(run_folder / "report.json", facts)
    text = report.write(run_folder).read_text(encoding="utf-8")
    page = Page(text)
    assert {"costs", "tta"} <= set(page.ids)
    assert "&lt;mirrored&gt;" in text
    assert re.findall(r"<td[^>]*>([^<]*)</td>", text[text.index("Weights of the") :])[:4] == [
        "0.001",
        "0.04",
        "0.2",
        "24",
    ]
    assert f"differ on {facts['costs']['changed']} of 40 images" in text


def test_the_sheet_shows_every_image_and_is_a_file_too(run_folder: Path) -> None:
    (run_folder / "predictions-9.png").write_bytes(b"of an earlier evaluation")
    text = report.write(run_folder).read_text(encoding="utf-8")
    assert "All scored images" in text
    assert [path.name for path in run_folder.glob("predictions-*")] == ["predictions-1.png"]
    sheet = np.asarray(Image.open(run_folder / "predictions-1.png"))
    arrays = run_folder / "finetune" / "arrays"
    labels, said = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy").argmax(1)
    frames = [sheet[8 + number // 10 * 102, 8 + number % 10 * 94] for number in range(40)]
    assert [tuple(frame) == (0, 100, 74) for frame in frames] == (labels == said).tolist()


def test_the_sheet_shows_the_decision_by_cost(run_folder: Path) -> None:
    table = decisions.matrix(CLASSES, {"covid": {"normal": 50, "other": 50}})
    write_json(run_folder / "report.json", facts_of(drawn(40, 0, True), drawn(60, 1, False), costs=table))
    report.write(run_folder)
    sheet = np.asarray(Image.open(run_folder / "predictions-1.png"))
    arrays = run_folder / "finetune" / "arrays"
    labels, said = np.load(arrays / "labels.npy"), (np.load(arrays / "probabilities.npy") @ table).argmin(1)
    frames = [sheet[8 + number // 10 * 102, 8 + number % 10 * 94] for number in range(40)]
    assert [tuple(frame) == (0, 100, 74) for frame in frames] == (labels == said).tolist()


def test_a_hidden_layer_of_its_own_is_the_one_that_is_mapped(run_folder: Path) -> None:
    before = report.write(run_folder).read_text(encoding="utf-8")
    assert "Map of similar images: the embedding</h2>" in before
    vectors = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)
    np.save(run_folder / "finetune" / "arrays" / "hidden.npy", vectors)
    text = report.write(run_folder).read_text(encoding="utf-8")
    assert "Map of similar images: the last hidden layer</h2>" in text
    assert text.count("t-SNE of the last hidden layer") == 1


def test_curves_of_every_stage_of_a_cascade_and_every_augmentation(run_folder: Path) -> None:
    log = (run_folder / "finetune" / "metrics.jsonl").read_bytes()
    for stage in ("stage1", "stage2"):
        (run_folder / stage / "pretrain").mkdir(parents=True)
        (run_folder / stage / "pretrain" / "metrics.jsonl").write_bytes(log)
    Image.new("L", (8, 8)).save(run_folder / "augmentation-xray-flip.png")
    text = report.write(run_folder).read_text(encoding="utf-8")
    for words in (
        "Stage 1 · Phase 1 · pretrain",
        "Stage 2 · Phase 1 · pretrain",
        "<h3>Phase 3 · finetune",
        "xray-flip",
    ):
        assert words in text


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


def test_robustness_and_images_from_elsewhere_stand_on_the_page_and_the_card(run_folder: Path) -> None:
    path = run_folder / "report.json"
    facts = json.loads(path.read_text())
    assert facts["robustness"] is None
    gap = {"difference": -0.2, "low": -0.3, "high": -0.1, "n": 40}
    drop = {"recorded": {"split": "val", "n": 99}, "scores": {"accuracy": gap}, "recall": {"covid": gap}}
    drop["sentences"] = robust_words.external_sentences(drop)
    path.write_text(json.dumps(facts | {"robustness": robust.facts(), "external_drop": drop}))
    text = report.write(run_folder).read_text(encoding="utf-8")
    page = Page(text)
    assert {"robustness", "elsewhere"} <= set(page.ids)
    assert "A 10 % crop of all sides costs" in text
    assert "Accuracy is 20 points lower (10 to 30) on these images than on the run&#39;s own val part" in text
    assert text.index("a 15 % crop of all sides</td>") < text.index("Gaussian noise of 1 %</td>"), "the worst first"
    card = (run_folder / "model-card.md").read_text()
    assert "A 10 % crop of all sides costs" in card
    assert "| Crop of all sides | 5, 10, 15 % of each side | " in card


def test_reports_from_before_robustness_make_a_page(run_folder: Path) -> None:
    path = run_folder / "report.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({key: facts[key] for key in facts if key not in ("robustness", "external_drop")}))
    assert not {"robustness", "elsewhere"} & set(Page(report.write(run_folder).read_text(encoding="utf-8")).ids)


def figures(text: str) -> list[dict[str, str]]:
    """The attributes of the scored images, in the order of the page."""
    gallery = text[text.index('id="gallery"') : text.index("</section>", text.index('id="gallery"'))]
    return [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<figure ([^>]*)>", gallery)]


def test_wrong_and_confident_images_come_first_with_class_confidence_and_file(run_folder: Path) -> None:
    shown = figures(report.write(run_folder).read_text(encoding="utf-8"))
    arrays = run_folder / "finetune" / "arrays"
    truth, given = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy")
    wrong = [each for each in shown if each["data-true"] != each["data-predicted"]]
    assert len(shown) == 40
    assert shown[: len(wrong)] == wrong
    sure = [float(each["data-sure"]) for each in shown]
    assert sure[: len(wrong)] == sorted(sure[: len(wrong)], reverse=True)
    assert sure[len(wrong) :] == sorted(sure[len(wrong) :]), "of the right ones the least sure first"
    for each in shown:
        row = int(each["data-row"])
        assert each["data-name"] == f"test{row}.png"
        assert (int(each["data-true"]), int(each["data-predicted"])) == (truth[row], given[row].argmax())
        assert each["data-sure"] == f"{given[row].max():.3f}"


def test_wrong_stands_against_right_with_counts_and_confidence(run_folder: Path) -> None:
    text = report.write(run_folder).read_text(encoding="utf-8")
    arrays = run_folder / "finetune" / "arrays"
    truth, given = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy")
    decided = given.argmax(1)
    true, predicted = next((t, p) for t, p in zip(truth, decided, strict=True) if t != p)
    mine = given.max(1)[(truth == true) & (decided == predicted)]
    part = text[text.index('id="cases"') : text.index('id="sheets"')]
    rows = [re.sub(r"<[^>]*>", "|", row) for row in re.findall(r"<tr>.*?</tr>", part)]
    (row,) = [row for row in rows if row.startswith(f"||{CLASSES[true]}|") and f" {CLASSES[predicted]}|" in row]
    assert f"|{len(mine)}|" in row
    assert f"|{np.median(mine):.2f}|" in row
    assert part.count("<h3>") == 2


def test_the_head_names_date_data_set_and_version(run_folder: Path) -> None:
    path = run_folder / "report.json"
    made = {"date": "2026-01-02 03:04 UTC", "version": "9.8", "data": "csv in scans <1>"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"made": made}))
    text = report.write(run_folder).read_text(encoding="utf-8")
    head = text[text.index("<header>") : text.index("</header>")]
    for words in ("2026-01-02 03:04 UTC", "contrastive_cxr 9.8", "csv in scans &lt;1&gt;"):
        assert words in head


def test_maps_of_the_cases_are_shown_and_an_even_one_is_said(run_folder: Path) -> None:
    arrays = run_folder / "finetune" / "arrays"
    truth, given = np.load(arrays / "labels.npy"), np.load(arrays / "probabilities.npy")
    rows = report.case_rows(given.max(1), given.argmax(1), truth)
    np.save(arrays / "gradcam.npy", np.zeros((2, 24, 24, 3), np.uint8))
    np.save(arrays / "gradcam_rows.npy", np.array([[rows[0], 1], [rows[1], 0]]))
    text = report.write(run_folder).read_text(encoding="utf-8")
    first, second = (text[text.index(f'id="case-{row}"') :][:60_000] for row in rows[:2])
    assert "Grad-CAM over" in first[: first.index('class="near')]
    assert "no place of this image stands out" in second[: second.index('class="near')]


def test_every_cell_says_its_column_for_narrow_screens(run_folder: Path) -> None:
    text = report.write(run_folder).read_text(encoding="utf-8")
    scores = text[text.index('id="scores"') : text.index('id="classes"')]
    cells = re.findall(r"<td[^>]*>", scores)
    assert len(cells) > 10
    assert {re.search(r'data-label="([^"]*)"', cell)[1] for cell in cells} == {"model", "forest"}  # type: ignore[index]
