"""Commands that use a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli import engine_options
from contrastive_cxr.cli.gallery_options import VotingGallery
from contrastive_cxr.cli.show import after_run, look_at, print_next, print_scores, say, tell, to_similar
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.preflight import given_paths
from contrastive_cxr.run_layout import pool_parts

AXES = ("axial", "coronal", "sagittal")
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="SOURCE...", help="Images, or folders, ZIP or tar archives, URLs or tables (CSV, Parquet) of images."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in --out.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, or auto: a GPU where there is one.")]
Precision = Annotated[
    Literal["auto", "32-true", "bf16-mixed"],
    typer.Option(
        help="auto: bf16-mixed where it is faster here and the vectors stay the same, else 32-true.",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        help="Frames of files with several, slices of volumes: all, middle, a number from 0, {start: 10, ...}."
    ),
]
Axis = Annotated[str, typer.Option(help="Direction of the slices of volumes: axial, coronal or sagittal.")]


def evaluate(
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="New images, such as data.root=DIR; other scores: evaluation.subgroups=[sex].",
        ),
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test; default test where there is one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    gallery: VotingGallery = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Score the images under benign changes too: crops, noise, JPEG, ...")
    ] = False,
) -> None:
    """Score a run on a recorded split or on new images.

    New images are an external test. What is scored is the run's classifier, or the vote of a gallery.
    """
    given_paths.check(run, gallery=gallery)
    with terminal.Stages("evaluation", 1, first="loading PyTorch"):
        from contrastive_cxr.evaluation.external import evaluate as run_evaluate

    folder = run_evaluate(run, overrides or [], split=split, out=out, gallery=gallery, robustness=robustness)
    print_scores(folder)
    say(f"Report: {(folder / 'report.html').resolve()}")
    say(f"Model card: {(folder / 'model-card.md').resolve()}")
    print_next(
        look_at(folder / "report.html"),
        ("compare", f"ccxr compare {shlex.quote(str(folder))} OTHER_RUN"),
        *after_run(run),
    )


def predict(
    run: Run,
    source: Sources,
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    device: Device = "cpu",
    frames: Frames = None,
    axis: Axis = "axial",
    overwrite: Overwrite = False,
    precision: Precision = "auto",
    engine: engine_options.Name = "embedded",
    address: engine_options.Address = None,
) -> None:
    """Write a classifier's probabilities and decisions to a table.

    A row an image, with what was fitted on the validation part: temperature and thresholds. A run over seeds or folds
    is one predictor: the mean of its models' probabilities.
    """
    worked, also = engine_options.chosen(engine, address)
    options = {"engine": worked, **pictures(frames, axis)}
    given_paths.check(run, source, out=out, endings=(".csv",), also=also)
    with terminal.Stages("predicting", 3, first="loading PyTorch"):
        from contrastive_cxr.engine.allocator import keep_freed_memory
        from contrastive_cxr.inference.predict import predict as run_predict

        keep_freed_memory()
        table = run_predict(run, source, out, device=device, overwrite=overwrite, precision=precision, **options)
    if "predictor" in table.attrs:
        tell(table.attrs["predictor"])
    say(f"{len(table)} rows: {out}")
    first = shlex.quote(str(table["file"].iloc[0]))
    print_next(("explain", f"ccxr explain {shlex.quote(str(explained(run)))} {first}"), *after_run(run)[1:])


def explained(run: Path) -> Path:
    """The run that `ccxr explain` takes for the images that `run` predicted: of one over seeds or folds its first."""
    return run / next(iter(pool_parts(run)), "")


def encode(
    run: Run,
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="train, val, test or all of the run's images; or images, folders, archives, URLs, tables of images.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="X.npy; or a folder for Parquet parts, which torchrun may fill.")],
    device: Device = "cpu",
    frames: Frames = None,
    axis: Axis = "axial",
    overwrite: Overwrite = False,
    precision: Precision = "auto",
    engine: engine_options.Name = "embedded",
    address: engine_options.Address = None,
) -> None:
    """Write the vectors of images by a run's embedding.

    They are an array with a CSV table of its rows, or Parquet parts, which go on where they were stopped.
    """
    worked, also = engine_options.chosen(engine, address)
    options = {"engine": worked, **pictures(frames, axis)}
    given_paths.check(run, source, parts=True, out=out, endings=(".npy", ""), also=also)
    with terminal.Stages("encoding", 2, first="loading PyTorch"):
        from contrastive_cxr.engine.allocator import keep_freed_memory
        from contrastive_cxr.inference.encode import encode as run_encode

        keep_freed_memory()
        terminal.stage("encoding the images")
        written = run_encode(run, source, out, device=device, overwrite=overwrite, precision=precision, **options)
    say(f"Vectors: {written}")
    given = "" if frames is None else f" --frames {shlex.quote(frames)} --axis {axis}"
    if len(source) == 1:
        print_next(*to_similar(run, source[0], options=given))
    elif (run / "manifest.csv").is_file():  # ccxr index takes one source
        print_next(*to_similar(run, "train"))


def card(
    run: Run,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[card.KEY=VALUE]...", help="Texts, such as card.limits='adults only'."),
    ] = None,
) -> None:
    """Write a run's model card again, with texts of your own."""
    given_paths.check(run)
    from contrastive_cxr.evaluation.model_card import write_card

    say(f"Model card: {write_card(run, words or []).resolve()}")


def pictures(frames: str | None, axis: str) -> dict[str, Any]:
    """The options `--frames` and `--axis`, checked."""
    from contrastive_cxr.recipe import frames_of

    if axis not in AXES:
        raise RequestError(f"--axis {axis}: is not one of {', '.join(AXES)}{nearest(axis, AXES)}")
    return {"frames": frames_of(frames), "axis": axis}
