"""The card's items about the model: what it is, and how and with which software it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import contrastive_cxr.report.facts.words as words
from contrastive_cxr.recipe.augmentation import in_words
from contrastive_cxr.report.card.found import Content, Found, Table
from contrastive_cxr.run_layout import PHASES

_SETTINGS = (
    "epochs",
    "batch_size",
    "images_per_class",
    "positives",
    "loss",
    "mining",
    "augment",
    "positive_augment",
    "trainable",
    "ema_decay",
)


def identity(found: Found) -> Content:
    """The kind of model and its task, in one sentence."""
    task = found.facts["task"]
    backbone = found.section("model").get("backbone")
    made = "A cascade of classifiers" if found.facts.get("cascade") else "A classifier"
    if found.facts["phase"] == "embed":
        made = "A contrastive embedding with a vote of nearest neighbours"
    elif found.recipe.get("embed"):
        made += " on a contrastive embedding"
    return Content(
        (
            f"{made} of chest images{f', backbone {backbone}' if backbone else ''}; task {task['name']}: "
            f"{' / '.join(task['classes'])}, positive is {task['positive']}.",
        )
    )


def description(found: Found) -> Content:
    """Each phase's network, from its `model.json`."""
    rows = []
    for name, card in found.models.items():
        training = card.get("training") or {}
        layers = [f"{kind} {_list(card[kind])}" for kind in ("projection", "hidden") if card.get(kind)]
        rows.append(
            (
                name,
                str(card.get("backbone")),
                f"{card.get('image_size')}",
                "; ".join(layers) or "none",
                f"{card.get('embedding_size')}",
                f"{training['parameters']:,}" if isinstance(training.get("parameters"), int) else "",
                str(card.get("sha256", "")),
            )
        )
    if not rows:
        return Content()
    columns = ("phase", "backbone", "input side", "layers", "embedding", "parameters", "SHA-256 of the weights")
    return Content(
        ("Input: one grey channel, normalised inside the network. Output: a unit vector; with a classifier also "
         "probabilities, the most probable class is decided.",),
        (Table(columns, tuple(rows)),),
    )  # fmt: skip


def software(found: Found) -> Content:
    """Versions, commit and machine."""
    known = found.environment
    if not known:
        return Content()
    rows = {
        "python": known.get("python"),
        **(known.get("versions") or {}),
        "commit of the source tree": known.get("commit"),
        "platform": known.get("platform"),
        "device": known.get("device"),
    }
    return Content(tables=(Table(("what", "version"), _rows(rows)),))


def start(found: Found) -> Content:
    """The weights at the start of the training."""
    model = found.section("model")
    if not model:
        return Content()
    known = found.inputs.get("weights") or {}
    if model.get("weights", "none") == "none":
        words_of = f"drawn at random (init {model.get('init', 'default')})"
    elif model["weights"] == "imagenet":
        words_of = f"those of ImageNet{_origin(known)}{_share(known)}"
    else:
        digest = f", SHA-256 {known['sha256']}" if known.get("sha256") else ""
        words_of = f"those of an earlier run or file ({Path(model['weights']).name}{digest}){_share(known)}"
        loaded = (known.get("loaded") or {}).get("words") or ()
        return Content((f"Weights before the first phase: {words_of}; seed {found.recipe.get('seed')}.", *loaded))
    return Content((f"Weights before the first phase: {words_of}; seed {found.recipe.get('seed')}.",))


def _origin(weights: Mapping[str, Any]) -> str:
    """The origin of published weights; empty for runs of earlier versions, which did not record it."""
    if not weights.get("place"):
        return ""
    return f" ({weights['source']}: {weights['place']}; SHA-256 {weights['file_sha256'] or 'not known'})"


def _share(weights: Mapping[str, Any]) -> str:
    """How many tensors of the backbone were loaded; empty for runs of earlier versions, which did not record it."""
    loaded = weights.get("loaded") or {}
    if not loaded.get("tensors"):
        return ""
    return f"; {loaded['loaded']} of {loaded['tensors']} tensors loaded ({loaded['loaded'] / loaded['tensors']:.1%})"


