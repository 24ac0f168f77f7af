"""The pre-flight check: can each phase that learns a representation learn a few images by heart?

The phases are the real ones, as a run trains them, on a data set that consists of those images alone.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import engine, phases, terminal
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.engine import Fabric
from contrastive_cxr.engine.health.not_finite import NotFinite
from contrastive_cxr.errors import RequestError
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.preflight.model_checks import check_model_and_batches, check_weights
from contrastive_cxr.recipe.mix import Mix
from contrastive_cxr.recipe.schema import Embed, Recipe, Schedule, Supervised
from contrastive_cxr.run import seeds
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_layout import PhaseName

LEARNED = 0.05  # nats: every image's class has a probability near 0.95; of a hinge, nearly all margins are kept
STEPS = 20
"""Steps of an epoch; after each epoch it is asked whether the images are learned."""


@dataclass(frozen=True)
class Overfit:
    """What came of one phase.

    Attributes
    ----------
    phase : PhaseName
    steps : int
        Steps taken.
    first_loss, loss : float
        Mean loss of the first and the last epoch of `STEPS` steps, nats where the loss is a cross-entropy; `loss` is
        nan where it did not stay finite.
    score : float
        Accuracy on the training images, or of the contrastive phase MAP@R among them; nan where no label is used.
    learned : bool
    """

    phase: PhaseName
    steps: int
    first_loss: float
    loss: float
    score: float
    learned: bool

    def words(self, images: int) -> str:
        """The outcome in one sentence."""
        score = "MAP@R" if self.phase == "embed" else "accuracy"
        scored = "" if np.isnan(self.score) else f", {score} {self.score:.2f}"
        what = f"loss {self.first_loss:.3f} -> {self.loss:.3f}{scored} after {self.steps} steps"
        if self.learned:
            return f"{self.phase}: {images} images were learned by heart: {what}."
        return (
            f"{self.phase}: {images} images could NOT be learned by heart: {what}. Look at the learning rate, the "
            "trainable blocks and whether the labels can be right."
        )


class Learned(Exception):
    """Raised from within a phase: the images are learned, so it need not go on."""


class Watcher(Tracker):
    """Looks at the rows that a phase logs, and ends the phase once `learned` says so.

    Parameters
    ----------
    learned : callable
        `learned(watcher)`, asked after each epoch, when its values are there.
    """

    def __init__(self, learned: Callable[[Watcher], bool]) -> None:
        super().__init__()
        self.learned, self.rows = learned, list[dict[str, Any]]()

    def replay(self, phase: str, rows: Sequence[dict[str, Any]]) -> None:
        """Keep the rows; the validation's row is the last one of an epoch."""
        self.rows += [row for row in rows if row["split"] in ("train", "val")]
        if self.rows and self.rows[-1]["split"] == "val" and self.learned(self):
            raise Learned

    def of(self, split: str, name: str) -> list[float]:
        """A value of every epoch so far; nan where it was not computed."""
        return [float(row.get(name, np.nan)) for row in self.rows if row["split"] == split]


def overfit(recipe: Recipe, images: int, *, steps: int = 200) -> list[Overfit]:
    """Train the recipe's first supervised phase and its contrastive phase on `images` training images.

    Nothing that regularises is on: no augmentation (but that which makes a positive), smoothing, mixing, running
    average or schedule. Each phase starts from `model.weights` and ends as soon as the images are learned.

    Parameters
    ----------
    images : int
        2 or more; divided over the classes as evenly as they allow.
    steps : int
        Most steps that are tried in a phase; a multiple of 20 is meant.

    Returns
    -------
    list of Overfit
        Of `pretrain` (else `finetune`), and of `embed`, as far as the recipe has them.

    Raises
    ------
    RequestError
        Fewer training images than asked for, or too few of a class for a contrastive batch.
    """
    with terminal.Stages("starting", 1, first="reading the images"):
        data = open_dataset(recipe.data, recipe.task)
    rows = one_batch(data, images, recipe.seed)
    supervised: PhaseName = "pretrain" if recipe.pretrain else "finetune"
    names = [name for name in recipe.phases if name in (supervised, "embed")]
    small = {name: by_heart(recipe, name, data.labels[rows], max(1, round(steps / STEPS))) for name in names}
    few = alone(data, rows)
    for name in names:
        check_model_and_batches(small[name], few, (name,))
    check_weights(recipe)
    fabric = engine.launch(recipe.runtime)
    return [learn(small[name], name, few, fabric) for name in names]


