"""A model as a folder of Hugging Face: `config.json`, `model.safetensors`, `README.md`; from a folder or the hub."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import safetensors.torch
import torch
from huggingface_hub import ModelHubMixin, errors, snapshot_download
from pydantic import ValidationError
from torch import Tensor

from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.files import write_bytes
from contrastive_cxr.models import Network, weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.checkpoints import unwrap
from contrastive_cxr.models.model_json import Card
from contrastive_cxr.models.pretrained import hub
from contrastive_cxr.run_layout import WEIGHTS

CONFIG, README, CLASSIFIER = "config.json", "README.md", "classifier.safetensors"
CARD_OF_CLASSIFIER, DIGEST_OF_CLASSIFIER = "classifier_card", "classifier_sha256"
FILES = (CONFIG, README, WEIGHTS, CLASSIFIER)
HEAD = """---
library_name: contrastive_cxr
pipeline_tag: {pipeline}
tags:
- contrastive-learning
- chest-imaging
- image-feature-extraction
---
"""
_FAULTS = (errors.HfHubHTTPError, errors.HFValidationError, OSError, ValueError, RuntimeError)

Self_ = TypeVar("Self_", bound="HubModel")


class Model(Protocol):
    """What is kept of an `EmbeddingModel`, which is a `HubModel`."""

    network: Network
    card: dict[str, Any]
    folder: Path | None

    def __init__(self, network: Network, card: dict[str, Any], device: str, *, folder: Path | None) -> None: ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty where nothing predicts."""

    @property
    def classifier(self) -> Any:
        """The model that predicts."""

    def predict_by(self, head: Any) -> None:
        """Let another model predict."""


