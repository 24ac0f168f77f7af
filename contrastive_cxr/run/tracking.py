"""Weights & Biases: never asked for, never in the way."""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.run.folder import plain, write_json

log = logging.getLogger(__name__)


class Tracker:
    """A W&B run that lasts as long as the run folder does.

    Offline, W&B writes one file a sitting and knows nothing of the earlier ones; what a killed sitting had in memory
    (some 15 s, and the newest row) is lost. So a new sitting reads the earlier sittings' files, numbers its rows from
    there on, and leaves out the values that they hold: `replay` can then give it the rows of `metrics.jsonl` again, and
    none is lost or doubled. A failure of W&B is said once and ends the tracking, not the training.
    """

    def __init__(self) -> None:
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
        if importlib.util.find_spec("wandb") is None and tracking.wandb != "off":
            log.warning("Weights & Biases is not installed (pip install wandb); going on without it")
        elif tracking.wandb != "off" and first:
            identity = _identity(folder, resume)
            tracker._attempt(lambda: tracker._begin(_arguments(recipe, folder, tracking, identity), resume))
        return tracker

    def _begin(self, arguments: dict[str, Any], resume: bool) -> None:
        import wandb

        # where it cannot write, W&B would silently take a temporary folder
        Path(arguments["dir"]).mkdir(parents=True, exist_ok=True)
        if resume:
            # W&B's own process holds an id as long as it lives, its run finished or not; ended, it has written all
            wandb.teardown()
            self._seen, self._row = _recorded(Path(arguments["dir"]), arguments["id"])
            # W&B names a sitting's folder by the second: a sitting that follows within it would be lost
            while any(Path(arguments["dir"]).rglob(f"*run-{time.strftime('%Y%m%d_%H%M%S')}-{arguments['id']}")):
                time.sleep(0.1)
        quiet = wandb.Settings(
            silent=True, console="off", save_code=False, disable_git=True, x_disable_stats=True, x_disable_meta=True
        )
        self._run = wandb.init(**arguments, resume="allow", settings=quiet)

    def log(self, phase: str, step: int, values: Mapping[str, float | None]) -> None:
        """Log values at a step of a phase; those that an earlier sitting logged are left out."""
        fresh = {
            f"{phase}/{name}": math.nan if value is None else value
            for name, value in values.items()
            if step > self._seen.get(f"{phase}/{name}", -1)
        }
        if self._run is not None and fresh:
            self._attempt(lambda: self._send(phase, step, fresh))

    def _send(self, phase: str, step: int, values: dict[str, float]) -> None:
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
        if self._run is not None:
            self._attempt(lambda: self._show(name, path))

    def _show(self, name: str, path: Path) -> None:
        import wandb

        # at the next row's number: a picture takes none of its own, so rows are numbered alike in every sitting
        self._run.log({name: wandb.Image(str(path))}, step=self._row)

    def model(self, folder: Path) -> None:
        """Keep a phase's `model.safetensors` and `model.json` as an artifact; the same content is one version."""
        if self._run is not None:
            self._attempt(lambda: self._keep(folder))

    def _keep(self, folder: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"{self._run.id}-{folder.name}", type="model")
        for name in ("model.safetensors", "model.json"):
            artifact.add_file(str(folder / name))
        self._run.log_artifact(artifact)

    def close(self) -> None:
        """Write what is left and end the sitting."""
        if self._run is not None:
            self._attempt(self._run.finish)
            self._run = None

    def _attempt(self, what: Callable[[], object]) -> None:
        """Do something with W&B; whatever it raises ends the tracking."""
        try:
            what()
        except _failures() as error:
            log.warning("Weights & Biases failed (%s: %s); going on without it", type(error).__name__, error)
            self._run = None


def _failures() -> tuple[type[Exception], ...]:
    """What W&B raises when it, its process or its disk fails."""
    import wandb
    from wandb.sdk.mailbox import mailbox, mailbox_handle

    # the errors of its process derive from Exception alone
    private = [item for module in (mailbox, mailbox_handle) for item in vars(module).values() if isinstance(item, type)]
    mail = [item for item in private if issubclass(item, Exception)]
    return (ImportError, wandb.Error, OSError, RuntimeError, ValueError, *mail)


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


def _recorded(place: Path, identity: str) -> tuple[dict[str, float], int]:
    """What earlier sittings hold: `({metric: newest step}, number of the next row)`."""
    from wandb.proto import wandb_internal_pb2

    seen: dict[str, float] = {}
    row = 0
    for path in sorted(place.rglob(f"*run-*/run-{identity}.wandb")):
        for body in _records(path.read_bytes()):
            record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            record.ParseFromString(body)
            if record.WhichOneof("record_type") != "history":
                continue
            row = max(row, record.history.step.num + 1)
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            steps = [float(value) for name, value in items.items() if name.endswith("/step")]
            if steps:
                seen.update({name: max(steps[0], seen.get(name, -1.0)) for name in items if not name.startswith("_")})
    return seen, row


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records of a `.wandb` file: LevelDB's log format (blocks of 32 KiB) after 7 bytes of header."""
    block, head = 32 * 1024, struct.Struct("<IHB")
    at, parts = 7, b""
    while at + head.size <= len(data):
        if block - at % block < head.size:
            at += block - at % block
            continue
        _, length, kind = head.unpack_from(data, at)
        at += head.size
        if kind == 0 or at + length > len(data):
            return  # a killed process left the rest unwritten
        parts += data[at : at + length]
        at += length
        if kind in (1, 4):  # a record in one piece, or its last piece
            yield parts
            parts = b""
