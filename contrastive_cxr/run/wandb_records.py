"""What the files of earlier sittings of a W&B run hold: W&B itself knows nothing of them offline."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path


def recorded(place: Path, identity: str) -> tuple[dict[str, float], int]:
    """What earlier sittings hold: `({metric: newest step}, number of the next row)`."""
    from wandb.proto import wandb_internal_pb2

    seen: dict[str, float] = {}
    row = 0
    for path in sorted(place.rglob(f"*run-*/run-{identity}.wandb")):
        for body in records(path.read_bytes()):
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


def records(data: bytes) -> Iterator[bytes]:
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
