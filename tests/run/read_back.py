"""What trackers wrote, read from their real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contrastive_cxr.run.wandb_records import records


def wandb_records(folder: Path) -> list[Any]:
    """All records of all sittings of a W&B run, in order, as `wandb sync` would send them."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # a finished run's file may still be written
    identity = json.loads((folder / "wandb.json").read_text())["id"]
    found = []
    for path in sorted((folder / "wandb" / "wandb").glob(f"offline-run-*/run-{identity}.wandb")):
        for body in records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(body)
            found.append(record)
    return found


def artifacts(found: list[Any]) -> dict[str, Any]:
    """The artifact records, by name."""
    both = [
        record.request.log_artifact.artifact
        if record.request.WhichOneof("request_type") == "log_artifact"
        else record.artifact
        for record in found
        if record.WhichOneof("record_type") == "artifact" or record.request.WhichOneof("request_type") == "log_artifact"
    ]
    return {each.name: each for each in both}


def logged(found: list[Any]) -> dict[str, Any]:
    """The last value of every key of the history."""
    values: dict[str, Any] = {}
    for record in found:
        if record.WhichOneof("record_type") == "history":
            for item in record.history.item:
                *outer, last = item.nested_key or [item.key]
                place = values
                for name in outer:
                    place = place.setdefault(name, {})
                place[last] = json.loads(item.value_json)
    return values


def table(folder: Path, value: dict[str, Any]) -> dict[str, Any]:
    """The file of a W&B table: `columns` and `data`."""
    (file,) = (folder / "wandb" / "wandb").glob(f"offline-run-*/files/{value['path']}")
    return json.loads(file.read_text())


def events(folder: Path) -> Any:
    """TensorBoard's event files, all of their entries."""
    from tensorboard.backend.event_processing import event_accumulator

    kinds = ("scalars", "images", "tensors")
    found = event_accumulator.EventAccumulator(str(folder / "tensorboard"), size_guidance=dict.fromkeys(kinds, 0))
    found.Reload()
    return found


def text(found: Any, tag: str) -> str:
    """The newest text of a tag."""
    return found.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode()


def table_with_pictures(found: list[Any], name: str) -> tuple[dict[str, Any], dict[str, Path]]:
    """A W&B table as its artifact holds it, and where the files of its pictures are, by their paths in the artifact."""
    wanted = f"{name}.table.json"
    for artifact in artifacts(found).values():
        files = {entry.path: Path(entry.local_path) for entry in artifact.manifest.contents if entry.local_path}
        if wanted in files:
            return json.loads(files[wanted].read_text()), files
    raise AssertionError(f"no artifact holds {wanted}")
