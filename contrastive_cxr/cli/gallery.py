"""Commands about galleries: make one, and search it for similar cases."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli import engine_options, study_options
from contrastive_cxr.cli.gallery_options import FromGallery, GalleryPlace, Out, StoreOption, copied
from contrastive_cxr.cli.show import look_at, print_next, prose, say, table, tell, value_words
from contrastive_cxr.cli.use import Axis, Device, Frames, pictures
from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight import given_paths

Images = Annotated[
    list[Path] | None,
    typer.Argument(metavar="IMAGE...", help="Image files, or folders, archives or URLs of them; none with --dicomweb."),
]


def index(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN SOURCE]",
            help="A run, then train, val, test or all of its images, a folder, archive or URL; with --encoder images.",
        ),
    ] = None,
    out: Out = None,
    store: StoreOption = "folder",
    from_gallery: FromGallery = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="A published encoder in the place of RUN: a backbone, a weights file, hf-hub:ORG/NAME."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=32, max=2048, help="Input side of the encoder; default its own.")
    ] = None,
    kind: Annotated[str, typer.Option(help="exact, hnsw, ivf, ivf-pq, or auto by size.")] = "auto",
    track: Annotated[
        bool, typer.Option("--track", help="Record the gallery in the run's trackers too, beside its model.")
    ] = False,
    device: Device = "cpu",
    frames: Frames = None,
    axis: Axis = "axial",
    engine: engine_options.Name = "embedded",
    address: engine_options.Address = None,
) -> None:
    """Make a gallery of images, in which similar cases are found.

    Their vectors are those of a run's model, or of a published encoder.
    """
    places = places or []
    chosen = {"store": store, "kind": kind, "device": device, **pictures(frames, axis)}
    worked, also = engine_options.chosen(engine, address)
    if from_gallery is not None:
        copied(from_gallery, places, encoder, track)
        given_paths.check(gallery=from_gallery, also=also)
        with terminal.Stages("copying", 2, first="loading PyTorch"):
            from contrastive_cxr.inference.gallery import convert

            made = convert(from_gallery, out, store=store, kind=kind)
    elif encoder is None:
        if len(places) != 2:
            raise RequestError(
                f"RUN and SOURCE are two, and {len(places)} are given; or name an encoder: --encoder NAME"
            )
        if image_size is not None:
            raise RequestError("--image-size is for --encoder; a run has its own")
        run = Path(places[0])
        given_paths.check(run, places[1:], parts=True, also=also)
        with terminal.Stages("indexing", 4, first="loading PyTorch"):
            from contrastive_cxr.inference import tracked_gallery
            from contrastive_cxr.inference.gallery import index as run_index

            if track:
                tracked_gallery.tracked(run)
            made = run_index(run, places[1], out, engine=worked, **chosen)
            if track:
                tracked_gallery.record(run, made, out or store)
    else:
        if track:
            raise RequestError("--track is for a gallery of a run; a published encoder has no run")
        alone = ["--engine ray is for the model of a run; leave it out with --encoder"] if worked.is_ray else []
        given_paths.check(sources=places, also=[*also, *alone])
        with terminal.Stages("indexing", 2, first="loading PyTorch"):
            from contrastive_cxr.inference.published_encoder import index_encoder

            terminal.stage("encoding the images")
            found = index_encoder(encoder, places, out, image_size=image_size, **chosen)
        made = found.gallery
        for line in found.lines:
            tell(line)
        if not terminal.is_quiet():
            print_probe(found.probe)
    told, place = (str(store), str(store)) if out is None else (str(out.resolve()), str(out))
    recall = f", recall {made.recall.value:.3f} of the {made.recall.k} nearest" if made.recall else ""
    say(f"Gallery: {len(made):,} images, {made.about.kind}{recall}: {told}")
    print_next(("search", f"ccxr search {shlex.quote(place)} IMAGE --html similar.html"))


def print_probe(facts: dict[str, Any]) -> None:
    """Neighbour scores and those of the linear probe, with intervals."""
    for title, word in (("Nearest neighbours", "knn"), ("Linear probe", "linear")):
        if facts[word]:
            rows = [(name, value_words(entry)) for name, entry in facts[word].items()]
            table(f"{title}: {facts['n']} images, {facts['how']}", ["score", "value"], rows, whole=2)
    for note in facts["notes"]:
        prose(note)


def search(
    gallery: GalleryPlace,
    images: Images = None,
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
    dicomweb: study_options.Dicomweb = None,
    study: study_options.Study = "",
    series: study_options.Series = None,
    dicomweb_login: study_options.LoginFile = None,
    dicom_out: study_options.DicomOut = None,
    dicom_as: study_options.DicomAs = "both",
    store: study_options.Store = False,
    device: Device = "cpu",
    frames: Frames = None,
    axis: Axis = "axial",
) -> None:
    """Find the most similar cases of each image in a gallery.

    It also says how unusual the image is among the gallery's own. Images are files, or a study of a DICOMweb server.
    """
    options: dict[str, Any] = {"where": wanted(where or []), **pictures(frames, axis)}
    options |= {"run": run, "k": k, "html": html, "unfamiliar": unfamiliar, "verify": verify}
    options |= {"trust_index": trust_index, "device": device}
    given = {"series": series or [], "login": dicomweb_login, "out": dicom_out, "kinds": dicom_as, "store": store}
    study_options.check(dicomweb, study, given, images or [])
    if dicomweb is not None:
        return show(gallery, study_options.searched(gallery, dicomweb, study, given, options), html)
    given_paths.check(run, images or [], gallery=gallery)
    with terminal.Stages("search", 5 + (html is not None), first="loading PyTorch"):
        from contrastive_cxr.inference.search import search as run_search

        facts = run_search(gallery, images or [], **options)
    return show(gallery, facts, html, images or [])


def show(gallery: Place, facts: dict[str, Any], html: Path | None, images: Sequence[Path] = ()) -> None:
    """Print what was found, and what to do next."""
    for query in facts["queries"]:
        lines = [
            (place, near["label"], f"{near['distance']:.4f}", near["patient"], near["path"])
            for place, near in enumerate(query["neighbours"], 1)
        ]
        table(query["file"], ["", "label", "distance", "patient", "path"], lines)
        prose(" ".join(words_of(query, facts["threshold"])))
    for note in facts["notes"]:
        prose(note)
    if html is not None:
        say(f"Page: {html.resolve()}")
        return print_next(look_at(html))
    if not images:
        return None
    words = " ".join(shlex.quote(str(place)) for place in (gallery, *images[:3]))
    return print_next(("look", f"ccxr search {words} --html similar.html"))


def words_of(query: dict[str, object], threshold: float) -> list[str]:
    """What the neighbours of one image say, in sentences."""
    said, words = query["agreement"], []
    assert isinstance(said, dict), "facts are those of inference.search"
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
