"""The command that explains."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.show import look_at, print_next, say, to_similar
from contrastive_cxr.cli.use import Axis, Device, Frames, Overwrite, Run, pictures
from contrastive_cxr.preflight import given_paths

Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE...",
        help="Images (one picture of a file: scan.dcm#frame=3), or folders, archives or tables of images.",
    ),
]


def explain(
    run: Run,
    images: Images,
    target: Annotated[str | None, typer.Option(help="Class to explain; default what is decided.")] = None,
    phase: Annotated[
        str | None, typer.Option(help="finetune, pretrain or embed; default the first with a classifier.")
    ] = None,
    near: Annotated[int, typer.Option(min=0, help="Nearest training images to compare with.")] = 2,
    beside: Annotated[Path | None, typer.Option(help="An image to compare with instead.")] = None,
    steps: Annotated[int, typer.Option(min=0, help="Steps of activation maximisation; 0: none.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of activation maximisation.")] = 0,
    device: Device = "cpu",
    frames: Frames = None,
    axis: Axis = "axial",
    out: Annotated[Path | None, typer.Option(help="New folder; default RUN/explain.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Show what a run looks at in images.

    A page with Grad-CAM, attention and similarity maps, and the image that each class would like best.
    """
    options = pictures(frames, axis)
    given_paths.check(run, [*images, *([] if beside is None else [beside])])
    with terminal.Stages("explaining", 3 + len(images), first="loading PyTorch"):
        from contrastive_cxr.explain import Ascent
        from contrastive_cxr.inference.explain import explain as run_explain

        page = run_explain(
            run, images, target=target, phase=phase, near=near, beside=beside, ascent=Ascent(steps=steps, seed=seed),
            device=device, out=out, overwrite=overwrite, **options,
        )  # fmt: skip
    say(f"Page: {page.resolve()}")
    facts = json.loads(page.with_name("explain.json").read_text(encoding="utf-8"))
    first = shlex.quote(facts["images"][0]["file"])
    print_next(look_at(page), *(to_similar(run, "train", first) if (run / "manifest.csv").is_file() else []))
