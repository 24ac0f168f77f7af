"""Where weights are that were not written by us: a file, a folder as timm and Hugging Face make it, a hub's repository.

Nothing of a repository is run: a network is always timm's, torchvision's or our own, and a file gives tensors alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contrastive_cxr.models.backbones as backbones
from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.files import read_json

HUB = "hf-hub:"
# the names of weights in a folder, in the order in which they are looked for
FILES = (
    "model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin", "model.bin",
)  # fmt: skip
_TABLES = ("config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Place:
    """A file of weights, and what the folder around it says of the network.

    Attributes
    ----------
    file : Path
        The weights.
    backbone : str
        The backbone that the folder names; '' where it names none that is known.
    image_size : int or None
        Side of its input, pixels.
    statistics : (float, float) or None
        Mean and deviation of its input, in 0..1, averaged over the colours.
    """

    file: Path
    backbone: str = ""
    image_size: int | None = None
    statistics: tuple[float, float] | None = None


def find(word: str, what: str = "model.weights") -> Place:
    """The weights that a word names: `hf-hub:ORG/NAME` (also `@REVISION`, `/FILE`), a folder, or a file.

    Parameters
    ----------
    what : str
        Stands before the word in an error.

    Raises
    ------
    RequestError
        There is no such file or folder, no weights are in it, or the hub cannot be reached.
    """
    if word.startswith(HUB):
        return _of_folder(_downloaded(word, what), f"{what}={word}")
    path = Path(word).expanduser()
    if not path.exists():
        raise RequestError(
            f"{what} '{word}' does not exist; give none, imagenet, a run folder, a file, or {HUB}ORG/NAME"
        )
    return _of_folder(path, f"{what} {path}") if path.is_dir() else Place(path)


def _of_folder(path: Path, what: str) -> Place:
    """The weights in a folder of timm or Hugging Face, or a file with its neighbours."""
    folder = path if path.is_dir() else path.parent
    file = path if path.is_file() else next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None and (folder / f"{FILES[0]}.index.json").is_file():
        raise RequestError(f"{what}: its weights are in several files; join them into one model.safetensors")
    if file is None:
        raise RequestError(
            f"{what}: holds no finished model (model.json) and no weights of another library ({', '.join(FILES)}); "
            "give a run folder, or name the file itself"
        )
    said: dict[str, Any] = {}
    for name in _TABLES:
        if (folder / name).is_file():
            try:
                read = read_json(folder / name)
            except ValueError as error:
                raise RequestError(f"{folder / name} is not JSON; copy it again") from error
            said |= read if isinstance(read, dict) else {}
    return Place(file, *_described(said))


def _described(said: Mapping[str, Any]) -> tuple[str, int | None, tuple[float, float] | None]:
    """Backbone, image size and statistics that the configuration of timm or Hugging Face gives."""
    own = said.get("pretrained_cfg")
    config: Mapping[str, Any] = own if isinstance(own, Mapping) else {}
    name = f"timm/{said.get('architecture') or config.get('architecture') or ''}"
    size = config.get("input_size")
    side = size[-1] if isinstance(size, list) and size else said.get("image_size")
    mean, std = (config.get(word) or said.get(f"image_{word}") for word in ("mean", "std"))
    known = isinstance(mean, list) and isinstance(std, list) and mean and std
    return (
        name if name != "timm/" and name in backbones.known() else "",
        side if isinstance(side, int) else None,
        (sum(mean) / len(mean), sum(std) / len(std)) if known else None,  # type: ignore[arg-type]
    )


def _downloaded(word: str, what: str) -> Path:
    """The folder, or the file, of a repository of the Hugging Face hub in its cache; downloaded if need be."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import errors
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # it tells of every try; we tell of the end

    address, _, revision = word.removeprefix(HUB).partition("@")
    organisation, _, rest = address.partition("/")
    name, _, file = rest.partition("/")
    if not organisation or not name:
        raise RequestError(f"{what}={word}: a repository of the hub is {HUB}ORG/NAME, such as {HUB}microsoft/rad-dino")
    identity = f"{organisation}/{name}"
    wanted = (file,) if file else FILES
    for local in (True, False):  # what is in the cache needs no network
        try:
            found = _had(identity, revision, wanted, local)
            for table in () if file or found is None else _TABLES:
                _had(identity, revision, (table,), local)
        except (errors.RepositoryNotFoundError, errors.HFValidationError, errors.RevisionNotFoundError) as error:
            raise RequestError(
                f"{what}={word}: the hub has no {visible(identity)}{f' at {revision}' if revision else ''} that you "
                "may read; check the name, or log in where it is closed (hf auth login)"
            ) from error
        except (OSError, ValueError, RuntimeError, errors.HfHubHTTPError) as error:
            raise RequestError(
                f"{what}={word}: the Hugging Face hub cannot be reached, and {identity} is not in its cache on this "
                "machine; check the network, or copy the repository's folder from a machine that has one and give "
                f"{what}=FOLDER"
            ) from error
        if found is not None:
            return found if file else found.parent
    raise RequestError(
        f"{what}={word}: {identity} has no file {' or '.join(wanted)}; name another: {HUB}{identity}/FILE"
    )


def _had(identity: str, revision: str, files: Sequence[str], local: bool) -> Path | None:
    """The first of some files that a repository has, in the hub's cache; `local`: that is in the cache already."""
    import huggingface_hub
    from huggingface_hub import errors

    for file in files:
        try:
            return Path(
                huggingface_hub.hf_hub_download(identity, file, revision=revision or None, local_files_only=local)
            )
        except errors.LocalEntryNotFoundError:
            if not local:
                raise
        except errors.EntryNotFoundError:
            continue
    return None
