"""TensorBoard: event files in the run's folder, read by `tensorboard --logdir RUN`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from contrastive_cxr.run.folder import plain
from contrastive_cxr.run.tracked import DataFacts, Embedded, GalleryFacts, Scored, strip

NAME = "TensorBoard"
FOLDER = "tensorboard"
FLUSH_SECONDS = 15
"""How old what is not yet on disk may be."""
SHEET = 16
"""Cases in one picture."""
THOUSANDTHS = 1000
"""A ROC curve is drawn over the steps: the false positive rate in thousandths."""


class TensorboardEvents:
    """The event files of a run; a new sitting reads the earlier ones, and leaves out the values that they hold.

    Parameters
    ----------
    folder : Path
        The run's folder; gets `tensorboard/`.
    recipe : mapping
        The resolved recipe, shown as text.
    """

    name = NAME
    late = "its files hold what was written so far"

    def __init__(self, folder: Path, recipe: Mapping[str, Any]) -> None:
        self._folder = folder / FOLDER
        self._recipe = recipe
        self._writer: Any = None
        self._seen: dict[str, int] = {}

    def seconds(self) -> float:
        """Waited for the last bytes at the end."""
        return 20.0

    def begin(self, resume: bool) -> None:
        """Open a new event file; with `resume` after those that are there."""
        from torch.utils.tensorboard import SummaryWriter

        self._seen = newest_steps(self._folder) if resume and self._folder.is_dir() else {}
        self._writer = SummaryWriter(str(self._folder), flush_secs=FLUSH_SECONDS)
        if not resume:
            self._text("recipe", f"```\n{json.dumps(plain(self._recipe), indent=2)}\n```")

    def log(self, phase: str, step: int, numbers: dict[str, float]) -> None:
        """A scalar each."""
        del phase
        for name, value in numbers.items():
            if step > self._seen.get(name, -1):
                self._writer.add_scalar(name, value, step)
                self._seen[name] = step

    def picture(self, name: str, path: Path) -> None:
        """A picture, in colour."""
        with Image.open(path) as picture:
            self._image(name, np.asarray(picture.convert("RGB")))

    def data(self, facts: DataFacts) -> None:
        """The counts, as a table."""
        classes = sorted({name for counts in facts.counts.values() for name in counts})
        rows = [[part, *(counts.get(name, 0) for name in classes)] for part, counts in facts.counts.items()]
        self._text("data", f"{_table(['part', *classes], rows)}\n\nSHA-256 {facts.digest}")

    def model(self, folder: Path) -> None:
        """The record of a finished phase; its weights stay where they are."""
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        known = {name: card[name] for name in ("backbone", "classes", "sha256", "training") if name in card}
        self._text(f"model/{folder.name}", f"```\n{json.dumps(known, indent=2)}\n```")

    def scores(self, scored: Scored) -> None:
        """Confusion as a table, PR and ROC curves, cases with neighbours as pictures, vectors for the projector."""
        head = ["true \\ predicted", *scored.classes]
        lines = [[name, *counts] for name, counts in zip(scored.classes, scored.confusion, strict=True)]
        self._text("evaluation/confusion", _table(head, lines))
        for number, name in enumerate(scored.classes):
            truth, given = scored.labels == number, np.asarray(scored.probabilities[:, number], np.float64)
            self._writer.add_pr_curve(f"evaluation/pr/{name}", truth, given, 0)
        for name, curve in scored.roc.items():
            for false, true in curve:
                self._writer.add_scalar(f"evaluation/roc/{name}", true, round(false * THOUSANDTHS))
        self._cases(scored)
        if scored.embedded is not None:
            self._embedding(scored, scored.embedded)

    def gallery(self, facts: GalleryFacts) -> None:
        """What the gallery is, as text."""
        self._text(f"gallery/{facts.name}", f"```\n{json.dumps(facts.__dict__, indent=2, default=dict)}\n```")

    def end(self) -> None:
        """Write what is left."""
        self._writer.close()

    def failed(self) -> None:
        """Nothing is held but a file."""
        self._writer = None

    def _cases(self, scored: Scored) -> None:
        """Sheets of cases, a row each, the image first; and the words of the rows."""
        rows = []
        for case in scored.cases:
            near = ", ".join(f"{name} {gap:.3f}" for name, gap in zip(case.labels, case.distances, strict=True))
            words = [scored.files[case.row], scored.label(case.row), scored.decided(case.row)]
            rows.append([*words, f"{scored.share(case.row):.3f}", near])
        for number, first in enumerate(range(0, len(scored.cases), SHEET)):
            sheet = [strip([case.picture, *case.near]) for case in scored.cases[first : first + SHEET]]
            width = max(row.shape[1] for row in sheet)
            filled = [np.pad(row, ((0, 2), (0, width - row.shape[1])), constant_values=255) for row in sheet]
            self._image("evaluation/cases", np.concatenate(filled)[:, :, None], number)
        if rows:
            head = ["file", "class", "predicted", "probability", "nearest training images, distance"]
            self._text("evaluation/cases", _table(head, rows))

    def _embedding(self, scored: Scored, found: Embedded) -> None:
        """Vectors with class, prediction, file and picture, as the projector reads them."""
        words = [
            [scored.label(row), scored.decided(row), " ".join(scored.files[row].split())] for row in found.rows.tolist()
        ]
        pictures = torch.from_numpy(found.pictures).float()[:, None].expand(-1, 3, -1, -1) / 255
        self._writer.add_embedding(
            torch.from_numpy(found.vectors), words, pictures, tag="embedding",
            metadata_header=["class", "predicted", "file"],
        )  # fmt: skip

    def _image(self, name: str, pixels: np.ndarray[Any, Any], step: int = 0) -> None:
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def _text(self, name: str, text: str) -> None:
        self._writer.add_text(name, text, 0)


def newest_steps(folder: Path) -> dict[str, int]:
    """The newest step of each scalar in the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    files = EventAccumulator(str(folder), size_guidance={SCALARS: 0})
    files.Reload()
    return {name: max(event.step for event in files.Scalars(name)) for name in files.Tags()[SCALARS]}


def _table(head: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
