"""The named tensors that a file of weights holds, whatever is wrapped around them; no code of a file is run.

A file is known by its content, not by its ending. Dictionaries in dictionaries are opened, whatever their words.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

import contrastive_cxr.models.checkpoints.shards as shards
from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.files import is_plain_zip
from contrastive_cxr.models.checkpoints.unpickle import Record, network, unpickled

_DEEP = 8
_LONG = 64  # a list of more is a log and no row of networks
_HEAD = 512
# what torch.save writes in its old format begins with this number
_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
_KINDS = {
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"\x89HDF": "an HDF5 file (Keras, TensorFlow); give weights of PyTorch",
    b"GGUF": "a GGUF file of quantised weights; give weights of PyTorch",
    b"\x93NUMPY": "an array of NumPy and not named tensors; save the network's: torch.save(network.state_dict(), FILE)",
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
    quantised : bool
        Whether tensors of torch's quantised types were left out.
    """

    groups: list[Group]
    classes: tuple[str, ...] = ()
    quantised: bool = False


def read(path: Path, what: str = "model.weights") -> Content:
    """Open a file of weights: safetensors, what `torch.save` wrote, in its new or old format, or an index of parts.

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
    if shards.is_index(path):
        return _joined(path, what)
    with path.open("rb") as file:
        begin = file.read(_HEAD)
    if not begin:
        raise RequestError(f"{what} {path} is empty (0 bytes), so it holds no readable plain tensors; copy it again")
    kind = _other_kind(path, begin)
    if kind:
        raise RequestError(f"{what} {path} is {kind}")
    if path.suffix == ".safetensors" or begin[8:9] == b"{":
        return Content([Group("", unpacked(path.read_bytes(), path, f"{what} "))])
    content, classes = unpickled(path, what)
    groups = list(_groups(content, ""))
    if not groups:
        arrays = any(name.startswith("numpy.") for name in classes)
        found = "its dictionaries hold arrays of NumPy" if arrays else "no dictionary in it holds named tensors"
        raise RequestError(
            f"{what} {path} is not a state_dict: {found}; save the network's: torch.save(network.state_dict(), FILE)"
        )
    return Content(groups, classes, _quantised(content))


def _other_kind(path: Path, begin: bytes) -> str:
    """What a file is that is of no kind with named tensors of PyTorch, by its first bytes; '' where it may be one."""
    for mark, kind in _KINDS.items():
        if begin.lstrip().startswith(mark):
            return kind
    if begin[257:262] == b"ustar":
        return "a tar archive; unpack it, and give the file of weights in it"
    if begin[:1] == b"\x80" and _MAGIC not in begin[:32]:
        return (
            "a pickle that torch.save did not write; save the network's tensors: torch.save(network.state_dict(), FILE)"
        )
    if begin[:4] == b"PK\x03\x04" and is_plain_zip(path):
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
        if "data.pkl" not in names:
            inside = "arrays of NumPy" if any(name.endswith(".npy") for name in names) else ", ".join(names[:3])
            return (
                f"a zip archive of {visible(inside)}, which torch.save did not write; give a file of PyTorch's weights"
            )
    return ""


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


def _joined(index: Path, what: str) -> Content:
    """The tensors of all parts that an index lists, as one dictionary; each part is a file of its own."""
    read_parts = [read(part, what) for part in shards.parts(index, what)]
    tensors: dict[str, Tensor] = {}
    for part in read_parts:
        for group in part.groups:
            tensors |= group.tensors
    shards.check_whole(index, set(tensors), what)
    return Content([Group("", tensors)], tuple(dict.fromkeys(name for part in read_parts for name in part.classes)))


def _groups(value: Any, place: str, depth: int = 0) -> Iterator[Group]:
    """The dictionaries of named tensors inside a value, the outer ones first."""
    if isinstance(value, Record):
        value = network(value)
    if isinstance(value, list | tuple) and len(value) <= _LONG:
        value = {str(number): each for number, each in enumerate(value) if not isinstance(each, Tensor)}
    if not isinstance(value, Mapping) or depth > _DEEP:
        return
    own = {key: each for key, each in value.items() if isinstance(key, str) and _plain(each)}
    if own:
        yield Group(place, own)
    for key, each in value.items():
        if isinstance(key, str):
            yield from _groups(each, f"{place}.{key}" if place else key, depth + 1)


def _quantised(value: Any, depth: int = 0) -> bool:
    """Whether quantised tensors are in the dictionaries of a value."""
    if isinstance(value, Mapping) and depth <= _DEEP:
        return any(_quantised(each, depth + 1) for each in value.values())
    return isinstance(value, Tensor) and value.is_quantized


def _plain(value: object) -> bool:
    """Whether a value is a tensor of real numbers that are there, one beside the other."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
