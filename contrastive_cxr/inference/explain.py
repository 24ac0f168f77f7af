"""Explain a run on some images: Grad-CAM, attention, similarity to neighbours, and what each class would like best."""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrastive_cxr import explain as maps
from contrastive_cxr import terminal
from contrastive_cxr.explain import Ascent
from contrastive_cxr.files import write_bytes
from contrastive_cxr.inference.explain_checks import RECORD, ExplainInputs, Floats, Near, check, chosen, read
from contrastive_cxr.inference.given_images import Frames
from contrastive_cxr.metrics import decisions
from contrastive_cxr.metrics.neighbours import distances
from contrastive_cxr.recipe.schema import AxisName
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.run import folder as folders

Files = dict[str, bytes]


def explain(
    run: Path,
    images: Sequence[Path],
    *,
    target: str | None = None,
    phase: str | None = None,
    near: int = 2,
    beside: Path | None = None,
    ascent: Ascent | None = None,
    device: str = "cpu",
    out: Path | None = None,
    frames: Frames = None,
    axis: AxisName = "axial",
    overwrite: bool = False,
) -> Path:
    """Write maps of some images and a page that shows them side by side.

    Parameters
    ----------
    run : Path
        A run, or the folder of one of its phases.
    images : sequence of Path
        Image files, read as in training; or folders, archives and tables of images.
    target : str, optional
        The class that Grad-CAM explains; none: what is decided for each image.
    phase : str, optional
        Whose network; none: `finetune`, else `pretrain`. One without a classifier explains its embedding alone.
    near : int
        Nearest training images of the run to compare with.
    beside : Path, optional
        An image to compare with instead.
    ascent : Ascent, optional
        How classes are maximised; 0 steps: they are not.
    device : str
        auto (a GPU where there is one), cpu or cuda.
    out : Path, optional
        New folder; none: `RUN/explain`.
    frames, axis : as in `given.images_of`
        Which pictures of files with several are taken.
    overwrite : bool
        Replace the explanations that `out` holds.

    Returns
    -------
    Path
        `OUT/explain.html`. Beside it: `explain.json`, and a `.png` and a `.npy` of each map.

    Raises
    ------
    RequestError
        With every fault: no run, no classifier, no such class, an image that cannot be read, `out` is there already.
    """
    out = out or run / "explain"
    climb = ascent or Ascent()
    terminal.stage("loading the model")
    images = chosen(images, frames, axis)
    ready = check(run, images, target, phase, beside, device, out, overwrite)
    model, files, notes = ready.model, Files(), []
    if ready.gallery is None and beside is None and near:
        notes.append(
            f"No neighbours: {ready.folder}/arrays holds no vectors of training images; evaluate the run first."
        )
    shown = []
    for number, file in enumerate(images, 1):
        terminal.stage(f"image {number} of {len(images)}")
        said = describe(ready, file, f"image-{number}", files)
        others = [own(ready, beside)] if beside is not None else neighbours_of(ready, file, near)
        said["neighbours"] = [
            compare(ready, file, other, f"image-{number}-near-{place}", files) for place, other in enumerate(others, 1)
        ]
        shown.append(said)
    terminal.stage("what each class would like best")
    facts = {
        "version": maps.VERSION,
        "run": str(run),
        "phase": model.card["phase"],
        "backbone": model.card["backbone"],
        "image_size": model.card["image_size"],
        "sha256": model.digest,
        "classes": list(model.classes),
        "images": shown,
        "ascent": dataclasses.asdict(climb),
        "maximisation": maximised(ready, {said["target"] for said in shown}, climb, files),
        "notes": notes,
    }
    return write(out, facts, files)


def describe(ready: ExplainInputs, file: Path, name: str, files: Files) -> dict[str, Any]:
    """The image, what is decided for it, and the maps of that: an entry of `images`."""
    model, picture = ready.model, ready.pictures[file]
    files[f"{name}.png"] = maps.grey(plane(picture))
    said: dict[str, Any] = {"file": str(file), "picture": f"{name}.png", "decided": None, "target": None}
    if model.classes:
        probabilities = model.predict(file, tta=model.card["tta"])
        decided = decision(model, probabilities)
        target = decided if ready.target is None else ready.target
        heat = maps.grad_cam(model.network, picture, target)
        said |= {
            "decided": model.classes[decided],
            "probabilities": dict(zip(model.classes, probabilities[0].tolist(), strict=True)),
            "target": model.classes[target],
            "gradcam": drawn(files, f"{name}-gradcam", picture, heat, f"{name}.png") | {"empty": not heat.any()},
        }
    flow = maps.attention_map(model.network, picture)
    said["attention"] = None if flow is None else drawn(files, f"{name}-attention", picture, flow, f"{name}.png")
    return {"gradcam": None, "probabilities": {}, **said}


