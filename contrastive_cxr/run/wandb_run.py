"""Weights & Biases as a tracker: a run that survives being killed, and waits for a server for a bounded time."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.run import wandb_media
from contrastive_cxr.run.folder import plain, write_json
from contrastive_cxr.run.tracked import DataFacts, GalleryFacts, Scored
from contrastive_cxr.run.wandb_records import recorded

log = logging.getLogger(__name__)
NAME = "Weights & Biases"
INIT_SECONDS = 20.0
"""Waited for a W&B server at the beginning, while the run goes on; then the run is recorded offline."""
FINISH_SECONDS = 60.0
"""Waited for uploads at the end; what is left then lies in the run's folder, for `wandb sync`."""


class WandbRun:
    """A W&B run that lasts as long as the run folder does; a server that does not answer makes it an offline run.

    Offline, W&B writes one file a sitting and knows nothing of the earlier ones; what a killed sitting had in memory
    (some 15 s, and the newest row) is lost. So a new sitting reads the earlier sittings' files, numbers its rows from
    there on, and leaves out the values that they hold: the rows of `metrics.jsonl` can be logged again, and none is
    lost or doubled.

    Parameters
    ----------
    arguments : dict
        As from `arguments_of`.
    """

    name = NAME
    late = "`wandb sync` sends what it has written"

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = arguments
        self._run: Any = None
        self._seen: dict[str, float] = {}
        self._row = 0
        self._data = ""

    def seconds(self) -> float:
        """Waited for a server, and then for uploads."""
        return INIT_SECONDS + FINISH_SECONDS

    def begin(self, resume: bool) -> None:
        """Start the run, or go on under its id; offline where no server answers."""
        import wandb

        arguments = self._arguments
        # where it cannot write, W&B would silently take a temporary folder
        place = Path(arguments["dir"])
        place.mkdir(parents=True, exist_ok=True)
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError(f"'{place}' cannot be written to")
        if resume:
            # W&B's own process holds an id as long as it lives, its run finished or not; ended, it has written all
            wandb.teardown()
            self._seen, self._row = recorded(place, arguments["id"])
            # W&B names a sitting's folder by the second: a sitting that follows within it would be lost
            while any(place.rglob(f"*run-{time.strftime('%Y%m%d_%H%M%S')}-{arguments['id']}")):
                time.sleep(0.1)
        try:
            self._run = wandb.init(**arguments, resume="allow", settings=_settings())
        except Exception as error:  # W&B's errors have no common class
            if arguments["mode"] != "online":
                raise
            first = (str(error).splitlines() or [""])[0]
            log.warning(
                "Weights & Biases does not answer (%s: %s); the run is recorded offline in '%s': `wandb sync` sends it",
                type(error).__name__,
                first,
                place,
            )
            wandb.teardown()  # its process holds the id
            self._run = wandb.init(**{**arguments, "mode": "offline"}, resume="allow", settings=_settings())

    def log(self, phase: str, step: int, numbers: dict[str, float]) -> None:
        """A row of W&B's history; a phase's values are drawn over its own steps."""
        values = {name: value for name, value in numbers.items() if step > self._seen.get(name, -1)}
        if not values:
            return
        if not any(name.startswith(f"{phase}/") for name in self._seen):
            self._run.define_metric(f"{phase}/step", hidden=True)
            self._run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")
        self._run.log({f"{phase}/step": step, **values}, step=self._row)
        self._row += 1
        self._seen.update(dict.fromkeys(values, step))

    def picture(self, name: str, path: Path) -> None:
        """A picture, at the next row's number: it takes none of its own, so every sitting numbers rows alike."""
        import wandb

        self._run.log({name: wandb.Image(str(path))}, step=self._row)

    def data(self, facts: DataFacts) -> None:
        """An artifact `data-DIGEST` of type dataset: runs of the same images share it. An input of an online run."""
        self._data = f"data-{facts.digest[:12]}"
        artifact = wandb_media.data_artifact(self._data, facts)
        if not self._run.offline:  # W&B takes inputs from a server alone
            with suppress(Exception):
                self._run.use_artifact(artifact)
                return
        self._run.log_artifact(artifact)

    def model(self, folder: Path) -> None:
        """An artifact of `model.safetensors` and `model.json`; the same content is one version.

        W&B reads the files where they lie, and makes no copy of them: a finished phase's model does not change.
        """
        self._run.log_artifact(wandb_media.model_artifact(self._run.id, folder, self._data))

    def scores(self, scored: Scored) -> None:
        """Confusion matrix, PR and ROC curves, a table of cases with their neighbours, a table of vectors."""
        self._run.log(wandb_media.panels(scored), step=self._row)

    def gallery(self, facts: GalleryFacts) -> None:
        """An artifact of type gallery that names the run and the model; neither vectors nor rows are in it."""
        self._run.log_artifact(wandb_media.gallery_artifact(self._run.id, facts))

    def end(self) -> None:
        """Write what is left."""
        self._run.finish()

    def failed(self) -> None:
        """Let W&B's own process go: left, it would be waited for, or missed, at the program's end."""
        self._run = None
        with suppress(Exception):
            import wandb

            wandb.teardown(exit_code=1)


def _settings() -> Any:
    """Quiet, and bounded in what it waits for."""
    import wandb

    limits = {"init_timeout": INIT_SECONDS, "finish_timeout": FINISH_SECONDS, "login_timeout": INIT_SECONDS}
    known = {name: value for name, value in limits.items() if name in wandb.Settings.model_fields}
    quiet = {"silent": True, "console": "off", "x_disable_stats": True, "x_disable_meta": True}
    return wandb.Settings(save_code=False, disable_git=True, **quiet, **known)


def _identity(folder: Path, resume: bool) -> str:
    """The id in `wandb.json`; for a new one that which an agent of a W&B sweep gives, so that the sweep finds it."""
    file = folder / "wandb.json"
    if resume and file.exists():
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"'{file}' is broken; remove it and the run gets a new W&B id") from error
    agent = os.environ.get("WANDB_SWEEP_ID") and os.environ.get("WANDB_RUN_ID")
    identity = agent or uuid4().hex[:8]
    write_json(file, {"id": identity})
    return identity


def overruled(mode: str) -> str:
    """A sentence where the environment says another mode of W&B than the recipe's `mode`, which goes first; else ''."""
    asked = os.environ.get("WANDB_MODE", "").strip().lower()
    meant = {"disabled": "off", "dryrun": "offline", "run": "online", "shared": "online"}.get(asked, asked)
    if not asked or meant == mode:
        return ""
    cure = f"set tracking.wandb={meant}" if meant in ("off", "offline", "online") else "take it out"
    return f"WANDB_MODE={asked} of the environment is not used, as the recipe says tracking.wandb={mode}; {cure}"


def arguments_of(recipe: Mapping[str, Any], folder: Path, tracking: schema.Tracking, resume: bool) -> dict[str, Any]:
    """Arguments of `wandb.init`; everything that W&B writes lies inside the run's folder.

    Raises
    ------
    RequestError
        `wandb.json` is broken.
    """
    place = str((folder / "wandb").resolve())
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        os.environ.setdefault(name, place)
    # W&B reports its own errors and timings to its makers unless told not to; we send nothing that nobody asked for
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    return {
        "project": tracking.project,
        "entity": tracking.entity,
        "name": recipe.get("name"),
        "config": plain(recipe),
        "id": _identity(folder, resume),
        "mode": tracking.wandb,
        "dir": place,
    }