def training(found: Found) -> Content:
    """The settings of the phases, and the budget of their training."""
    named: dict[str, dict[str, Any]] = {name: found.section(name) for name in PHASES if found.section(name)}
    if not named:
        return Content()
    optimisers = {name: each.get("optimiser") or {} for name, each in named.items()}
    rows = [
        (setting.replace("_", " "), *(_setting(each, setting) for each in named.values()))
        for setting in _SETTINGS
        if any(setting in each for each in named.values()) and not _idle(setting, named)
    ]
    for setting in ("name", "lr", "weight_decay"):
        label = {"name": "optimiser", "lr": "learning rate"}.get(setting, setting.replace("_", " "))
        rows.append((label, *(_word(each.get(setting)) for each in optimisers.values())))
    rows.append(("schedule", *(_word((each.get("schedule") or {}).get("name")) for each in named.values())))
    tables = [Table(("setting", *(words.title(name) for name in named)), tuple(rows))]
    return Content(tables=(*tables, *budget(found)))


def budget(found: Found) -> tuple[Table, ...]:
    """The budget of the training by phase; empty if the report has none."""
    phases: Mapping[str, Mapping[str, Any]] = (found.facts.get("budget") or {}).get("phases") or {}
    if not phases:
        return ()
    columns = list(next(iter(phases.values())))
    rows = tuple((words.title(name), *(_word(spent.get(each)) for each in columns)) for name, spent in phases.items())
    heads = (each.replace("_mib", ", MiB").replace("_", " ") for each in columns)
    return (Table(("budget", *heads), rows),)


def imbalance(found: Found) -> Content:
    """How classes of unequal size were treated."""
    lines = []
    for name in PHASES:
        phase = found.section(name)
        if "imbalance" in phase:
            lines.append(f"{words.title(name)}: {phase['imbalance']}.")
        elif name == "embed" and phase.get("positives", "augmented") != "augmented":
            lines.append(f"{words.title(name)}: every batch has the same number of images of each of its classes.")
    costs = found.section("evaluation", "costs")
    if costs:
        lines.append("Decisions by cost are reported beside those of the most probable class.")
    return Content(tuple(lines))


def choice(found: Found) -> Content:
    """How the weights that are kept were chosen."""
    lines = []
    for name in PHASES:
        phase = found.section(name)
        if not phase:
            continue
        by = phase.get("choose_by")
        chosen = (
            "the last epoch's" if by == "last" else f"those of the best {words.title(str(by))} on the validation part"
        )
        lines.append(f"{words.title(name)}: {chosen}.")
    return Content(tuple(lines))


def ensemble(found: Found) -> Content:
    """Whether predictions are means over several views of an image, or over several runs."""
    lines = []
    tta = found.facts.get("tta")
    if tta:
        lines.append(f"Test-time augmentation {tta['name']}: the mean over {len(tta['views'])} views of an image.")
    if len(found.manifests) > 1:
        lines.append(f"Predictions are pooled over {len(found.manifests)} runs.")
    return Content(tuple(lines) or ("None: one network, one view of an image.",))


def explanations(found: Found) -> Content:
    """Whether `ccxr explain` wrote maps into the run."""
    if found.explained is None:
        return Content()
    return Content(("Maps of regions that the network uses are in the run's folder explain (Grad-CAM and similar).",))


def _idle(setting: str, phases: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a setting has no effect: mining without the triplet loss, positive_augment with positives by label."""
    embed = phases.get("embed", {})
    if setting == "positive_augment":
        return bool(embed.get("positives", "label") == "label")
    return setting == "mining" and bool(embed.get("loss", "triplet") != "triplet")


def _setting(phase: Mapping[str, Any], name: str) -> str:
    return "all" if name == "trainable" and name in phase and phase[name] is None else _word(phase.get(name))


def _list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _word(value: Any) -> str:
    """A setting as text; None is a dash, and a mapping is an augmentation."""
    if value is None:
        return "\N{EN DASH}"
    return in_words(value) if isinstance(value, Mapping) else _list(value)


def _rows(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in values.items() if value is not None)
