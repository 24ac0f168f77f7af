"""Weights & Biases: never asked for, never in the way."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.run.aside import BackgroundWorker
from contrastive_cxr.run.folder import plain, write_json
from contrastive_cxr.run.wandb_records import recorded

log = logging.getLogger(__name__)
INIT_SECONDS = 20.0
"""Waited for a W&B server at the beginning, while the run goes on; then the run is recorded offline."""
FINISH_SECONDS = 60.0
"""Waited for uploads at the end; what is left then lies in the run's folder, for `wandb sync`."""


class Tracker:
    """A W&B run that lasts as long as the run folder does.

    W&B is called from a thread of its own, so a server that is slow, gone or silent costs the run nothing while it
    trains, and at most `INIT_SECONDS + FINISH_SECONDS` at its end. A failure of W&B is said once and ends the tracking,
    not the training; a server that does not answer makes it an offline run.

    Offline, W&B writes one file a sitting and knows nothing of the earlier ones; what a killed sitting had in memory
    (some 15 s, and the newest row) is lost. So a new sitting reads the earlier sittings' files, numbers its rows from
    there on, and leaves out the values that they hold: `replay` can then give it the rows of `metrics.jsonl` again, and
    none is lost or doubled.
    """

    def __init__(self) -> None:
        self._aside: BackgroundWorker | None = None
        # of the thread alone
        self._run: Any = None
        self._seen: dict[str, float] = {}
        self._row = 0

    @classmethod
    def open(
        cls,
        recipe: Mapping[str, Any],
        folder: Path,
        tracking: schema.Tracking,
        *,
        resume: bool = False,
        first: bool = True,
    ) -> Tracker:
        """Begin, or with `resume` go on with, the W&B run of a run folder.

        Parameters
        ----------
        recipe : mapping
            The resolved recipe: becomes the W&B config; its `name` the run's name.
        folder : Path
            The run's folder; gets `wandb.json` (the id) and `wandb/`.
        tracking : schema.Tracking
            Mode, project, entity.
        resume : bool
            Go on under the id in `wandb.json`.
        first : bool
            Whether this is the first process; the others track nothing.

        Raises
        ------
        RequestError
            `wandb.json` is broken.
        """
        tracker = cls()
        said = overruled(tracking)
        if said and first:
            log.warning(said)
        if importlib.util.find_spec("wandb") is None and tracking.wandb != "off":
            log.warning("Weights & Biases is not installed (pip install wandb); going on without it")
        elif tracking.wandb != "off" and first:
            identity = _identity(folder, resume)
            arguments = _arguments(recipe, folder, tracking, identity)
            tracker._aside = BackgroundWorker("wandb", tracker._fail)
            tracker._aside.do(lambda: tracker._begin(arguments, resume))
        return tracker

    def _begin(self, arguments: dict[str, Any], resume: bool) -> None:
        import wandb

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
            why = f"{type(error).__name__}: {_first_line(error)}"
            log.warning(
                "Weights & Biases does not answer (%s); the run is recorded offline in '%s': `wandb sync` sends it",
                why,
                place,
            )
            wandb.teardown()  # its process holds the id
            self._run = wandb.init(**{**arguments, "mode": "offline"}, resume="allow", settings=_settings())

    def log(self, phase: str, step: int, values: Mapping[str, float | None]) -> None:
        """Log values at a step of a phase; those that an earlier sitting logged are left out."""
        numbers = {f"{phase}/{name}": math.nan if value is None else value for name, value in values.items()}
        if self._aside is not None:
            self._aside.do(lambda: self._send(phase, step, numbers))

    def _send(self, phase: str, step: int, numbers: dict[str, float]) -> None:
        values = {name: value for name, value in numbers.items() if step > self._seen.get(name, -1)}
        if not values:
            return
        if not any(name.startswith(f"{phase}/") for name in self._seen):
            self._run.define_metric(f"{phase}/step", hidden=True)
            self._run.define_metric(f"{phase}/*", step_metric=f"{phase}/step")
        self._run.log({f"{phase}/step": step, **values}, step=self._row)
        self._row += 1
        self._seen.update(dict.fromkeys(values, step))

    def replay(self, phase: str, rows: list[dict[str, Any]]) -> None:
        """Log the rows of a `metrics.jsonl` that an earlier sitting lost."""
        for row in rows:
            split = row["split"]
            values = {name: value for name, value in row.items() if name not in ("epoch", "step", "split")}
            self.log(phase, row["step"], {f"{split}/{name}": value for name, value in values.items()})

    def picture(self, name: str, path: Path) -> None:
        """Show a picture (png)."""
        if self._aside is not None:
            self._aside.do(lambda: self._show(name, path))

    def _show(self, name: str, path: Path) -> None:
        import wandb

        # at the next row's number: a picture takes none of its own, so rows are numbered alike in every sitting
        self._run.log({name: wandb.Image(str(path))}, step=self._row)

    def model(self, folder: Path) -> None:
        """Keep a phase's `model.safetensors` and `model.json` as an artifact; the same content is one version.

        W&B reads the files where they lie, and makes no copy of them: a finished phase's model does not change.
        """
        if self._aside is not None:
            self._aside.do(lambda: self._keep(folder))

    def _keep(self, folder: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"{self._run.id}-{folder.name}", type="model")
        for name in ("model.safetensors", "model.json"):
            artifact.add_file(str((folder / name).resolve()), policy="immutable", skip_cache=True)
        self._run.log_artifact(artifact)

    def close(self) -> None:
        """Write what is left and end the sitting; waits for a bounded time."""
        if self._aside is None:
            return
        self._aside.do(self._finish)
        if not self._aside.close(INIT_SECONDS + FINISH_SECONDS):
            log.warning("Weights & Biases did not end in time; `wandb sync` sends what it has written")
        self._aside = None

    def _finish(self) -> None:
        self._run.finish()

    def _fail(self, error: Exception) -> None:
        """Say it, and let W&B's own process go: left, it would be waited for, or missed, at the program's end."""
        log.warning("Weights & Biases failed (%s: %s); going on without it", type(error).__name__, _first_line(error))
        self._run = None
        with suppress(Exception):
            import wandb

            wandb.teardown(exit_code=1)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _settings() -> Any:
    """Quiet, and bounded in what it waits for."""
    import wandb

    limits = {"init_timeout": INIT_SECONDS, "finish_timeout": FINISH_SECONDS, "login_timeout": INIT_SECONDS}
    known = {name: value for name, value in limits.items() if name in wandb.Settings.model_fields}
    quiet = {"silent": True, "console": "off", "x_disable_stats": True, "x_disable_meta": True}
    return wandb.Settings(save_code=False, disable_git=True, **quiet, **known)


