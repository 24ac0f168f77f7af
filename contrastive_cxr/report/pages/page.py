"""`report.html`: one self-contained page from `report.json` and the arrays of the scored phase."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

import contrastive_cxr.report.card as cards
import contrastive_cxr.report.facts.arrays as arrays
import contrastive_cxr.report.facts.robust_words as robust_words
import contrastive_cxr.report.facts.words as words
import contrastive_cxr.report.figures.cases as cases
import contrastive_cxr.report.figures.drawing as drawing
import contrastive_cxr.report.figures.embedding as embedding
import contrastive_cxr.report.figures.gallery as gallery
import contrastive_cxr.report.figures.robustness as robustness
import contrastive_cxr.report.figures.scores as scores
import contrastive_cxr.report.figures.sheet as sheet
import contrastive_cxr.report.figures.trust as trust
import contrastive_cxr.report.pages.audit_section as audit_section
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import write_bytes
from contrastive_cxr.html_templates import environment, labelled
from contrastive_cxr.metrics import decisions
from contrastive_cxr.report.facts.report_json import VERSION
from contrastive_cxr.run.folder import write_text
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.run_layout import PHASES, STAGES

# Fields that reports of earlier versions do not have.
_LATER: dict[str, Any] = {
    "costs": None,
    "tta": None,
    "last_layer": {},
    "subgroups": {},
    "robustness": None,
    "external_drop": None,
    "answer_gain": None,
    "advice": None,
    "audit": None,
    "made": None,
    "pool": None,
}


def write(folder: Path, run: Path | None = None) -> Path:
    """Write `report.html` and `model-card.md` from `folder/report.json`; missing arrays and logs are left out.

    A t-SNE of at most 1500 images takes most of the time, some 5 to 10 seconds.

    Parameters
    ----------
    folder : a run, with `<phase>/arrays/` and `<phase>/metrics.jsonl`
    run : the run whose model was scored, if it is neither `folder` nor its parent folder; the card describes it

    Returns
    -------
    Path of the page.

    Raises
    ------
    RequestError
        `report.json` is missing, is not JSON, or has another version.
    """
    folder = Path(folder)
    facts = _LATER | _facts(folder / "report.json")
    card = cards.build(facts, folder, run)
    templates = environment(Path(__file__).parent)
    templates.filters |= {
        "title_of": words.title, "value_of": words.value, "score": words.score, "interval": words.interval,
        "count_of": words.count, "difference": words.difference, "verdict": words.verdict,
        "worst_first": robust_words.worst_first, "sentence": robust_words.upper,
    }  # fmt: skip
    page = templates.get_template("report.html.j2").render(
        facts=facts,
        grouped=bool(facts["patients"]),
        few=words.few(facts["groups"], bool(facts["patients"])),
        cards=_cards(facts),
        figures=_figures(folder, facts),
        curves=_curves(folder),
        **_pictures(folder, facts),
        card=card,
        copies=audit_section.copies(facts["audit"], folder, run) if facts["audit"] else [],
        audit_counts=audit_section.counts(facts["audit"]) if facts["audit"] else [],
    )
    write_text(folder / "model-card.md", cards.markdown(card))
    write_text(folder / "report.html", labelled(page))
    return folder / "report.html"


def _facts(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RequestError(f"'{path}' does not exist; evaluate the run first")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RequestError(f"'{path}' is not JSON ({error}); evaluate the run again") from error
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        version = facts.get("version") if isinstance(facts, dict) else None
        raise RequestError(f"'{path}' has version {version}, this program reads {VERSION}; evaluate the run again")
    return facts


def _pictures(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The scored images, the map of their embedding and the cases; None where the arrays are missing."""
    classes, place = facts["task"]["classes"], folder / facts["phase"] / "arrays"
    found, decided = arrays.read(place), _decided(folder, facts)
    shots = [] if decided is None else gallery.shots(decided)
    shown: dict[str, Any] = {
        "shots": shots,
        "of": decided.of if decided else 0,
        "confusions": gallery.confusions(decided, classes) if decided else [],
        "embedding": None,
        "cases": None,
        "given": {"classes": classes},
    }
    if found is None:
        return shown | {"cases": _of_parts(folder, facts)}
    shown["embedding"] = embedding.embedding_map(found, facts)
    near = cases.neighbourhood(found, classes)
    shown["cases"] = cases.choose(found, classes, near, arrays.class_maps(place))
    if decided is not None and len(found.rows) == decided.of:
        shown["given"] |= gallery.named_neighbours(found, near, shots)
    return shown


def _of_parts(folder: Path, facts: Mapping[str, Any]) -> dict[str, list[cases.Case]] | None:
    """The cases of a cascade, or of a pool; None where it left no arrays of its own, as in earlier versions."""
    found, pool = arrays.scored(folder / "arrays"), facts["pool"]
    if found is None or not (facts["cascade"] or pool):
        return None
    if pool:
        of = {number: f" of {name}, which scored this image" for number, name in enumerate(pool["parts"])}
        of |= {-1: ", the mean of the maps of the runs that scored this image"}
    else:
        of = {number: f" of stage {number}, which decided" for number in (1, 2)}
    return cases.without_neighbours(found, facts["task"]["classes"], arrays.class_maps(folder / "arrays"), of)


