"""The named tensors that a file of weights holds, whatever is wrapped around them; no code of a file is run.

A file is known by its content, not by its ending. Dictionaries in dictionaries are opened, whatever their words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.files import is_plain_zip, is_zip

# Objects of these classes may stand in a checkpoint beside its tensors, or be the network that holds them. They are
# read as `_Record`s: of the class only its name is used.
_LET_IN = (
    "argparse.Namespace", "collections.", "lightning.", "lightning_fabric.", "numpy.", "omegaconf.", "pathlib.",
    "pytorch_lightning.", "timm.", "torch.nn.", "torch.optim.", "torchvision.", "torchxrayvision.", "typing.",
)  # fmt: skip
_DEEP = 8
_UNSAFE = re.compile(r"(?:GLOBAL|module) ([\w.]+)")
_KINDS = {
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"\x89HDF": "an HDF5 file (Keras, TensorFlow); give weights of PyTorch",
    b"version https://git-lfs": "a pointer of Git LFS and not the weights; run git lfs pull",
    b"<!DOCTYPE": "a web page and not the weights; download the file itself",
    b"<html": "a web page and not the weights; download the file itself",
}


@dataclass(frozen=True)
class Group:
    """One dictionary of named tensors.

    Attributes
    ----------
    place : str
        The words that lead to it, joined by dots; '' where it is the file's outermost one.
    tensors : dict of Tensor
        Plain tensors on the CPU; what else the dictionary holds is left out.
    """

    place: str
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Content:
    """What is in a file of weights.

    Attributes
    ----------
    groups : list of Group
        In the order of the file; none is empty.
    classes : tuple of str
        Names of the classes whose objects stand in the file, where they are not torch's own.
    """

    groups: list[Group]
    classes: tuple[str, ...] = field(default=())


def read(path: Path, what: str = "model.weights") -> Content:
    """Open a file of weights: safetensors, or what `torch.save` wrote, in its new or old format.

    Parameters
    ----------
    path : Path
        The file; its ending says nothing.
    what : str
        Stands before the path in an error.

    Raises
    ------
    RequestError
        It is of another kind, cut short or damaged, holds code, or no named tensors.
    """
    with path.open("rb") as file:
        begin = file.read(64)
    if not begin:
        raise RequestError(f"{what} {path} is empty (0 bytes), so it holds no readable plain tensors; copy it again")
    for mark, kind in _KINDS.items():
        if begin.lstrip().startswith(mark):
            raise RequestError(f"{what} {path} is {kind}")
    if path.suffix == ".safetensors" or begin[8:9] == b"{":
        return Content([Group("", unpacked(path.read_bytes(), path, f"{what} "))])
    content, classes = _unpickled(path, what)
    groups = list(_groups(content, ""))
    if not groups:
        raise RequestError(
            f"{what} {path} is not a state_dict: no dictionary in it holds named tensors; save the network's: "
            "torch.save(network.state_dict(), FILE)"
        )
    return Content(groups, classes)


def unpacked(data: bytes, path: Path, what: str = "") -> dict[str, Tensor]:
    """The tensors of a safetensors file; `what` stands before its path in the error.

    Raises
    ------
    RequestError
        Cut short, or a header that lies: lengths, shapes, offsets, types.
    """
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # of a type it knows and torch does not: KeyError; others are its own
        raise RequestError(
            f"{what}{path} is not a safetensors file, or it was cut short or damaged ({len(data)} bytes); copy or "
            "download it again"
        ) from error


class _Record:
    """Stands for an object in a file whose class is not imported: what it held is kept, nothing of it is run."""

    held: Any = None

    def __new__(cls, *_: Any) -> _Record:
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None:
        return

    def __setstate__(self, state: Any) -> None:
        self.held = state


def _unpickled(path: Path, what: str) -> tuple[Any, tuple[str, ...]]:
    """What `torch.save` wrote, read as plain tensors and `_Record`s, and the names of the classes of these."""
    if is_zip(path) and not is_plain_zip(path):
        raise RequestError(f"{what} {path} is a compressed zip, or a damaged one; give the file as torch.save wrote it")
    classes: list[str] = []
    while True:
        try:
            if is_zip(path) and not classes:
                classes = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
            if all(name.startswith(_LET_IN) for name in classes):
                with torch.serialization.safe_globals([(_Record, name) for name in classes]):
                    return torch.load(path, map_location="cpu", weights_only=True), tuple(classes)
            foreign = [name for name in classes if not name.startswith(_LET_IN)]
        except Exception as error:  # a made-up pickle makes the unpickler raise anything
            foreign = _UNSAFE.findall(str(error))
            if not foreign:
                raise RequestError(
                    f"{what} {path} holds no readable plain tensors: it was cut short or damaged "
                    f"({path.stat().st_size} bytes), or torch.save did not write it; copy or download it again"
                ) from error
            if foreign[0].startswith(_LET_IN) and foreign[0] not in classes:  # the old format names one at a time
                classes.append(foreign[0])
                continue
        break
    named = ", ".join(visible(name) for name in foreign[:3])
    raise RequestError(
        f"{what} {path} holds no readable plain tensors: it holds objects of {named}, and code of a file is never run; "
        "where you trust the file, open it with its own library and save the tensors alone: "
        "torch.save(network.state_dict(), 'tensors.pth')"
    )


def _groups(value: Any, place: str, depth: int = 0) -> Iterator[Group]:
    """The dictionaries of named tensors inside a value, the outer ones first."""
    if isinstance(value, _Record):
        value = _network(value)
    if not isinstance(value, Mapping) or depth > _DEEP:
        return
    own = {key: each for key, each in value.items() if isinstance(key, str) and _plain(each)}
    if own:
        yield Group(place, own)
    for key, each in value.items():
        if isinstance(key, str):
            yield from _groups(each, f"{place}.{key}" if place else key, depth + 1)


def _network(record: _Record, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """The state of a network that was saved whole, or what else an object held."""
    held = record.held if isinstance(record.held, Mapping) else {}
    if "_modules" not in held:
        return dict(held)
    found: dict[str, Any] = {}
    for kind in ("_parameters", "_buffers"):
        found |= {f"{prefix}{name}": value for name, value in (held.get(kind) or {}).items()}
    for name, child in (held.get("_modules") or {}).items():
        if isinstance(child, _Record) and depth < 32:
            found |= _network(child, f"{prefix}{name}.", depth + 1)
    return found


def _plain(value: object) -> bool:
    """Whether a value is a tensor of real numbers that are there, one beside the other."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
