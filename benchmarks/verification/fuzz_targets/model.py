"""Bytes as weights and as a model's record, each with a digest that fits, so that the digest hides nothing."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import tempfile
from functools import cache
from pathlib import Path

import safetensors.torch
import torch

from contrastive_cxr import models
from contrastive_cxr.models import weights
from contrastive_cxr.recipe.schema import Model
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.run import checkpoint

MODEL = Model(backbone="cnn4", image_size=32)
CARD = {"classes": ["no", "yes"], "decode": {"cache_size": 32}, "channels_last": False, "phase": "embed", "task": "x"}


def run(content: bytes) -> None:
    """Load in the way that the first byte names.

    `s`, `p`: the rest is a `.safetensors` or `.pth` file to start from; `c`: a checkpoint; `w`: the weights of a phase
    folder; `h`: the header of these weights; `j`: the record of the folder.
    """
    word, rest = content[:1], content[1:]
    if word == b"c":
        (_scratch() / "last.ckpt").write_bytes(rest)
        checkpoint.load(_scratch() / "last.ckpt")
        return
    if word in (b"s", b"p"):
        path = _scratch() / ("start.safetensors" if word == b"s" else "start.pth")
        path.write_bytes(rest)
        weights.start(_network(), str(path))
        return
    folder, (record, data) = _scratch() / "phase", _saved()
    if word == b"h":
        data = struct.pack("<Q", len(rest)) + rest + data[8 + struct.unpack("<Q", data[:8])[0] :]
    elif word == b"w":
        data = rest
    elif word != b"j":
        return
    (folder / "model.safetensors").write_bytes(data)
    (folder / "model.json").write_bytes(rest if word == b"j" else _fitting(record, data))
    EmbeddingModel.load(folder)


def seeds() -> dict[str, bytes]:
    """Small files of each kind, some with code in a pickle."""
    record, data = _saved()
    some = {"features.conv0.weight": torch.zeros(2, 3), "classifier.bias": torch.zeros(2)}
    found = {"record": b"j" + record, "header": b"h" + data[8 : 8 + struct.unpack("<Q", data[:8])[0]]}
    found["record-densenet"] = b"j" + record.replace(b"cnn4", b"densenet121")
    for kind in (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool):
        content = safetensors.torch.save({name: tensor.to(kind) for name, tensor in some.items()})
        found[f"safetensors-{str(kind)[6:]}"] = b"s" + content
    found["folder"] = b"w" + safetensors.torch.save(some, {"format": "pt"})
    for name, content in {"flat": some, "nested": {"state_dict": some}, "list": [1, 2], "code": _Code()}.items():
        for zipped in (True, False):
            found[f"pth-{name}-{'zip' if zipped else 'old'}"] = b"p" + _torch_file(content, zipped)
    for name, state in {"tensors": some, "code": _Code()}.items():
        found[f"checkpoint-{name}"] = b"c" + _torch_file(state, True)
    found["pth-pickle"] = b"p" + pickle.dumps(_Code())
    return found


class _Code:
    """What a hostile pickle does when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code of a pickle was run",))


def _torch_file(content: object, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _fitting(record: bytes, data: bytes) -> bytes:
    return json.dumps(json.loads(record) | {"sha256": hashlib.sha256(data).hexdigest()}).encode()


@cache
def _network() -> models.Network:
    return models.build(MODEL, projection=(4, 2), classes=2, hidden=(3,), mean=0.5, std=0.25, seed=0)


@cache
def _saved() -> tuple[bytes, bytes]:
    """Record and weights of a small network as they are written."""
    weights.save(_network(), _scratch() / "phase", CARD)
    return tuple((_scratch() / "phase" / name).read_bytes() for name in ("model.json", "model.safetensors"))  # type: ignore[return-value]


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-model-"))