def learn(recipe: Recipe, name: PhaseName, data: Dataset, fabric: Fabric) -> Overfit:
    """Train one phase in a temporary folder until the images are learned."""
    labelled = recipe.phase(name).uses_labels
    score = ("val", "map_at_r") if name == "embed" else ("train", "accuracy")

    def learned(watcher: Watcher) -> bool:
        loss, scores = watcher.of("train", "loss"), watcher.of(*score)
        if name != "embed":
            return loss[-1] < LEARNED and scores[-1] == 1.0
        return scores[-1] >= 1.0 - 1e-9 if labelled else loss[-1] <= loss[0] / 2

    watcher = Watcher(learned)
    done, finite = False, True
    with tempfile.TemporaryDirectory() as folder:
        try:
            phases.TRAIN[name](PhaseContext(recipe, data, fabric, Path(folder) / name, None, watcher))
        except Learned:
            done = True
        except NotFinite:
            finite = False
    losses, scores = watcher.of("train", "loss"), watcher.of(*score)
    last = scores[-1] if labelled and scores else math.nan
    first, newest = (losses[0], losses[-1]) if losses else (math.nan, math.nan)
    return Overfit(name, len(losses) * STEPS, first, newest if finite else math.nan, last, done)


def by_heart(recipe: Recipe, name: PhaseName, labels: NDArray[np.int64], epochs: int) -> Recipe:
    """The recipe whose phase is `epochs` epochs of `STEPS` steps on the images of `labels`; nothing regularises."""
    phase = recipe.phase(name)
    changes: dict[str, Any] = {
        "epochs": epochs, "validate_every": 1, "choose_by": "last", "initial_image_size": None, "schedule": Schedule(),
        "ema_decay": 0.0, "augment": "none",
    }  # fmt: skip
    if isinstance(phase, Embed):
        counts = np.bincount(labels)
        fewest = int(counts[counts > 0].min())
        if phase.uses_labels and fewest < 2:
            raise RequestError(
                f"--overfit {len(labels)}: the contrastive phase needs two images of a class; give at least "
                f"{2 * len(recipe.task.names)}"
            )
        changes |= {"steps_per_epoch": STEPS, "batch_size": len(labels), "images_per_class": max(2, fewest)}
        changes |= {"classes_per_batch": int((counts > 0).sum()), "memory_bank_size": 0}
    elif isinstance(phase, Supervised):
        changes |= {"batch_size": len(labels), "accumulate": 1, "label_smoothing": 0.0, "imbalance": "none"}
        changes |= {"head_epochs": 0, "mix": Mix()}
    if name == "finetune":
        changes |= {"trainable": None, "contrastive": 0.0}
    return recipe.model_copy(update={name: phase.model_copy(update=changes)})


def alone(data: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """A data set of these rows alone: `STEPS` times as training part, once as validation part.

    Mean and deviation are those of the whole training part, as a run has them. Patients count as unknown: images of one
    patient may be each other's neighbours here.
    """
    every = np.concatenate([np.tile(rows, STEPS), rows])
    split = np.where(np.arange(len(every)) < STEPS * len(rows), "train", "val")
    return replace(
        data,
        manifest=data.manifest.take(every).split_as(list(split)),
        labels=data.labels[every],
        patients=np.full(len(every), -1),
        split=split,
        images=Squares(data.images.store, data.images.slots[every]),
        facts=data.facts.iloc[every].reset_index(drop=True),
    )


def one_batch(data: Dataset, images: int, seed: int) -> NDArray[np.int64]:
    """`images` training rows, the classes in turn."""
    train = data.rows("train")
    if not 2 <= images <= len(train):
        raise RequestError(f"--overfit {images}: from 2 to the {len(train)} training images")
    order = seeds.numpy_generator(seed, "overfit", "rows").permutation(train)
    place = nth_of_its_class(data.labels[order])
    return np.sort(order[np.argsort(place, kind="stable")][:images])


def nth_of_its_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of a label came before it, for each place."""
    counts: dict[int, int] = {}
    ranks = []
    for label in labels.tolist():
        ranks.append(counts.get(label, 0))
        counts[label] = ranks[-1] + 1
    return np.array(ranks)
