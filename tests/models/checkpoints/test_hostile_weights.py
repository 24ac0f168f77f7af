"""Weights that lie: headers of safetensors files, pickles with code, archives that grow."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema

MODEL = schema.Model(backbone="cnn2", image_size=32)
CARD = {"classes": [], "decode": {"cache_size": 32}, "channels_last": False, "phase": "embed", "task": "phantom"}
PLAIN = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def network() -> models.Network:
    return models.build(MODEL, mean=0.5, std=0.25, seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weights.save(network(), tmp_path, CARD)
    return tmp_path


def lie(folder: Path, content: bytes | None = None, **changes: Any) -> None:
    """Put other content into the weights, with its right digest in the record, and change the record."""
    if content is not None:
        (folder / "model.safetensors").write_bytes(content)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    record = json.loads((folder / "model.json").read_text()) | {"sha256": digest} | changes
    (folder / "model.json").write_text(json.dumps(record))


def packed(header: Any, data: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    """A safetensors file with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        packed({"a": PLAIN})[:20],
        packed(b"{}", length=2**62),
        packed({"a": PLAIN | {"shape": [2**40]}}),
        packed({"a": PLAIN | {"shape": [2**63, 2**63]}}),
        packed({"a": PLAIN | {"shape": [-4]}}),
        packed({"a": PLAIN | {"data_offsets": [0, 2**50]}}),
        packed({"a": PLAIN | {"data_offsets": [16, 0]}}),
        packed({"a": PLAIN, "b": PLAIN}),
        packed({"a": PLAIN | {"dtype": "X9"}}),
        packed({"a": {"dtype": "F4", "shape": [32], "data_offsets": [0, 16]}}),  # known to the format, not to torch
        packed(b"[" * 100_000),
        packed({"a": PLAIN}),  # sound, and of no network
    ],
    ids=range(13),
)
def test_a_lying_header_is_refused_by_name(folder: Path, content: bytes) -> None:
    lie(folder, content)
    with pytest.raises(RequestError, match=r"model\.safetensors (is not a safetensors file|does not fit)"):
        weights.load(folder)
    with pytest.raises(RequestError, match=r"model\.weights"):
        weights.start(network(), str(folder / "model.safetensors"))


def test_numbers_of_another_kind_are_refused_and_of_another_precision_are_not(folder: Path) -> None:
    state = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    name = next(name for name in state if name.startswith("backbone.") and name.endswith("weight"))
    whole = state | {name: torch.zeros(state[name].shape, dtype=torch.int64)}
    lie(folder, safetensors.torch.save(whole))
    with pytest.raises(RequestError, match=f"'{name}' holds torch.int64, expected torch.float32"):
        weights.load(folder)
    lie(folder, safetensors.torch.save(state | {name: state[name].half()}))
    assert weights.load(folder)[0].state_dict()[name].dtype == torch.float32


def test_a_file_without_the_counters_of_its_batch_norms_is_read(folder: Path) -> None:
    state = safetensors.torch.load((folder / "model.safetensors").read_bytes())
    kept = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    lie(folder, safetensors.torch.save(kept))
    loaded = weights.load(folder)[0].state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in kept.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "is not JSON"),
        ("{", "is not JSON"),
        ('{"format": ' + "9" * 5000 + "}", "is not JSON"),
        ("[]", "is no record of a model"),
        ('{"format": 1}', "is no record of a model"),
        ("\0", "is not JSON"),
    ],
)
def test_a_record_that_is_none_is_refused_by_name(folder: Path, text: str, words: str) -> None:
    (folder / "model.json").write_text(text)
    with pytest.raises(RequestError, match=words):
        weights.load(folder)


@pytest.mark.parametrize(
    "changes", [{"width": 1 << 20}, {"embedding_size": 7}, {"projection": [1 << 20] * 4}, {"image_size": 10**9}]
)
def test_a_record_of_a_larger_network_takes_no_memory(folder: Path, changes: dict[str, Any]) -> None:
    lie(folder, **changes)
    with pytest.raises(RequestError, match=r"model\.json"):
        weights.load(folder)


class Code:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *values: Any) -> None:
        self.function, self.values = function, values

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.values


@pytest.mark.parametrize("ending", ["pth", "pt"])
@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, ending: str, old: bool) -> None:
    path, sprung = tmp_path / f"w.{ending}", tmp_path / "sprung"
    torch.save({"a": Code(open, str(sprung), "w")}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(RequestError, match="no readable plain tensors"):
        weights.start(network(), str(path))
    assert not sprung.exists()


@pytest.mark.parametrize(
    "state",
    [
        {"a": Code(bytearray, 2**50)},
        {"a": Code(bytearray, 8)},
        {"a": torch.empty(3, device="meta")},
        {"a": torch.eye(3).to_sparse()},
        {"a": torch.zeros(2, dtype=torch.complex64)},
        {1: torch.zeros(2)},
        {"a": torch.zeros(1).expand(2**40)},  # a thousand thousand million numbers in four bytes
        {"a": {"b": {"c": 1}}},
        [torch.zeros(2)],
    ],
    ids=range(9),
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_plain_tensor_is_refused_by_name(tmp_path: Path, state: Any) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(RequestError, match=r"w\.pth (holds no readable|is not a state_dict|does not fit)"):
        weights.start(network(), str(tmp_path / "w.pth"))


@pytest.mark.parametrize("bomb", ["compressed", "shared"])
def test_an_archive_that_grows_is_refused_before_it_is_read(
    tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, path = tmp_path / "plain.pth", tmp_path / "w.pth"
    torch.save({"a": torch.zeros(1_000_000)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for member in source.infolist():
            kind = zipfile.ZIP_DEFLATED if bomb == "compressed" else zipfile.ZIP_STORED
            target.writestr(member.filename, source.read(member), compress_type=kind)
        if bomb == "shared":  # the same bytes under a hundred names
            large = max(target.filelist, key=lambda member: member.file_size)
            for number in range(100):
                twin = zipfile.ZipInfo(f"twin{number}")
                for name in ("file_size", "compress_size", "CRC", "header_offset", "compress_type"):
                    setattr(twin, name, getattr(large, name))
                target.filelist.append(twin)
                target.NameToInfo[twin.filename] = twin

    def read(*_: object, **__: object) -> None:
        raise AssertionError("the archive was read")

    monkeypatch.setattr(torch, "load", read)
    with pytest.raises(RequestError, match="is a compressed zip"):
        weights.start(network(), str(path))
