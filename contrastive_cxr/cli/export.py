"""The command that writes a run's model for other programs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.show import print_next, prose, say, table
from contrastive_cxr.cli.use import Overwrite, Run
from contrastive_cxr.preflight import export_checks


def export(
    run: Run,
    to: Annotated[str, typer.Option(help="onnx, torch (a torch.export program), or hf (a Hugging Face folder).")],
    out: Annotated[Path, typer.Option(help="New folder for the export and its check.")],
    part: Annotated[str | None, typer.Option(help="encoder, classifier or both; default all that the run has.")] = None,
    opset: Annotated[
        int | None,
        typer.Option(help=f"ONNX opset, {export_checks.OLDEST} (default) to {export_checks.NEWEST}."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also in 8 bits (ONNX), and what that costs in neighbours and AUC.")
    ] = False,
    images: Annotated[
        list[Path] | None, typer.Option(help="Check on these images, not on the run's own; again for more of them.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Export a run's model to ONNX, torch.export or Hugging Face.

    The export is run on real images and compared with PyTorch before it is kept; check.json says what was found.
    """
    chosen: dict[str, Any] = {"part": part, "opset": opset, "images": images or [], "overwrite": overwrite}
    export_checks.check(run, to, out, int8=int8, **chosen)
    with terminal.Stages("export", 8 if int8 else 5, first="loading PyTorch"):
        from contrastive_cxr.export.export import export as run_export
        from contrastive_cxr.export.export import words

        facts = run_export(run, to, out, with_int8=int8, **chosen)
    prose(words(facts))
    if int8 and not terminal.is_quiet():
        print_cost(facts["int8"])
    say(f"Export: {facts['part']}, {', '.join(facts['files'])}: {out.resolve()}")
    other = {"onnx": "hf", "torch": "onnx", "hf": "onnx"}[to]
    place = shlex.quote(f"{out}-{other}")
    print_next(
        ("check", f"open {shlex.quote(str(out / export_checks.CHECK))}"),
        (other, f"ccxr export {shlex.quote(str(run))} --to {other} --out {place}"),
    )


def print_cost(facts: dict[str, Any]) -> None:
    """What 8 bits cost: both values, and their paired difference with its interval."""
    rows = []
    for name, word in (("k-NN accuracy", "knn_accuracy"), ("AUC", "auc")):
        if facts[word]:
            gap = facts[word]["difference"]
            ends = "" if gap["low"] is None else f" ({gap['low']:+.3f} to {gap['high']:+.3f})"
            both = (f"{facts[word][kind]:.3f}" for kind in ("float32", "int8"))
            rows.append((name, *both, f"{gap['difference']:+.3f}{ends}"))
    if facts["differing_decisions"] is not None:
        rows.append(("decisions that differ", "", str(facts["differing_decisions"]), ""))
    speed, size = facts["milliseconds"], facts["bytes"]
    rows.append(("ms an image", f"{speed['float32']:.1f}", f"{speed['int8']:.1f}", ""))
    rows.append(("MB", f"{size['float32'] / 1e6:.1f}", f"{size['int8'] / 1e6:.1f}", ""))
    table(f"In 8 bits, on {facts['images']} images", ["what", "float32", "int8", "difference"], rows, whole=1)
