"""Images without labels: phase 2 alone, with augmentations as positives, as in the shipped label-free recipes."""

from __future__ import annotations

from typing import Any

from contrastive_cxr.data import layouts
from contrastive_cxr.data.manifest import COLUMNS, Manifest
from contrastive_cxr.datasets.new_recipe.division import Division
from contrastive_cxr.datasets.new_recipe.guess import FEWEST_UNLABELLED, Guess, Tree
from contrastive_cxr.datasets.new_recipe.label_columns import findings
from contrastive_cxr.datasets.new_recipe.start import Start
from contrastive_cxr.recipe import schema

TASK = "unlabelled"
DOUBT = (
    "no image has a label, so the recipe trains phase 2 alone and nothing is scored; if there are labels, give "
    "CLASS/IMAGE folders or their table to ccxr init"
)
HEAD = (
    "",
    "No label is read and nothing is scored. The trained model finds similar images (ccxr index, ccxr search),",
    "and is a start for a recipe with labels (model.weights=RUN).",
)
_STEPS = 500  # of phase 2, about as many as xray/label-free takes over its 5,200 training images
_EPOCHS = (5, 60)  # fewest and most passes over the images


def read(root: str, source: schema.Source) -> layouts.Found | None:
    """The images of a root without a folder that could be a class; None where a folder is there, or few images are."""
    found = layouts.folders(root, source.model_copy(update={"label_folders": 0}))
    return None if found.faults or len(found.rows) < FEWEST_UNLABELLED else found


def is_unlabelled(data: schema.Data, rows: Manifest) -> bool:
    """Whether the images lie in folders, and neither a folder nor a column says what any of them shows."""
    if any(source.source != "folders" for source in data.join or (data,)) or any(rows.column("label")):
        return False
    return not findings(rows.rows, [str(column) for column in rows.rows if column not in COLUMNS])


def task(images: Guess) -> Guess:
    """The task of images without labels: one class, so that nothing is scored. `images` says why they have none."""
    words = "no image has a label: all are one class, which training does not read, and nothing is scored"
    why = images.reasons.get("label_folders", "no image has a label")
    return Guess({}, {"": words, "classes": f"none: {why}"}, [DOUBT])


def sections(start: Start, division: Division) -> tuple[Tree, dict[str, str]]:
    """The sections of model, phase 2 and machine for so many images, and the reasons by dotted names."""
    tree: dict[str, Any] = {key: start.tree[key] for key in ("model", "embed", "runtime") if key in start.tree}
    reasons = {
        "model.weights": f"drawn at random, as in {start.name}; imagenet, a file or a run would be a learned start",
        "embed.positives": "the positive of an image is a second augmentation of itself: no label is read",
        "embed.choose_by": "no label says which epoch is best",
    }
    model, phase = tree["model"], tree["embed"]
    if start.image_size != model["image_size"]:
        reasons["model.image_size"] = f"{model['image_size']} in {start.name}; these files have about {start.side}"
        model["image_size"] = start.image_size
    if phase.get("initial_image_size", 0) >= start.image_size:
        del phase["initial_image_size"]
    images = int(division.counts[0].sum())
    batch = min(phase["batch_size"], max(2, images // 2))
    steps = max(1, images // batch)
    phase["epochs"] = min(max(-(-_STEPS // steps), _EPOCHS[0]), _EPOCHS[1])
    reasons["embed.epochs"] = f"{images:,} training images make {steps:,} steps an epoch; more epochs learn more"
    reasons["embed.batch_size"] = "the other images of a batch are the negatives: the more the better (--find-batch)"
    phase["batch_size"] = batch
    return tree, reasons
