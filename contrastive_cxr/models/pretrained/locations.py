"""Where weights are that were not written by us: a file, a folder as timm and Hugging Face make it, a hub's repository.

Nothing of a repository is run: a network is always timm's, torchvision's or our own, and a file gives tensors alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contrastive_cxr.models.backbones.catalogue as catalogue
import contrastive_cxr.models.checkpoints.shards as shards
import contrastive_cxr.models.pretrained.hub as hub
from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.files import read_json

HUB = hub.HUB
# the names of weights in a folder, in the order in which they are looked for
FILES = (
    "model.safetensors", "model.safetensors.index.json", "open_clip_model.safetensors", "pytorch_model.bin",
    "pytorch_model.bin.index.json", "open_clip_pytorch_model.bin", "model.bin",
)  # fmt: skip
_ENDINGS = (".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".tar")
_TABLES = ("config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Place:
    """A file of weights, and what the folder around it says of the network.

    Attributes
    ----------
    file : Path
        The weights, or the index of their parts (`shards`).
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
        return _of_folder(hub.downloaded(word, what, FILES, _TABLES), f"{what}={word}")
    path = Path(word).expanduser()
    if not path.exists():
        raise RequestError(
            f"{what} '{word}' does not exist; give none, imagenet, a run folder, a file, or {HUB}ORG/NAME"
        )
    if path.is_dir():
        return _of_folder(path, f"{what} {path}")
    shards.refuse_part(path, what)
    return Place(path)


def _of_folder(path: Path, what: str) -> Place:
    """The weights in a folder of timm or Hugging Face, or a file with its neighbours."""
    folder = path if path.is_dir() else path.parent
    file = path if path.is_file() else next((folder / name for name in FILES if (folder / name).is_file()), None)
    if file is None:
        raise RequestError(f"{what}: {_without(folder)}")
    said: dict[str, Any] = {}
    for name in _TABLES:
        if (folder / name).is_file():
            try:
                read = read_json(folder / name)
            except ValueError as error:
                raise RequestError(f"{folder / name} is not JSON; copy it again") from error
            said |= read if isinstance(read, dict) else {}
    return Place(file, *_described(said))


def _without(folder: Path) -> str:
    """Why no weights are taken from a folder, and what to give instead."""
    if (folder / "adapter_config.json").is_file():
        return (
            "holds an adapter (LoRA) and not the network that it belongs to; merge both first (merge_and_unload of "
            "peft) and give the folder of what comes out"
        )
    others = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name.endswith(_ENDINGS))
    named = ", ".join(visible(name) for name in others[:4]) + (", ..." if len(others) > 4 else "")
    if others:
        return f"holds no finished model (model.json); of its files of weights ({named}) name one: {folder / others[0]}"
    return (
        f"holds no finished model (model.json) and no weights of another library ({', '.join(FILES)}); "
        "give a run folder, or name the file itself"
    )


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
        name if name != "timm/" and name in catalogue.known() else "",
        side if isinstance(side, int) else None,
        (sum(mean) / len(mean), sum(std) / len(std)) if known else None,  # type: ignore[arg-type]
    )