def _identity(folder: Path, resume: bool) -> str:
    """The id in `wandb.json`, or a new one."""
    file = folder / "wandb.json"
    if resume and file.exists():
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f"'{file}' is broken; remove it and the run gets a new W&B id") from error
    identity = uuid4().hex[:8]
    write_json(file, {"id": identity})
    return identity


def overruled(tracking: schema.Tracking) -> str:
    """A sentence where the environment says another mode of W&B than the recipe, which goes first; else ''."""
    asked = os.environ.get("WANDB_MODE", "").strip().lower()
    meant = {"disabled": "off", "dryrun": "offline", "run": "online", "shared": "online"}.get(asked, asked)
    if not asked or meant == tracking.wandb:
        return ""
    cure = f"set tracking.wandb={meant}" if meant in ("off", "offline", "online") else "take it out"
    return (
        f"WANDB_MODE={asked} of the environment is not used, as the recipe says tracking.wandb={tracking.wandb}; {cure}"
    )


def _arguments(recipe: Mapping[str, Any], folder: Path, tracking: schema.Tracking, identity: str) -> dict[str, Any]:
    """Arguments of `wandb.init`; everything that W&B writes lies inside the run's folder."""
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
        "id": identity,
        "mode": tracking.wandb,
        "dir": place,
    }