class HubModel(ModelHubMixin, library_name="contrastive_cxr", tags=["chest-imaging"]):
    """`from_pretrained`, `save_pretrained` and `push_to_hub`, by huggingface_hub's mixin.

    The model embeds by `model.safetensors`, which `config.json` describes as `model.json` does in a run. Where another
    network predicts, `classifier.safetensors` holds the tensors of it that differ, and `config.json` its record.
    """

    @classmethod
    def from_pretrained(
        cls: type[Self_], pretrained_model_name_or_path: str | Path, *, device: str = "cpu", **options: Any
    ) -> Self_:
        """Read a folder that `save_pretrained` or `ccxr export --to hf` wrote, or a repository of the hub.

        Parameters
        ----------
        pretrained_model_name_or_path : path or str
            A folder, or `ORG/NAME` on the hub; what is in the hub's cache needs no network.
        device : str
            As of `load`.
        **options
            `revision`, `token`, `cache_dir`, `force_download` and `local_files_only`, as huggingface_hub takes them.

        Raises
        ------
        RequestError
            No such folder or repository, files that are damaged, or the hub cannot be reached.
        """
        word = str(pretrained_model_name_or_path)
        if os.path.isdir(word):
            return cast("Self_", cls._from_pretrained(model_id=word, device=device))
        hub.quieten()
        reason = "" if options.get("local_files_only") else hub.silent()
        if reason:
            options["local_files_only"] = True
        try:
            return super().from_pretrained(word, device=device, **options)
        except RequestError:
            raise
        except _FAULTS as error:
            raise RequestError(_absent(word, reason, error)) from error

    @classmethod
    def _from_pretrained(
        cls, *, model_id: str, device: str = "cpu", revision: str | None = None, **options: Any
    ) -> Any:
        """The model in a folder, or in a repository, whose files are fetched first."""
        if os.path.isdir(model_id):
            folder = Path(model_id)
        else:
            folder = Path(snapshot_download(model_id, revision=revision, allow_patterns=list(FILES), **options))
        return _loaded(cast("type[Model]", cls), folder, device)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write the folder's files, each beside its place and renamed."""
        model = cast("Model", self)
        head = model.classifier if model.classes else model
        card = {name: value for name, value in model.card.items() if not name.startswith("classifier_")}
        if head is not model:
            differing = _differing(head.network.state_dict(), model.network.state_dict())
            content = safetensors.torch.save(differing)
            write_bytes(save_directory / CLASSIFIER, content)
            card |= {CARD_OF_CLASSIFIER: head.card, DIGEST_OF_CLASSIFIER: hashlib.sha256(content).hexdigest()}
        else:
            (save_directory / CLASSIFIER).unlink(missing_ok=True)  # of an earlier model
        weights.save(model.network, save_directory, card, CONFIG)
        write_bytes(save_directory / README, _readme(model).encode())

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Put the model into a repository of the hub; `hf auth login` or `token` says who you are.

        Parameters
        ----------
        repo_id : str
            `ORG/NAME`; made where it is missing, public unless `private=True`.
        **options
            `commit_message`, `private`, `token`, `branch`, `create_pr`, as huggingface_hub takes them.

        Returns
        -------
        str
            The commit's address.

        Raises
        ------
        RequestError
            The hub cannot be reached, or refuses.
        """
        hub.quieten()
        reason = hub.silent()
        if reason:
            raise RequestError(
                f"push_to_hub {visible(repo_id)}: the Hugging Face hub cannot be reached ({reason}); save the model "
                "with save_pretrained(FOLDER) and push from a machine that has a network"
            )
        try:
            return str(super().push_to_hub(repo_id, **options))
        except _FAULTS as error:
            raise RequestError(
                f"push_to_hub {visible(repo_id)}: the hub refuses ({_first_line(error)}); log in with hf auth login, "
                "as one who may write there, and name a repository as ORG/NAME"
            ) from error


def _loaded(cls: type[Model], folder: Path, device: str) -> Model:
    """The model of a folder, and the classifier beside it."""
    try:
        network, card = weights.load(folder, CONFIG)
    except RequestError as error:
        raise RequestError(*(fault.replace("a run folder or one of its finished phase folders", _WANTED)
                             for fault in error.faults)) from error  # fmt: skip
    try:
        model = cls(network, card, device, folder=folder)
        if CARD_OF_CLASSIFIER in card:
            head = _classifier(folder, card, network.state_dict())
            model.predict_by(cls(head, card[CARD_OF_CLASSIFIER], device, folder=folder))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestError(
            f"{folder / CONFIG} is no record of a model: {where}: {first['msg']}; export it again"
        ) from error
    return model


_WANTED = "a folder that save_pretrained or ccxr export --to hf wrote"


def _classifier(folder: Path, card: Mapping[str, Any], encoder: Mapping[str, Tensor]) -> Network:
    """The network that predicts: its own tensors over those of the encoder."""
    file = folder / CLASSIFIER
    content = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != card.get(DIGEST_OF_CLASSIFIER):
        raise RequestError(
            f"{file} is missing, cut short or altered: it is not the file that {CONFIG} describes; copy both again"
        )
    described = Card.model_validate(card[CARD_OF_CLASSIFIER])
    with torch.device("meta"):
        names = Network(described.spec(), catalogue.on_meta(described.backbone, described.image_size)).state_dict()
    state = {name: value for name, value in encoder.items() if name in names} | unwrap.unpacked(content, file)
    return weights.network_of(described, state, folder, CONFIG)


def _differing(state: Mapping[str, Tensor], encoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a classifier that the encoder has not, or has otherwise."""
    return {
        name: value.detach().cpu().contiguous()
        for name, value in state.items()
        if name not in encoder or not torch.equal(value.cpu(), encoder[name].cpu())
    }


def _readme(model: Model) -> str:
    """The run's model card, or the folder's README; else what the model says of itself."""
    head = HEAD.format(pipeline="image-classification" if model.classes else "image-feature-extraction")
    places = [] if model.folder is None else [model.folder / README, model.folder.parent / "model-card.md"]
    text = next((place.read_text(encoding="utf-8") for place in places if place.is_file()), "")
    if text.startswith("---\n"):
        return text
    return head + (text or f"# {visible(str(model.card['backbone']))}\n\nNo model card was written for this model.\n")


def _absent(word: str, reason: str, error: Exception) -> str:
    """Why a word gives no model."""
    name = visible(word)
    if isinstance(error, errors.HFValidationError):
        return f"{name} is neither a folder nor a repository ORG/NAME of the hub; name one of them"
    if reason:
        return (
            f"{name}: is no folder here, and the Hugging Face hub cannot be reached ({reason}), nor is it in the hub's "
            f"cache; check the network, or copy the repository's folder from a machine that has one and name that"
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.RevisionNotFoundError):
        return f"{name}: the hub has no such repository or revision that you may read; check the name, or log in"
    return f"{name}: cannot be fetched from the hub ({_first_line(error)}); check the name and the network"


def _first_line(error: Exception) -> str:
    return visible(next(iter(str(error).strip().splitlines()), type(error).__name__))
