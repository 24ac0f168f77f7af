"""Export a run's model, check the export against it, and only then put it into its place."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contrastive_cxr import __version__, terminal
from contrastive_cxr.export import check, int8, onnx_file, program
from contrastive_cxr.export.graph import Graph, Parts, parts_of
from contrastive_cxr.export.run_images import Chosen, of_files, of_part, opened
from contrastive_cxr.files import AtomicWrites, digest
from contrastive_cxr.preflight import export_checks
from contrastive_cxr.preflight.export_checks import CHECK, OLDEST
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_layout import WEIGHTS

FILE = {"onnx": "model.onnx", "torch": "model.pt2", "hf": WEIGHTS}
SMALL, COST = "model-int8.onnx", "int8.json"
TRAINING = ("train",)


def export(
    run: Path, to: str, out: Path, *, part: str | None = None, opset: int | None = None, with_int8: bool = False,
    images: Sequence[Path] = (), overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Write a run's model for other programs.

    Parameters
    ----------
    run : Path
        A run, which embeds and predicts by the phases that `EmbeddingModel.load` says, or a phase folder.
    to : str
        `onnx`: `model.onnx`. `torch`: `model.pt2`, a program of torch.export. `hf`: a folder of Hugging Face.
    out : Path
        New folder: the files above and `check.json`.
    part : str, optional
        `encoder`, `classifier` or `both`; none: all that the run has.
    opset : int, optional
        Of ONNX; none: the oldest that is written, which most runtimes read.
    with_int8 : bool
        Write `model-int8.onnx` too, and `int8.json`: what it costs.
    images : sequence of Path
        Check on these instead of the run's validation (else test, else training) images.
    overwrite : bool
        Replace an export that is there.

    Returns
    -------
    dict
        What `check.json` holds, and `int8` where that was written.

    Raises
    ------
    RequestError
        What cannot be met, every fault; a network that cannot be exported; an export that is not the model: nothing is
        then left at `out`.
    """
    export_checks.check(run, to, out, part=part, opset=opset, int8=with_int8, images=images, overwrite=overwrite)
    terminal.stage("loading the model")
    parts = parts_of(run, part)
    terminal.stage("reading the images of the check")
    settings = parts.model.settings
    data = opened(run, settings) if with_int8 or not images else None
    training, scored = (None, None) if data is None else (of_part(data, TRAINING) if with_int8 else None, of_part(data))
    chosen = of_files(images, settings) if images or scored is None else scored
    with tempfile.TemporaryDirectory(prefix="ccxr-export-") as place:
        made = Path(place)
        start = time.monotonic()
        terminal.stage("exporting")
        how = _write(parts, to, made, opset or OLDEST)
        seconds = time.monotonic() - start
        terminal.stage("checking the export")
        facts, said = _checked(parts, to, made, chosen)
        facts |= {"seconds": round(seconds, 2), **how}
        if scored is not None and training is not None:
            terminal.stage("quantising")
            found = _int8(parts, made, scored, training, None if images else said)
            folders.write_json(made / COST, found)
        facts |= {"files": {each.name: digest(each) for each in sorted(made.iterdir())}}
        folders.write_json(made / CHECK, facts)
        _take(made, out)
    return facts | ({"int8": found} if with_int8 else {})


def _write(parts: Parts, to: str, made: Path, opset: int) -> dict[str, Any]:
    """Write the files of a format into an empty folder; what the check records of how."""
    if to == "hf":
        model = parts.model
        if parts.part == "encoder":  # without the classifier of the run
            model = EmbeddingModel(model.network, model.card, folder=model.folder)
        if parts.classifier is not None:
            model.card = model.card | {"fitted": dataclasses.asdict(parts.fitted)}
        model.save_pretrained(made)
        return {}
    graph = Graph(parts).eval().requires_grad_(False)
    if to == "torch":
        program.write(graph, parts, made / FILE[to])
        return {}
    return {"opset": opset, "exporter": onnx_file.write(graph, parts, made / FILE[to], opset)}


def _checked(parts: Parts, to: str, made: Path, chosen: Chosen) -> tuple[dict[str, Any], check.Outputs]:
    """The record of the check; refused where the export is not its model."""
    count = len(chosen.pictures)
    known = check.reference(parts, chosen.batches())
    if to == "hf":
        model = EmbeddingModel.from_pretrained(made)
        again = Parts(
            model if parts.encoder else None, model.classifier if parts.classifier else None, parts.fitted, parts.run
        )
        said = check.reference(again, chosen.batches())
    else:
        run = onnx_file.runner(made / FILE[to]) if to == "onnx" else program.runner(made / FILE[to])
        said = check.exported(parts, run, chosen.batches(), count)
    found = check.compare(parts, known, said)
    check.refuse(found, to, str(parts.model.card["backbone"]), count)
    about = parts.about()
    return {
        "kind": "export", "format": to, "part": parts.part, "run": parts.run, "backbone": about["backbone"],
        "images": count, "of": chosen.words, **found,
        "wanted": {"least_cosine": check.LEAST_COSINE, "differing_decisions": 0},
        "outputs": about["outputs"], "input": about["input"], "versions": versions(to),
        "models": {name: about[f"{name}_sha256"] for name in ("encoder", "classifier") if f"{name}_sha256" in about},
    }, said  # fmt: skip


def _int8(parts: Parts, made: Path, scored: Chosen, training: Chosen, said: check.Outputs | None) -> dict[str, Any]:
    """Write the 8-bit file; what it costs. `said`: by the float32 file of the scored images, where that is known."""
    plain, small = made / FILE["onnx"], made / SMALL
    calibrated = int8.quantise(plain, small, training, parts)
    if said is None:
        said = check.exported(parts, onnx_file.runner(plain), scored.batches(), len(scored.pictures))
    return {"calibrated_on": calibrated, **int8.cost(parts, plain, small, scored, training, said)}


def versions(to: str) -> dict[str, str]:
    """Versions of what made the export."""
    further = {"hf": ("safetensors", "huggingface-hub"), "onnx": export_checks.NEEDED}
    names = ("torch", "numpy", *further.get(to, ()))
    found = {name: importlib.metadata.version(name) for name in names}
    return {"contrastive_cxr": __version__, "python": platform.python_version(), **found}


def _take(made: Path, out: Path) -> None:
    """Put the files into `out` together; those of an export that was there and has others are removed."""
    before = set(folders.read_json(out / CHECK).get("files", {})) if export_checks.is_export(out) else set()
    names = sorted((each.name for each in made.iterdir()), key=lambda name: name == CHECK)  # the check last
    with AtomicWrites(out) as together:
        for name in names:
            shutil.copyfile(made / name, together.place(name))
    for name in before - set(names):
        if Path(name).name == name:  # a damaged record names no other folder's file
            (out / name).unlink(missing_ok=True)


def words(facts: dict[str, Any]) -> str:
    """What the check found, as a sentence."""
    found = []
    if facts["least_cosine"] is not None:
        found.append(f"least cosine {facts['least_cosine']:.7f}")
    if facts["differing_decisions"] is not None:
        found.append(f"{facts['differing_decisions']} decisions differ")
    return f"Checked on {facts['of']}: {', '.join(found)}."
