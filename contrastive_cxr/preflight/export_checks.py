"""What `ccxr export` is refused for before PyTorch is imported."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.files import read_json
from contrastive_cxr.preflight import given_paths
from contrastive_cxr.run_layout import CLASSIFIERS, EMBEDDERS, STAGES, has_model, model_folder, pool_parts

FORMATS = ("onnx", "torch", "hf")
PARTS = ("encoder", "classifier", "both")
OLDEST, NEWEST = 18, 23
"""ONNX opsets that are written: torch's exporter begins at 18, and 23 is the last that it knows."""
NEEDED = ("onnx", "onnxruntime", "onnxscript")
INSTALL = "pip install 'contrastive_cxr[export]'"
CHECK = "check.json"
"""The record beside every export, by which a folder is known as one."""


def check(
    run: Path, to: str, out: Path, *, part: str | None = None, opset: int | None = None, int8: bool = False,
    images: Iterable[Path] = (), overwrite: bool = False,
) -> None:  # fmt: skip
    """Refuse a request that cannot be met, with every fault.

    Raises
    ------
    RequestError
        No such format, part or opset; options of another format; a missing extra; a cascade, a run over seeds or
        folds; no model, or no classifier where one is asked for; `out` is there.
    """
    faults: list[str] = []
    try:
        given_paths.check(run, images)
    except RequestError as error:
        faults += error.faults
    if to not in FORMATS:
        faults.append(f"--to {to}: is none of {', '.join(FORMATS)}{nearest(to, FORMATS)}; name one of them")
    if part is not None and part not in PARTS:
        faults.append(f"--part {part}: is none of {', '.join(PARTS)}{nearest(part, PARTS)}; name one of them")
    faults += _onnx_faults(to, opset, int8)
    if run.is_dir():
        faults += _run_faults(run, part)
    raise_faults([*faults, *_out_faults(out, overwrite)])


def _onnx_faults(to: str, opset: int | None, int8: bool) -> list[str]:
    """Options of ONNX with another format, an opset that is not written, packages that are missing."""
    if to != "onnx":
        given = [word for word, there in (("--opset", opset is not None), ("--int8", int8)) if there]
        return [f"{' and '.join(given)}: only for --to onnx; leave out, or export to onnx"] if given else []
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    faults = [f"--to onnx needs {', '.join(missing)}, not installed here: {INSTALL}"] if missing else []
    if opset is not None and not OLDEST <= opset <= NEWEST:
        why = "too old" if opset < OLDEST else "too new"
        faults.append(f"--opset {opset}: is {why}; opsets {OLDEST} to {NEWEST} are written, and without it {OLDEST}")
    return faults


def _run_faults(run: Path, part: str | None) -> list[str]:
    """A folder that is several models or none, or has no classifier where one is asked for."""
    pool, word = pool_parts(run), shlex.quote(str(run))
    if pool:
        return [
            f"{run}: is a run over {', '.join(pool)}; an export holds one model. Export each: ccxr export "
            f"{word}/{pool[0]} --to ... --out ..., and take the mean of their probabilities, as ccxr predict does"
        ]
    found = model_folder(run, EMBEDDERS)
    if found is None:
        stages = [name for name in STAGES if model_folder(run / name, EMBEDDERS)]
        if stages:
            return [
                f"{run}: is a cascade of the runs {', '.join(stages)}; an export holds one model. Export each: ccxr "
                f"export {word}/{stages[0]} --to ... --out ..."
            ]
        return [f"{run} holds no finished model; give a run folder, or a phase folder with its model.json"]
    if part in ("classifier", "both") and not classifier_of(run):
        return [
            f"--part {part}: {run} has no classifier; give --part encoder, or finish a phase with one (finetune or "
            "pretrain)"
        ]
    return []


def classifier_of(run: Path) -> Path | None:
    """The folder of a run's classifier; of a phase folder that folder, where its model has classes."""
    if not has_model(run):
        return model_folder(run, CLASSIFIERS)
    try:
        return run if read_json(run / "model.json").get("classes") else None
    except (OSError, ValueError, AttributeError):
        return None  # a damaged record is refused by name when it is read


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export: its check says so."""
    try:
        return bool(json.loads((folder / CHECK).read_text(encoding="utf-8"))["kind"] == "export")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _out_faults(out: Path, overwrite: bool) -> list[str]:
    """A result that is there already; with `overwrite` only what is no export."""
    if not out.exists() and not out.is_symlink():
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
            return []
        return [f"--out {out}: cannot be made in '{above}', which is no folder that you may write to; name another"]
    if not out.is_dir():
        return [f"--out {out}: is no folder; name one"]
    if not any(out.iterdir()):
        return []
    if not is_export(out):
        return [f"--out {out}: is not empty and holds no export; name another folder"]
    return [] if overwrite else [f"--out {out}: holds an export already; name another folder, or give --overwrite"]
