"""The model card: what it says, what nobody said, and that words stay words."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from contrastive_cxr import report
from contrastive_cxr.recipe.card_words import Card as Texts
from contrastive_cxr.report import card
from contrastive_cxr.report.card.data import digest
from contrastive_cxr.report.card.layout import LAYOUT
from contrastive_cxr.report.card.markdown import escape
from contrastive_cxr.run.folder import write_json, write_text

NASTY = "a|b <script>alert(1)</script> `c` *d* _e_ [f](http://g) ![h](i) & &amp; ~~j~~ $k$ \\ # | https://l www.m.org"
# Subitems of the published checklist: BMJ 2024;385:e078378, table 1.
TRIPOD = {
    *("1", "2", "3a", "3b", "3c", "4", "5a", "5b", "6a", "6b", "6c", "7", "8a", "8b", "8c", "9a", "9b", "9c", "10"),
    *("11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13", "14", "15", "16", "17", "18a", "18b", "18c", "18d"),
    *("18e", "18f", "19", "20a", "20b", "20c", "21", "22", "23a", "23b", "24", "25", "26", "27a", "27b", "27c"),
}


def manifest() -> pd.DataFrame:
    """Eight rows of three patients and an unknown one, a label with every mark of Markdown."""
    rows = [
        ("a.png", "p1", "train", "normal", "NORMAL", "f"), ("b.png", "p1", "train", "covid", NASTY, "f"),
        ("c.png", "p2", "train", "other", "OTHER", "m"), ("d.png", "", "train", "other", "OTHER", ""),
        ("e.png", "p3", "val", "covid", "COVID", "m"), ("f.png", "p4", "test", "normal", "NORMAL", "m"),
        ("g.png", "p4", "test", "covid", "COVID", "m"), ("h.png", "p5", "unused", "other", "OTHER", "f"),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["path", "patient", "split", "class", "label", "sex"])
    return table.assign(root="/images", source="images", digest=[f"{number:064x}" for number in range(8)])


def recipe() -> str:
    return json.dumps(  # JSON is YAML
        {
            "name": "a run",
            "seed": 3,
            "data": {"split": {"kind": "within-train", "val": 0.1, "test": 0.2, "seed": 4}, "resize": "pad"},
            "task": {"classes": {"normal": ["NORMAL"], "covid": ["COVID"]}, "drop": ["odd"], "positive": "covid"},
            "model": {"backbone": "resnet18", "weights": "none", "image_size": 64},
            "embed": {"epochs": 3, "choose_by": "map_at_r", "positives": "label", "optimiser": {"name": "adamw"}},
            "evaluation": {"subgroups": ["sex"], "resamples": 100},
            "card": {"limits": f"Children only. {NASTY}", "origin": "  "},
        }
    )


@pytest.fixture
def described(run_folder: Path) -> Path:
    """The run of `run_folder` with its recipe, rows and environment."""
    write_text(run_folder / "recipe.yaml", recipe())
    manifest().to_csv(run_folder / "manifest.csv", index=False)
    write_json(run_folder / "environment.json", {"python": "3.12.1", "versions": {"torch": "9.9"}, "commit": "abc"})
    return run_folder


def items(folder: Path, run: Path | None = None) -> dict[str, Any]:
    facts = json.loads((folder / "report.json").read_text())
    return {item.title: item for _, section in card.build(facts, folder, run).sections for item in section}


def tokens(text: str) -> list[Token]:
    """Every token of a GitHub-flavoured reading, the inner ones too."""
    found = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [each for token in found for each in (token, *(token.children or ()))]


def cells(text: str) -> list[list[str]]:
    """The text of every row of every table."""
    rows: list[list[str]] = []
    for token in tokens(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("th_open", "td_open"):
            rows[-1].append("")
        elif token.type in ("text", "text_special") and rows and rows[-1]:
            rows[-1][-1] += token.content
    return rows


def test_every_item_of_both_lists_has_its_place_once_named() -> None:
    entries = [entry for _, section in LAYOUT for entry in section]
    spans = [span for entry in entries for span in entry.claim.split(", ") if span]
    claim = {n for span in spans for n in range(int(span.split("-")[0]), int(span.split("-")[-1]) + 1)}
    assert claim == set(range(1, 45)) - {2}, "44 items; abstracts are of papers"
    tripod = {number for entry in entries for number in entry.tripod.split(", ") if number}
    assert len(TRIPOD) == 52
    assert tripod == TRIPOD - {"2"}
    titles = [entry.title for entry in entries]
    assert len(titles) == len(set(titles))


def test_every_text_of_the_recipe_has_one_place() -> None:
    named = [entry.text for _, section in LAYOUT for entry in section if entry.text]
    assert sorted(named) == sorted(Texts.model_fields)


def test_words_of_the_author_stand_there_and_others_are_not_stated(described: Path) -> None:
    found = items(described)
    assert found["Limits"].lines[0].startswith("Children only.")
    assert not found["Funding"].stated
    assert found["Origin of the data"].lines == (), "blanks are no text"
    assert found["Origin of the data"].tables[0].rows[0][:3] == ("images", "8", "5 and 1 images of unknown ones")
    text = card.markdown(card.build(json.loads((described / "report.json").read_text()), described))
    funding = text.split("### Funding")[1].split("###")[0]
    assert "*not stated*" in funding
    page = report.write(described).read_text()
    assert page.count('<p class="soft">not stated</p>') == text.count("*not stated*") > 10
    assert (described / "model-card.md").read_text() == text


def test_the_counts_of_the_parts_are_those_of_the_manifest(described: Path) -> None:
    table = items(described)["Images, patients and digests"].tables[0]
    assert table.columns == ("part", "images", "normal", "covid", "patients")
    assert table.rows == (
        ("train", "4", "1", "1", "2 and 1 images of unknown ones"), ("val", "1", "0", "1", "1"),
        ("test", "2", "1", "1", "1"), ("unused", "1", "0", "0", "1"),
    )  # fmt: skip
    assert items(described)["Selection of subsets"].lines[0].startswith("1 of 8 images")
    assert items(described)["Missing data"].lines == ("The patient of 1 of 8 images is not known.",)
    assert items(described)["Level at which parts are disjoint"].lines[0].endswith("0 images of the same content.")
    groups = items(described)["Characteristics of the parts"].tables[0]
    assert groups.columns == ("sex", "train", "val", "test", "unused")
    assert groups.rows == (("m", "1", "1", "2", "0"), ("f", "2", "0", "0", "1"), ("not stated", "1", "0", "0", "0"))


def test_parts_are_never_called_disjoint_by_patients_who_are_not_known(described: Path) -> None:
    rows = manifest().assign(patient="")
    rows.to_csv(described / "manifest.csv", index=False)
    (line,) = items(described)["Level at which parts are disjoint"].lines
    assert line.startswith("No patient is known, so images of one patient may be in several parts.")
    assert "0 patients" not in line


def test_numbers_have_their_median_and_range_in_each_part(described: Path) -> None:
    ages = ["30", "40", "35", "", "50", "61", "62", "70"]
    manifest().assign(age=ages).to_csv(described / "manifest.csv", index=False)
    facts = json.loads((described / "report.json").read_text()) | {
        "subgroups": {"age": {"quartiles": True, "groups": []}}
    }
    write_json(described / "report.json", facts)
    table = items(described)["Characteristics of the parts"].tables[1]
    assert table.columns == ("age", "train", "val", "test", "unused")
    assert table.rows == (
        ("median", "35", "50", "61.5", "70"),
        ("lowest to highest", "30 to 40", "50 to 50", "61 to 62", "70 to 70"),
        ("not stated", "1", "0", "0", "0"),
    )


def test_the_digest_of_a_part_can_be_worked_out_by_hand_and_moves_with_its_rows(described: Path) -> None:
    rows = manifest().query("split == 'test'")
    lines = f"f.png\tnormal\tp4\t{5:064x}\ng.png\tcovid\tp4\t{6:064x}\n"
    expected = hashlib.sha256(lines.encode()).hexdigest()
    digests = dict(items(described)["Images, patients and digests"].tables[1].rows)
    assert digests["test"] == expected == digest(rows)
    assert digest(rows.iloc[::-1].assign(root="/elsewhere")) == expected
    for column in ("path", "class", "patient", "digest"):
        assert digest(rows.assign(**{column: "x"})) != expected
    assert digest(rows.iloc[:1]) != expected


def test_the_audit_is_quoted_and_its_absence_said(described: Path) -> None:
    title = "Audit: leaks, copies, shortcuts"
    assert items(described)[title].lines == ("Not audited.",)
    write_json(described / "audit.json", {"verdict": {"word": "leak", "sentences": ["2 patients in two parts."]}})
    assert items(described)[title].lines == ("Verdict: leak.", "2 patients in two parts.")


def test_training_software_and_choice(described: Path) -> None:
    found = items(described)
    assert ("torch", "9.9") in found["Software and machine"].tables[0].rows
    assert "MAP@R on the validation part" in found["Choice of the weights"].lines[0]
    assert "drawn at random" in found["Initial weights"].lines[0]
    assert "seed 3" in found["Initial weights"].lines[0]
    assert "0.1 to choose, 0.2 to be scored, seed 4" in found["How images were assigned"].lines[0]
    assert "odd" in found["Inclusion and exclusion"].lines[0]


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        (
            "imagenet",
            {"source": "package", "place": "lite 1.0", "file_sha256": "5" * 64, "loaded": {"loaded": 9, "tensors": 10}},
            f"those of ImageNet (package: lite 1.0; SHA-256 {'5' * 64}); 9 of 10 tensors loaded (90.0%); seed 3.",
        ),
        (
            "/secret/place/theirs.pth",
            {"sha256": "6" * 64, "loaded": {"loaded": 10, "tensors": 10, "words": ["two sentences"]}},
            f"those of an earlier run or file (theirs.pth, SHA-256 {'6' * 64}); 10 of 10 tensors loaded "
            "(100.0%); seed 3.",
        ),
        ("old.pth", {"word": "old.pth"}, "those of an earlier run or file (old.pth); seed 3."),
    ],
)
def test_the_first_weights_have_name_digest_and_share(
    described: Path, word: str, known: dict[str, Any], said: str
) -> None:
    settings = json.loads(recipe())
    settings["model"]["weights"] = word
    write_text(described / "recipe.yaml", json.dumps(settings))
    write_json(described / "inputs.json", {"weights": known})
    lines = items(described)["Initial weights"].lines
    assert lines[0] == f"Weights before the first phase: {said}"
    assert lines[1:] == tuple(known.get("loaded", {}).get("words", ()))


def test_scores_have_counts_and_intervals(described: Path) -> None:
    facts = json.loads((described / "report.json").read_text())
    rows = {row[0]: row for row in items(described)["Scores and their intervals"].tables[0].rows}
    assert f"{facts['scores']['accuracy']['successes']}/{facts['n']}" in rows["Accuracy"][1]
    assert re.search(r"\d\N{EN DASH}\d", rows["AUC"][1])
    added = items(described)["What the model adds to blind baselines"].tables[0]
    assert added.rows[0][0] == "forest"
    matrix = items(described)["Failures"].tables[0]
    assert [list(map(int, row[1:])) for row in matrix.rows] == facts["confusion"]


def test_a_folder_with_a_report_alone_still_has_a_card(run_folder: Path) -> None:
    found = items(run_folder)
    assert not found["Training and its budget"].stated
    assert not found["Preprocessing"].stated
    assert found["Scores and their intervals"].stated
    report.write(run_folder)
    assert "Not audited" in (run_folder / "model-card.md").read_text()


def test_an_external_test_is_told_of_as_such(described: Path) -> None:
    assert items(described)["Internal testing"].lines[0].startswith("The test part")
    assert not items(described)["External testing"].stated
    folder = described / "external-test"
    write_json(folder / "report.json", json.loads((described / "report.json").read_text()))
    found = items(folder)
    assert found["External testing"].stated
    assert "external test" in found["Images, patients and digests"].lines[0]
    assert found["Limits"].lines[0].startswith("Children only."), "told of the run around it"


@pytest.mark.parametrize(
    "text",
    [
        NASTY, "# no heading", "- no list", "+ no list", "1. no list", "12) no list", "> no quote", "===",
        "---", "    no code", "```\nno fence\n```", "<b>no tag</b>", "&lt;", "no\n\nparagraphs", "a<br>b", "\\", "\\|",
        "|", "``", "[x]: http://y", "*", "__init__", "~~~", "<http://a.b>", ":::", "a\\\nb", "3 < 4 > 2", "p_1_2*3",
    ],
)  # fmt: skip
def test_escaped_text_is_read_back_as_it_was_in_a_paragraph_and_in_a_table(text: str) -> None:
    plain = " ".join(text.split())
    paragraph = tokens(escape(text))
    said = "".join(each.content for each in paragraph if each.type in ("text", "text_special"))
    assert said == plain
    assert {each.type for each in paragraph} <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}
    row = cells(f"| a | b |\n| --- | --- |\n| {escape(text)} | end |\n")[1]
    assert row == [plain, "end"]


def test_links_that_need_no_marks_are_broken_too() -> None:
    """GitHub makes links of bare addresses; a backslash before a mark keeps it from that."""
    assert not re.search(r"https?://|www\.", escape("https://l HTTP://m www.n.org WWW.o"), re.IGNORECASE)


def test_a_label_is_never_markup_in_the_whole_card(described: Path) -> None:
    facts = json.loads((described / "report.json").read_text())
    facts["experiment"] = NASTY
    facts["task"]["classes"][0] = NASTY
    write_json(described / "report.json", facts)
    page = report.write(described).read_text()
    text = (described / "model-card.md").read_text()
    kinds = {token.type for token in tokens(text)}
    assert not {"html_block", "html_inline", "link_open", "image", "code_inline", "s_open"} & kinds
    plain = " ".join(NASTY.split())
    assert ["true, predicted", plain] in [row[:2] for row in cells(text)], "the confusion matrix has it as a column"
    assert [row[0] for row in cells(text)].count(plain) == 1, "and as a row"
    assert page.count("<script>") == 1, "the page's own"
    assert "alert(1)" in page


def test_groups_stand_on_the_page_and_in_the_card(described: Path) -> None:
    score = {"value": 0.75, "n": 20, "low": 0.5, "high": 0.9}
    group = {"name": "<f>", "n": 20, "patients": None, "counts": {"normal": 12, "covid": 8}}
    apart = {"difference": -0.2, "low": -0.35, "high": -0.05, "n": 29}
    entry = {
        "quartiles": False,
        "groups": [
            {**group, "scores": {"balanced_accuracy": score, "auc": score},
             "difference": {"balanced_accuracy": apart, "auc": apart}},
            {**group, "name": "m", "n": 9, "scores": None, "difference": None, "reason": "fewer than 10 images"},
        ],
    }  # fmt: skip
    facts = json.loads((described / "report.json").read_text()) | {"subgroups": {"sex": entry}}
    write_json(described / "report.json", facts)
    page = report.write(described).read_text()
    assert 'id="subgroups"' in page
    assert "&lt;f&gt;" in page
    assert "<f>" not in page
    assert "not scored: fewer than 10 images" in page
    assert '<span class="tag worse">-0.20 (n 29; -0.35 to -0.05)</span>' in page
    row, small = items(described)["Subgroups"].tables[0].rows
    assert row[0] == "<f>"
    assert row[-1].startswith("-0.20")
    assert small[:3] == ("m", "9 (normal 12, covid 8)", "not scored: fewer than 10 images")


def rate(value: float, n: int) -> dict[str, Any]:
    return {"value": value, "n": n, "successes": round(value * n), "low": 0.5, "high": 0.97}


def test_calibration_and_thresholds_are_told_where_the_report_has_them(run_folder: Path) -> None:
    facts = json.loads((run_folder / "report.json").read_text())
    facts |= {"calibration": None, "thresholds": []}
    write_json(run_folder / "report.json", facts)
    assert not items(run_folder)["Calibration"].stated
    assert not items(run_folder)["Thresholds"].stated
    score = {"value": 0.125, "n": 40, "low": 0.05, "high": 0.25}
    judged = {"error": score, "brier": score, "log_loss": score, "perfect": {"mean": 0.06, "high": 0.11}}
    fitted = {"fitted_on": "validation", "fitted_images": 25}
    facts["calibration"] = {"bins": 4, "before": judged, "after": judged, "temperature": 1.5, **fitted}
    reached = dict.fromkeys(("sensitivity", "specificity", "precision", "negative_predictive_value"), rate(0.9, 10))
    line = {"of": "sensitivity", "wanted": 0.95, "threshold": 0.25, "reason": ""}
    facts["thresholds"] = [
        line | fitted | {"chosen": {"positives": 20, "others": 5, "reached": rate(0.95, 20)}, "reached": reached},
        line | {"of": "specificity", "threshold": None, "reason": "out of reach", "chosen": None, "reached": None},
    ]
    write_json(run_folder / "report.json", facts)
    found = items(run_folder)
    assert "Temperature 1.5, fitted on the validation part, 25 images" in found["Calibration"].lines[1]
    assert "0.06 at this count, at most 0.11" in found["Calibration"].lines[2]
    assert found["Calibration"].tables[0].rows[0][0] == "Expected calibration error"
    first, second = found["Thresholds"].tables[0].rows
    assert first[:2] == ("sensitivity 0.95", "0.25")
    assert first[2].startswith("fitted on the validation part, 25 images; there 0.95 (19/20")
    assert first[3].startswith("0.90 (9/10")
    assert second[:3] == ("specificity 0.95", "none", "out of reach")


def test_the_facts_of_a_real_evaluation_fill_them(run_folder: Path) -> None:
    """The words for what `report.build` gives today: nothing is left behind when its facts change."""
    facts = json.loads((run_folder / "report.json").read_text())
    assert items(run_folder)["Calibration"].stated is bool(facts.get("calibration"))
    assert items(run_folder)["Thresholds"].stated is bool(facts.get("thresholds"))
