"""The digests of everything that a run is made of: `inputs.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from contrastive_cxr import models
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.tables import source_tables
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import digest
from contrastive_cxr.models import weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.recipe.schema import Data, Recipe, Source
from contrastive_cxr.run import folder as folders

NAME = "inputs.json"


def record(
    out: Path,
    recipe: Recipe,
    data: Dataset,
    start: Path | None = None,
    *,
    resume: bool = False,
    loaded: Mapping[str, Any] | None = None,
) -> None:
    """Write `inputs.json` beside the `recipe.yaml` and `manifest.csv` that a run has just written.

    Parameters
    ----------
    start : Path, optional
        Folder of the model that the first phase starts from, where it is of another run.
    resume : bool
        Keep the record that is there: a run is gone on with only where recipe and images are the same.
    loaded : mapping, optional
        What of a file of weights was loaded (`models.started.Started.facts`).
    """
    if resume and (out / NAME).is_file():
        return
    facts: dict[str, Any] = {
        "recipe": digest(out / "recipe.yaml"),
        "manifest": digest(out / "manifest.csv"),
        "images": {"count": len(data), "sha256": text_digest("\n".join(data.facts["digest"]))},
        "tables": {str(path): digest(path) for path in tables(recipe.data)},
        # a run that is gone on with may have begun with weights that are no longer there
        "weights": {"word": recipe.model.weights} if resume else weights_facts(recipe),
    }
    if loaded:
        facts["weights"]["loaded"] = dict(loaded)
    if start is not None:
        facts["from"] = {"folder": str(start), "sha256": digest(start / "model.safetensors")}
    folders.write_json(out / NAME, facts)


def check(run: Path) -> None:
    """Refuse a run whose `manifest.csv` is not the one that it wrote; runs of earlier versions have no record.

    Raises
    ------
    RequestError
        Both digests.
    """
    if not (run / NAME).is_file():
        return
    then, now = folders.read_json(run / NAME).get("manifest"), digest(run / "manifest.csv")
    if then != now:
        raise RequestError(
            f"{run / 'manifest.csv'} is not what the run wrote: its SHA-256 is {now[:12]}..., and {NAME} says "
            f"{str(then)[:12]}...; put the file back from a copy, or run the recipe again"
        )


def tables(data: Data) -> list[Path]:
    """The tables and lists that the sources name."""
    sources: tuple[Source, ...] = data.join or (data,)
    named = [(source.root, table) for source in sources for table in source_tables.named(source)]
    found = [Path(root) / table for root, table in named if root is not None]
    return [table for table in found if table.is_file()]  # one in an archive or behind a URL is none of this disk


def weights_facts(recipe: Recipe) -> dict[str, Any]:
    """What `model.weights` names, and its digest: of the file; of published weights, of their tensors.

    Of a file in several parts the digest is that of theirs, which stand in `parts`.

    Of published weights also where they came from (`source`: package, cache or network; `place`; `file_sha256`), and
    their public `address`. Those that this run has downloaded are told as of the cache, where they lie by then.
    """
    word = recipe.model.weights
    if word == "none":
        return {"word": word}
    if word == "imagenet":
        network = models.build(recipe.model, mean=0.5, std=0.5, seed=0)
        origin = weights.start(network, word, recipe.model.stem).origin
        assert origin is not None, "published weights have an origin"
        came = {"source": origin.kind, "place": origin.place, "file_sha256": origin.sha256}
        address = catalogue.weights_url(recipe.model.backbone)
        return {"word": word, **came, "address": str(address), "sha256": tensors_digest(network.backbone)}
    digests = {path.name: digest(path) for path in weights.files_of(word)}
    if len(digests) == 1:
        return {"word": word, "sha256": next(iter(digests.values()))}
    return {"word": word, "sha256": text_digest("\n".join(digests.values())), "parts": digests}


def tensors_digest(network: nn.Module) -> str:
    """SHA-256 of names and values of a network's state, in its order."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 of UTF-8 text."""
    return hashlib.sha256(text.encode()).hexdigest()
