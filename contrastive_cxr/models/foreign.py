"""Weights that were not written by us: published ones, and files of torchvision's or timm's names."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import contrastive_cxr.models.backbones as backbones
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.grey import fold_grey, stems
from contrastive_cxr.models.network import Spec

# torchvision's published DenseNets still name their layers `denselayer1.norm.1`; its own loader renames them.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\..+)$")
_CLASSIFIERS = ("AuxLogits", "aux1", "aux2", "classifier", "fc", "head", "heads")
_COUNTER = "num_batches_tracked"


def published(spec: Spec, stem: backbones.Stem) -> dict[str, Tensor]:
    """State of the backbone with its published weights, the stem folded to grey, or left out where it is `random`.

    Raises
    ------
    RequestError
        Where there are none, or they cannot be downloaded, or arrive damaged.
    """
    name, place = spec.backbone, backbones.address(spec.backbone)
    if place is None:
        raise RequestError(f"model.weights=imagenet: {name} has no published weights; set model.weights=none")
    try:
        with torch.random.fork_rng(devices=[]):
            body = backbones.colour(name, image_size=spec.image_size, pretrained=True)
    except (URLError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(
            f"model.weights=imagenet: the weights of {name} could not be had from {place} ({reason}); "
            "check the network, or give model.weights=PATH, or take the recipe's -scratch variant"
        ) from error
    return _grey_state(body, stem)


def backbone_state(path: Path, spec: Spec, grey: nn.Module, stem: backbones.Stem) -> dict[str, Tensor]:
    """State of a backbone from a `.safetensors`, `.pth` or `.pt` file.

    Parameters
    ----------
    path : Path
        The file.
    spec : Spec
        The network that it is for.
    grey : nn.Module
        That network's backbone: a file that fits it as it is was grey already.
    stem : str
        A colour stem is folded to grey, or left out where it is `random`.

    Raises
    ------
    RequestError
        Where the file is of another kind, broken, or of another backbone.
    """
    state = _tensors(path)
    if any(key.startswith("backbone.") for key in state):
        state = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    state = {_OLD_DENSENET.sub(r"\1\2", key.removeprefix("module.")): value for key, value in state.items()}
    given = {key: value for key, value in state.items() if not _of_classifier(key, grey)}
    if not difference(given, grey.state_dict()):
        return given
    with torch.random.fork_rng(devices=[]):
        body = backbones.colour(spec.backbone, image_size=spec.image_size)
    unlike = difference(given, body.state_dict())
    if unlike:
        raise RequestError(
            f"model.weights {path} does not fit {spec.backbone} at {spec.image_size} pixels: {unlike}; "
            "give weights of this backbone"
        )
    body.load_state_dict(body.state_dict() | given)
    return _grey_state(body, stem)


def _grey_state(body: nn.Module, stem: backbones.Stem) -> dict[str, Tensor]:
    """State of a colour backbone made grey; without its stem where that is `random`."""
    if stem == "fold":
        fold_grey(body)
        return body.state_dict()
    colour = tuple(f"{path}." for path in stems(body))
    return {key: value for key, value in body.state_dict().items() if not key.startswith(colour)}


def difference(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The first difference in names and shapes in words, or an empty string; batch counters may be missing."""
    for key in wanted:
        if key in given and given[key].shape != wanted[key].shape:
            return f"'{key}' is {list(given[key].shape)}, expected {list(wanted[key].shape)}"
    missing = [key for key in wanted if key not in given and not key.endswith(_COUNTER)]
    unknown = [key for key in given if key not in wanted]
    parts = [f"{len(missing)} tensors are missing ('{missing[0]}', ...)"] if missing else []
    parts += [f"{len(unknown)} are unknown ('{unknown[0]}', ...)"] if unknown else []
    return " and ".join(parts)


def _tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file; only tensors are unpickled."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(path.read_bytes())
        if path.suffix not in (".pth", ".pt"):
            raise RequestError(
                f"model.weights {path} ends in '{path.suffix}'; give .safetensors, .pth, .pt or a folder"
            )
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise RequestError(f"model.weights {path} holds no readable plain tensors ({reason})") from error
    for word in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(word), dict):
            content = content[word]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise RequestError(f"model.weights {path} is not a state_dict: named tensors and nothing else")
    return content


def _of_classifier(key: str, body: nn.Module) -> bool:
    """Whether the key is of a classifier, or an auxiliary one, that the backbone lost; layers that it kept are not."""
    return key.split(".")[0] in _CLASSIFIERS and key not in body.state_dict()
