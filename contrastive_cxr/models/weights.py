"""Weights on disk: a phase's `model.safetensors` + `model.json`, and where a first phase starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

import contrastive_cxr.models.backbones.catalogue as catalogue
import contrastive_cxr.models.checkpoints.comparing as comparing
import contrastive_cxr.models.checkpoints.shards as shards
import contrastive_cxr.models.checkpoints.unwrap as unwrap
import contrastive_cxr.models.pretrained.foreign as foreign
import contrastive_cxr.models.pretrained.locations as locations
import contrastive_cxr.models.transfer as transfer
from contrastive_cxr import __version__
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.files import digest, read_json, write_bytes
from contrastive_cxr.models.model_json import Card
from contrastive_cxr.models.network import Network
from contrastive_cxr.models.pretrained.started import Started
from contrastive_cxr.run_layout import EMBEDDERS, MODEL, WEIGHTS, PhaseName, model_folder


def save(network: Network, folder: str | Path, card: Mapping[str, Any], name: str = MODEL) -> None:
    """Write `model.safetensors` and `model.json` (or another `name`) into `folder`, each beside its place and renamed.

    Parameters
    ----------
    network : Network
        Its weights and its shape are written.
    folder : path
        Made where it is missing.
    card : mapping
        What the network does not know: `classes` (names, as many as logits), `decode` (the fields of `schema.Data` that
        decode a file), `channels_last`, `phase`, `task`; further keys are kept.
    """
    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    data = safetensors.torch.save(state)
    facts = {**card, "sha256": hashlib.sha256(data).hexdigest(), "version": __version__}
    text = Card.of(network, facts).model_dump_json(indent=2) + "\n"
    write_bytes(folder / WEIGHTS, data)
    write_bytes(folder / name, text.encode())


def load(folder: str | Path, name: str = MODEL) -> tuple[Network, dict[str, Any]]:
    """Read a phase folder back; no pickle is opened.

    `name`: of the record, which is `model.json` in a phase folder.

    Returns
    -------
    network : Network
        On the CPU, in evaluation mode, in the memory layout it was trained in.
    card : dict
        The record `model.json`.

    Raises
    ------
    RequestError
        Where a file is missing, cut short, altered, or its record does not describe it.
    """
    folder = Path(folder)
    card, state = _read(folder, name)
    return network_of(card, state, folder, name), card.model_dump(mode="json")


def network_of(card: Card, state: Mapping[str, Tensor], folder: Path, name: str = MODEL) -> Network:
    """The network of a record and its tensors, on the CPU and in evaluation mode; `folder` stands in the errors.

    Raises
    ------
    RequestError
        The tensors are not those that the record describes.
    """
    if catalogue.fixed_size(card.backbone):
        faults = catalogue.size_faults(card.backbone, card.image_size)
        raise_faults(f"{folder / name}: {fault}" for fault in faults)
    with torch.device("meta"):
        shape = Network(card.spec(), catalogue.on_meta(card.backbone, card.image_size))
    for word in ("width", "embedding_size"):
        recorded, built = getattr(card, word), getattr(shape, word)
        if recorded != built:
            raise RequestError(f"{folder / name} says {word} {recorded}, but its network has {built}")
    difference = comparing.difference(state, shape.state_dict())
    if difference:
        raise RequestError(f"{folder / WEIGHTS} does not fit its {name}: {difference}")
    with torch.random.fork_rng(devices=[]):
        network = Network(card.spec())
    statistics = torch.cat([network.mean, network.std])
    network.load_state_dict(network.state_dict() | dict(state))  # a file may lack counters of batch norms
    if not torch.equal(statistics, torch.cat([network.mean, network.std])):
        raise RequestError(f"{folder}: mean and std of {name} are not those of model.safetensors")
    if card.channels_last:
        network.to(memory_format=torch.channels_last)
    return network.eval()


def start(network: Network, word: str, stem: catalogue.Stem = "fold", task: str = "") -> Started:
    """Load the weights that a first phase starts from into the backbone, in place.

    Parameters
    ----------
    network : Network
        Only its backbone changes; it keeps its own input statistics, unless the weights have a range of their own
        (`families.RANGES`).
    word : str
        `none`; `imagenet` (an installed package of weights, else torchvision's or timm's cache, else a download); a
        path: a run folder (its embed, else pretrain, else finetune), a phase folder, a folder of timm or Hugging Face,
        a file that holds the backbone somewhere; or `hf-hub:ORG/NAME`. What is no part of the backbone is left aside.
    stem : str
        What becomes of a colour stem in the weights: `fold` folds it to grey, `random` leaves the network's own. A stem
        that is grey already is loaded either way.
    task : str
        Name of the task that they are for: the error of a failed download then names a recipe that needs none.

    Returns
    -------
    Started
        Where they came from, and for a file what was loaded and what was not.

    Raises
    ------
    RequestError
        Where the download fails, the path does not exist, is broken, or is of another backbone.
    """
    if word == "none":
        return Started(word)
    if word == "imagenet":
        state, origin = foreign.published(network.spec, stem, task)
        found = Started(word, origin, backbone=network.spec.backbone, counted=_counted(network, state))
    elif is_own(word):
        folder = find(Path(word).expanduser())
        state = _folder_backbone(network, folder)
        own = {"backbone": network.spec.backbone, "counted": _counted(network, state)}
        found = Started(word, digest=record(folder).sha256, **own)  # type: ignore[arg-type]
    else:
        state, found = foreign.of_file(word, network.spec, network.backbone, stem)
    network.backbone.load_state_dict(network.backbone.state_dict() | state)
    if found.kept is not None:
        network.set_inputs(found.kept.mean, found.kept.std)
    return found


def is_own(word: str) -> bool:
    """Whether `model.weights` names a folder with a model of this package."""
    path = Path(word).expanduser()
    return path.is_dir() and model_folder(path, EMBEDDERS) is not None


def files_of(word: str) -> list[Path]:
    """The files of weights that a path or `hf-hub:...` names; `places.find` and `find` say what is refused."""
    if is_own(word):
        return [find(Path(word).expanduser()) / WEIGHTS]
    file = locations.find(word).file
    return shards.parts(file, "model.weights") if shards.is_index(file) else [file]


def find(path: str | Path, phases: Sequence[PhaseName] = EMBEDDERS) -> Path:
    """The folder with a `model.json`: `path` itself, or the first of its `phases` that has one.

    Raises
    ------
    RequestError
        Where there is none.
    """
    path = Path(path)
    folder = model_folder(path, phases)
    if folder is not None:
        return folder
    state = "holds no finished model" if path.is_dir() else "is not a folder"
    raise RequestError(f"{path} {state}; give a run folder, or a phase folder with model.json and model.safetensors")


def digest_of(word: str) -> str:
    """SHA-256 of the file that `model.weights` names; of several parts that of their digests, a line each."""
    digests = [digest(path) for path in files_of(word)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _counted(network: Network, state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Tensors of `state` that the backbone has, and all that it has, without the counters of batch norms."""
    names = [name for name in network.backbone.state_dict() if not name.endswith("num_batches_tracked")]
    return sum(name in state for name in names), len(names)