def decision(model: EmbeddingModel, probabilities: Floats) -> int:
    """The class decided for one image, probabilities [1, C]: by the run's costs where it has some."""
    if not model.card["costs"]:
        return int(probabilities[0].argmax())
    return int(decisions.decide(probabilities, decisions.matrix(model.classes, model.card["costs"]))[0])


def neighbours_of(ready: ExplainInputs, file: Path, count: int) -> list[Near]:
    """The nearest training images of the run; none where it left no vectors."""
    return [] if ready.gallery is None else ready.gallery.nearest(file, ready.model.embed(file)[0], count)


def own(ready: ExplainInputs, file: Path) -> Near:
    """The image that the user compares with."""
    return Near(file, "", ready.model.embed(file)[0])


def compare(ready: ExplainInputs, file: Path, other: Near, name: str, files: Files) -> dict[str, Any]:
    """Which region of each of two images makes them close: an entry of `neighbours`."""
    model = ready.model
    facts: dict[str, Any] = {"file": str(other.file), "label": other.label}
    own_vector = model.embed(file)
    toward = divided(ready, ready.pictures[file], other.vector, name, files)
    theirs = ready.pictures if other.file in ready.pictures else read(model, [other.file])[0]
    back = None  # the run's image may be gone since
    if other.file in theirs:
        back = divided(ready, theirs[other.file], own_vector[0], f"{name}-back", files)
    gap = distances(own_vector, other.vector[None], np.zeros((1, 1), np.int64))
    return facts | {"distance": float(gap[0, 0]), "cosine": toward["cosine"], "toward": toward, "back": back}


def divided(ready: ExplainInputs, picture: Tensor, vector: Floats, name: str, files: Files) -> dict[str, Any]:
    """The similarity map of an image toward a vector, drawn."""
    found = maps.similarity(ready.model.network, picture, torch.from_numpy(vector.copy()).to(picture.device))
    entry = {"cosine": found.cosine, "exact": found.exact, "unplaced": found.unplaced}
    return drawn(files, name, picture, found.values) | entry


def maximised(ready: ExplainInputs, targets: set[str | None], ascent: Ascent, files: Files) -> list[dict[str, Any]]:
    """The ascent for each class that was explained: `maximisation`."""
    model, entries = ready.model, []
    for number, name in enumerate(model.classes):
        if name not in targets or ascent.steps == 0:
            continue
        logit = functools.partial(logit_of, model, number)
        risen = maps.maximise(logit, model.network.spec.image_size, ascent, model.device)
        files[f"class-{number}.png"] = maps.grey(risen.image)
        files[f"class-{number}.npy"] = array(risen.image)
        entries.append(
            {
                "class": name,
                "before": risen.before,
                "after": risen.after,
                "picture": f"class-{number}.png",
                "array": f"class-{number}.npy",
            }
        )
    return entries


def logit_of(model: EmbeddingModel, number: int, images: Tensor) -> Tensor:
    """The class's logit for one image [1, 1, S, S]."""
    return model.network.logits(images)[0, number]


def drawn(files: Files, name: str, picture: Tensor, values: Floats, image: str = "") -> dict[str, Any]:
    """Keep a map as an array, as a picture over the image, and as a transparent layer; `image` is the picture below it.

    Pictures show what stands out from the map's own median (`maps.standing_out`); `even` says that nothing does.
    """
    below = plane(picture)
    over = maps.standing_out(values)
    shown = np.zeros_like(values) if over is None else over
    entry = {"picture": f"{name}.png", "array": f"{name}.npy", "layer": f"{name}-layer.png"}
    files[entry["array"]] = array(values)
    files[entry["picture"]] = maps.overlay(below, shown)
    files[entry["layer"]] = maps.layer(shown, len(below))
    if not image:
        image = f"{name}-image.png"
        files[image] = maps.grey(below)
    return {**entry, "image": image, "even": over is None}


def plane(picture: Tensor) -> Floats:
    """float32 [S, S] of [1, 1, S, S]."""
    return np.asarray(picture[0, 0].cpu().numpy(), dtype=np.float32)


def array(values: Floats) -> bytes:
    """The bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


def write(out: Path, facts: dict[str, Any], files: Files) -> Path:
    """Write maps, record and page; the page comes last, so where it is there everything is."""
    facts = folders.plain(facts)
    page = maps.render(facts, files)
    for old in [out / "explain.html", *out.glob("image-*"), *out.glob("class-*")]:
        old.unlink(missing_ok=True)
    for name, content in files.items():
        write_bytes(out / name, content)
    folders.write_json(out / RECORD, facts)
    folders.write_text(out / "explain.html", page)
    return out / "explain.html"
