"""Images and labels that scikit-learn hands to `fit`, as the data and the recipe of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.recipe.text import yaml_text
from contrastive_cxr.run_layout import CLASSIFIERS
from contrastive_cxr.sklearn.samples import InputError

if TYPE_CHECKING:
    from contrastive_cxr.retrieval.image_inputs import Item

PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
BY_ITSELF = ("tracking.wandb=off", "evaluation.audit=false", "evaluation.baselines=false", "evaluation.robustness=off")
"""What `fit` leaves out of a run; `settings` come after and may say otherwise."""
KEPT = (
    "cache_size", "cache_dir", "resize", "intensity", "border_crop", "denoise", "equalise", "on_bad_image", "workers",
    "decoding",
)  # fmt: skip
"""Settings of a recipe's `data` that hold for images from anywhere."""
WITHOUT_DATA = (
    "data.source=phantom", "data.join=[]", "data.root=null", "data.csv=null", "data.merge=[]", "data.split_lists={}",
    "data.columns={}", "data.where={}", "data.leave_out=[]", "data.repeated=refuse", "data.table={}",
    "data.outside=false", "data.shards=null",
)  # fmt: skip
"""What takes a recipe's own images out: many have none until somebody names them, and are refused without."""
IMAGES, TABLE, RECIPE = "images", "rows.csv", "recipe.yaml"


@dataclass(frozen=True)
class Handed:
    """N images with labels.

    Attributes
    ----------
    images : list of path, PIL image or array [H, W]
    numbers : int64 [N], class numbers
    classes : names of the classes, by number
    groups : N names of patients, '' not known
    """

    images: Sequence[Item]
    numbers: np.ndarray[Any, np.dtype[np.int64]]
    classes: Sequence[str]
    groups: Sequence[str]


def as_pictures(images: Sequence[Item]) -> list[Item]:
    """Arrays of floats in 0..1 as uint8, which a PNG can hold; everything else as it is.

    Training and prediction both come through here, so that both see the same grey levels.
    """
    found: list[Item] = []
    for image in images:
        if not isinstance(image, str | os.PathLike | Image.Image):
            values = np.asarray(image)
            image = np.rint(values * 255).astype(np.uint8) if values.dtype.kind == "f" else values
        found.append(image)
    return found


def write(handed: Handed, folder: Path) -> tuple[Path, Path]:
    """Write the images that are no files and a table of all rows below `folder`.

    Returns
    -------
    root, table : Path
        Of files alone the root is the folder that all of them are in: a later `fit` on some of them finds them decoded.

    Raises
    ------
    InputError
        Each PIL image of a mode that no PNG holds.
    """
    faults: list[str] = []
    files: list[str] = []
    for place, image in enumerate(handed.images):
        if isinstance(image, str | os.PathLike):
            files.append(os.path.abspath(image))
            continue
        picture = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))
        if picture.mode not in PNG_MODES:
            faults.append(
                f"X[{place}] is a PIL image of mode {picture.mode}; convert it to one of {', '.join(PNG_MODES)}"
            )
            continue
        file = folder / IMAGES / f"{place:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
        files.append(str(file))
    if faults:
        raise InputError(*faults)
    labels = [str(number) for number in handed.numbers]
    table = pd.DataFrame({"file": files, "label": labels, "patient": list(handed.groups)})
    table.to_csv(folder / TABLE, index=False)
    given = all(isinstance(image, str | os.PathLike) for image in handed.images)
    root = Path(os.path.commonpath([os.path.dirname(file) for file in files])) if given else folder / IMAGES
    return root, folder / TABLE


def of_run(recipe: Any, settings: Sequence[str], folder: Path) -> Recipe:
    """The recipe as it was given, with its settings.

    Raises
    ------
    RequestError
        No such recipe or setting; it is a cascade, or no phase of it trains a classifier.
    """
    if isinstance(recipe, Recipe):
        (folder / RECIPE).write_text(recipes.record(recipe), encoding="utf-8")
        recipe = folder / RECIPE
    found = recipes.load(recipe, [*WITHOUT_DATA, *BY_ITSELF, *settings])
    if found.cascade is not None:
        raise RequestError("the recipe is a cascade, which is three runs; give one without the section cascade")
    if not any(name in CLASSIFIERS for name in found.phases):
        raise RequestError(
            f"the recipe has the phases {', '.join(found.phases)} and none of {', '.join(CLASSIFIERS)}, which train a "
            "classifier; give one of them, or use ImageEmbedder with GalleryClassifier"
        )
    return found


def on_images(recipe: Recipe, handed: Handed, folder: Path, validation: float, device: str) -> Recipe:
    """The recipe with the handed images as its data and their labels as its task.

    Parameters
    ----------
    validation : float
        Share of the images that choose the checkpoints, taken out by group and stratified by class.

    Raises
    ------
    RequestError
        What of the recipe does not fit these labels, such as decision costs of other classes.
    """
    root, table = write(handed, folder)
    tree = recipe.model_dump(mode="json")
    data = {name: value for name, value in tree["data"].items() if name in KEPT}
    if not root.is_relative_to(folder):
        data["cache_dir"] = tree["data"]["cache_dir"]
    elif data["cache_dir"] is None:
        data["cache_dir"] = str(folder / "cache")  # of images that will be gone
    columns = {"file": "file", "label": "label", "patient": "patient", "recognise": False}
    split = {"kind": "fractions", "val": validation, "test": 0.0, "seed": tree["data"]["split"]["seed"]}
    tree["data"] = {
        "source": "csv", "root": str(root), "csv": str(table), "columns": columns, "split": split, "outside": True,
    } | data  # fmt: skip
    names = {name: [str(number)] for number, name in enumerate(handed.classes)}
    tree["task"] = {"name": "labels", "classes": names}
    tree["runtime"]["device"] = device
    (folder / RECIPE).write_text(yaml_text.write(tree), encoding="utf-8")
    return recipes.load(folder / RECIPE)
