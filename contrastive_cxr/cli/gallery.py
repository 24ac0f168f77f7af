"""Commands about galleries: make one, and search it for similar cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contrastive_cxr import experiment
from contrastive_cxr.cli.show import say, table
from contrastive_cxr.cli.use import Axis, Device, Frames, Run, pictures
from contrastive_cxr.errors import RequestError

Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders, archives or URLs of them.")
]


def index(
    run: Run,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="train, val, test or all of the run's images; or a folder, archive or URL."
        ),
    ],
    out: Annotated[Path, typer.Option(help="New folder for the gallery.")],
    kind: Annotated[str, typer.Option(help="exact, hnsw, ivf, ivf-pq, or auto by size.")] = "auto",
    device: Device = "cpu",
    frames: Frames = None,
    axis: Axis = "axial",
) -> None:
    """Make a gallery of images, to be searched for similar cases."""
    made = experiment.call("index")(run, source, out, kind=kind, device=device, **pictures(frames, axis))
    recall = f", recall {made.recall.value:.3f} of the {made.recall.k} nearest" if made.recall else ""
    say(f"Gallery: {len(made):,} images, {made.about.kind}{recall}: {out.resolve()}")


def search(
    gallery: Annotated[Path, typer.Argument(metavar="GALLERY", help="Folder that ccxr index wrote.")],
    images: Images,
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours an image.")] = 5,
    where: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE that neighbours must have; again for more of them.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures to this file.")] = None,
    run: Annotated[Path | None, typer.Option(help="Run of the gallery's model, where it has moved.")] = None,
    unfamiliar: Annotated[
        float, typer.Option(help="Percent of the gallery's own cases that lie nearer: above it, unfamiliar.")
    ] = 99.0,
    verify: Annotated[bool, typer.Option("--verify", help="Digest all files first, however large.")] = False,
    trust_index: Annotated[
        bool, typer.Option("--trust-index", help="Read an index that another user or program wrote.")
    ] = False,
    device: Device = "cpu",
    frames: Frames = None,
    axis: Axis = "axial",
) -> None:
    """Find the most similar cases of each image, and say how unusual the image is."""
    facts = experiment.call("search")(
        gallery, images, run=run, k=k, where=wanted(where or []), html=html, unfamiliar=unfamiliar, verify=verify,
        trust_index=trust_index, device=device, **pictures(frames, axis),
    )  # fmt: skip
    for query in facts["queries"]:
        lines = [
            (place, near["label"], f"{near['distance']:.3f}", near["patient"], near["path"])
            for place, near in enumerate(query["neighbours"], 1)
        ]
        table(query["file"], ["", "label", "distance", "patient", "path"], lines)
        say(" ".join(words_of(query, facts["threshold"])))
    for note in facts["notes"]:
        say(note)
    if html is not None:
        say(f"Page: {html.resolve()}")


def words_of(query: dict[str, object], threshold: float) -> list[str]:
    """What the neighbours of one image say, in sentences."""
    said, words = query["agreement"], []
    assert isinstance(said, dict), "facts are those of experiment.search"
    if said["label"]:
        words.append(f"{said['votes']} of {said['of']} neighbours are {said['label']}.")
    if query["percentile"] is not None:
        words.append(f"Distance to the nearest: percentile {query['percentile']:.1f} of the gallery's own.")
    if query["unfamiliar"]:
        words.append(f"UNFAMILIAR (above {threshold:g}): its neighbours say little about it.")
    return [*words, *([f"{query['words']}."] if query["words"] else [])]


def wanted(words: list[str]) -> dict[str, list[str]]:
    """{column: values} of `COLUMN=VALUE` words; several of one column are alternatives."""
    found: dict[str, list[str]] = {}
    faults = [f"--where {word}: write COLUMN=VALUE, such as label=covid" for word in words if "=" not in word]
    if faults:
        raise RequestError(*faults)
    for word in words:
        column, _, value = word.partition("=")
        found.setdefault(column.strip(), []).append(value.strip())
    return found