def _cards(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The four scores at the top of the page, each with its difference to the best baseline."""
    binary = len(facts["task"]["classes"]) == 2
    names = ("auc", "balanced_accuracy", *(("recall", "specificity") if binary else ("accuracy", "macro_f1")))
    over = facts["adds"]["over"] if facts["adds"] else None
    baseline = next((each for each in facts["baselines"] if each["name"] == over), None)
    return [
        {
            "name": name,
            "entry": facts["scores"][name],
            "gain": baseline["gain"].get(name) if baseline else None,
            "over": baseline["name"] if baseline else "",
        }
        for name in names
    ]


def _figures(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    classes, grouped, cascade = facts["task"]["classes"], bool(facts["patients"]), facts["cascade"]
    areas = {name: f"{name}: AUC {words.number(row['auc']['value'])}" for name, row in facts["per_class"].items()}
    best = facts["adds"]["over"] if facts["adds"] else None
    dotted = {each["name"]: each["roc"] for each in facts["baselines"] if each["name"] == best}
    model = "joined probabilities" if cascade else "model"
    rows = [(model, facts["scores"]), *((each["name"], each["scores"]) for each in facts["baselines"])]
    names = [name for name in facts["scores"] if name not in ("macro_recall", "brier")]  # balanced accuracy; a loss
    stages = cascade["stages"] if cascade else {}
    costs, reliability = facts["costs"], facts["calibration"]["reliability"]
    decided = {"unscaled": reliability["decided"], "after scaling": reliability.get("decided_after", ())}
    positive = facts["task"]["positive"]
    return {
        "reliability": trust.reliability({k: v for k, v in decided.items() if v}, "the predicted class"),
        "reliability_positive": trust.reliability({positive: reliability["positive"]}, positive),
        "coverage": trust.coverage(facts["selective"]) if facts["selective"] else None,
        "confusion": scores.confusion(facts["confusion"], classes),
        "roc": scores.roc(facts["roc"], areas, dotted),
        "comparison": scores.comparison(rows, names, grouped),
        "comparison_narrow": scores.comparison(rows, names, grouped, narrow=True),
        "augmentation": {
            path.stem.removeprefix("augmentation").lstrip("-"): augmentation(path)
            for path in sorted(folder.glob("augmentation*.png"))
        },
        "by_cost": scores.confusion(costs["by_cost"]["confusion"], classes) if costs else None,
        "stages": {
            name: scores.confusion(stage["confusion"], stage["task"]["classes"])
            for name, stage in stages.items()
            if name != "flat" and "confusion" in stage
        },
        "robustness": robustness.drops(facts["robustness"]) if facts["robustness"] else None,
        "verdicts": scores.confusion(cascade["verdicts"]["confusion"], classes) if cascade else None,
        "flat": scores.confusion(cascade["flat"]["confusion"], classes) if cascade else None,
    }


def augmentation(path: Path) -> tuple[str, str]:
    """The picture as a data address, and the parameters that are written into the file; '' in earlier files."""
    with Image.open(path) as picture:
        return drawing.encoded(picture.convert("L"), "webp", 80), str(picture.info.get("Description", ""))


def _curves(folder: Path) -> dict[str, str]:
    """{title: figure} for each phase that has a log, also in the runs of a cascade."""
    drawn = {}
    for part in ("", *STAGES):
        for name in PHASES:
            title = " \N{MIDDLE DOT} ".join(words.title(word) for word in (part, name) if word)
            drawn[title] = scores.learning_curves(MetricsLog(folder / part / name / "metrics.jsonl").rows())
    return {title: curve for title, curve in drawn.items() if curve is not None}


def _decided(folder: Path, facts: Mapping[str, Any]) -> arrays.Decided | None:
    """The predictions for the images with a picture; also writes their sheets `predictions-1.png`, ..."""
    classes = facts["task"]["classes"]
    place = folder / "arrays" if facts["cascade"] else folder / facts["phase"] / "arrays"
    costs = decisions.matrix(classes, facts["costs"]["matrix"]) if facts["costs"] else None
    found = arrays.decided(place, costs)
    for path in folder.glob("predictions-*.png"):
        path.unlink()
    if found is None:
        return None
    few = sheet.spread(len(found.rows), sheet.LIMIT)
    truth, predicted = ([classes[number] for number in numbers[few]] for numbers in (found.labels, found.decided))
    for number, page in enumerate(sheet.pages(found.thumbnails[few], truth, predicted), start=1):
        content = io.BytesIO()
        page.save(content, format="PNG")
        write_bytes(folder / f"predictions-{number}.png", content.getvalue())
    return found