def _folder_backbone(network: Network, folder: Path) -> dict[str, Tensor]:
    card, state = _read(folder)
    if card.backbone != network.spec.backbone:
        raise RequestError(
            f"model.weights {folder} is a {card.backbone}, model.backbone is {network.spec.backbone}; "
            f"set model.backbone={card.backbone} or give other weights"
        )
    if card.image_size != network.spec.image_size and catalogue.fixed_size(card.backbone):
        raise RequestError(
            f"model.weights {folder} is a {card.backbone} built for {card.image_size} pixels, model.image_size is "
            f"{network.spec.image_size}; set model.image_size={card.image_size} or give other weights"
        )
    given = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    difference = comparing.difference(given, network.backbone.state_dict())
    if difference:
        raise RequestError(f"{folder / WEIGHTS} does not fit {card.backbone}: {difference}")
    transfer.keep_range(network, state)
    return given


def record(folder: str | Path, name: str = MODEL) -> Card:
    """The record `model.json` of a phase folder; the weights are not read.

    Raises
    ------
    RequestError
        It is missing, or is no record of a model.
    """
    file = Path(folder) / name
    if not file.is_file():
        raise RequestError(f"{file} is missing; give a run folder or one of its finished phase folders")
    try:
        return Card.model_validate(read_json(file))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise RequestError(
            f"{file} is no record of a model: {where}: {first['msg']}; copy it from the run again"
        ) from error
    except ValueError as error:
        raise RequestError(f"{file} is not JSON ({error}); copy it from the run again") from error


def _read(folder: Path, name: str = MODEL) -> tuple[Card, dict[str, Tensor]]:
    """The record and the tensors of a phase folder, the digest checked."""
    file = folder / WEIGHTS
    card = record(folder, name)
    if not file.is_file():
        raise RequestError(f"{file} is missing; give a run folder or one of its finished phase folders")
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256:
        raise RequestError(
            f"{file} is not the file that {name} describes (digest {digest[:12]}, recorded {card.sha256[:12]}): "
            "it was cut short or altered; copy both from the run again"
        )
    return card, unwrap.unpacked(data, file)
