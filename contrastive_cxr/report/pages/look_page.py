"""The page of a first look at images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import contrastive_cxr.report.figures.look as look
from contrastive_cxr.html_templates import environment, labelled
from contrastive_cxr.report.figures.drawing import address
from contrastive_cxr.report.pages.compare_page import Table

SIDE = 232  # pixels of a shown square, twice its size on the page
_DASH = "\N{EN DASH}"
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Squares:
    """One picture made square in several ways: {way: uint8 [S, S]}."""

    path: str
    size: str
    ways: dict[str, Pixels]


def page(
    facts: Mapping[str, Any],
    examples: Mapping[str, Sequence[tuple[str, Pixels]]],
    squares: Sequence[Squares],
    measures: Mapping[str, Mapping[str, NDArray[np.float64]]],
) -> str:
    """The page, self-contained.

    Parameters
    ----------
    facts : the contents of `data-look.json` (docs/reference/studies.md)
    examples : {label: (path, square uint8 [S, S])}
    squares : pictures, each made square in several ways
    measures : {label: {width, height, aspect, mean, sd}}, float64 [n] each, for the figures
    """
    return labelled(
        environment(Path(__file__).parent)
        .get_template("look.html.j2")
        .render(
            facts=facts,
            tables=tables(facts),
            figures=look.all_of(measures),
            examples={
                label: [(path, picture(pixels)) for path, pixels in chosen] for label, chosen in examples.items()
            },
            squares=[
                (each.path, each.size, {way: picture(made) for way, made in each.ways.items()}) for each in squares
            ],
        )
    )


def picture(pixels: Pixels) -> str:
    """A grey JPEG of at most 232 x 232 pixels as a data address."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return address(buffer.getvalue(), "jpeg")


def tables(facts: Mapping[str, Any]) -> list[Table]:
    """Counts, findings, sizes, kinds of files and contrast, by label, and the ranges of stored values."""
    return [
        _counts(facts),
        _findings(facts),
        _sizes(facts),
        _shapes(facts),
        _kinds(facts),
        _grey(facts),
        _contrast(facts),
    ]


def _counts(facts: Mapping[str, Any]) -> Table:
    labels = facts["counts"]["labels"]
    parts = list(dict.fromkeys(part for each in labels.values() for part in each["by_split"]))
    names = list(dict.fromkeys(name for each in labels.values() for name in each["by_source"]))
    names = names if len(names) > 1 else []
    columns = ("label", "images", "unreadable", *(part or "no split" for part in parts), *names)
    rows = tuple(
        (
            label or "(empty)",
            f"{each['images']:,}",
            str(each["unreadable"]),
            *(f"{each['by_split'].get(part, 0):,}" for part in parts),
            *(f"{each['by_source'].get(name, 0):,}" for name in names),
        )
        for label, each in labels.items()
    )
    more = facts["counts"]["more_labels"]
    return Table("Counts", f"By label, split and source.{f' {more} more labels.' if more else ''}", columns, rows)


def _findings(facts: Mapping[str, Any]) -> Table:
    """What is odd, in numbers."""
    copies, people, shapes = facts["copies"], facts["patients"], facts["shapes"]
    lost = shapes["lost"]
    rows = (
        ("images", f"{facts['images']:,}"),
        ("files that cannot be read", f"{facts['unreadable']['count']:,}"),
        ("files that have a copy (same content)", f"{copies['images']:,} in {copies['groups']:,} groups"),
        ("groups of copies with several labels", f"{copies['across_labels']:,}"),
        ("groups of copies in several splits", f"{copies['across_splits']:,}"),
        ("groups of copies in several sources", f"{copies['across_sources']:,}"),
        ("known patients", f"{people['known']:,}; {people['images_without']:,} images without"),
        ("patients in several splits", f"{people['several_splits']['count']:,}"),
        ("patients with several labels", f"{people['several_labels']['count']:,}"),
        ("images with one grey value only", f"{facts['contrast']['blank']['count']:,}"),
        ("images that keep fewer than 64 grey levels", f"{facts['grey']['squeezed']['images']:,}"),
        ("different sizes", f"{facts['sizes']['distinct']:,}"),
        (
            "share that padding adds, or cropping cuts",
            _DASH if lost is None else f"median {lost['median']:.0%}, at most {lost['max']:.0%}",
        ),
    )
    return Table("Findings", "Facts that matter for the split, the task and the network.", ("what", "value"), rows)


def _sizes(facts: Mapping[str, Any]) -> Table:
    rows = []
    for label, each in {"all": facts["sizes"]["all"], **facts["sizes"]["by_label"]}.items():
        rows.append(
            (label or "(empty)", *(_span(each[name]) for name in ("width", "height")), _span(each["bytes"], 1024))
        )
    return Table(
        "Sizes", "Median (smallest to largest).", ("label", "width, pixels", "height, pixels", "KiB"), tuple(rows)
    )


def _shapes(facts: Mapping[str, Any]) -> Table:
    shapes = facts["shapes"]
    rows = tuple(
        (label or "(empty)", _span(each["aspect"], digits=2), _span(each["lost"], digits=2))
        for label, each in {"all": shapes, **shapes["by_label"]}.items()
    )
    what = (
        f"Median (smallest to largest). {shapes['square']:,} images are square within 1 %. The last column: the share "
        "that padding adds to a square, or that a centred crop cuts off: 1 - short side / long side."
    )
    return Table("Shapes", what, ("label", "width / height", "share padded, or cut"), rows)


def _kinds(facts: Mapping[str, Any]) -> Table:
    labels = list(facts["counts"]["labels"])[:12]
    words = "If one kind of file occurs mostly with one label, a network may use it as a shortcut."
    rows = tuple(
        (f"{name} {value}", f"{sum(by_label.values()):,}", *(f"{by_label.get(label, 0):,}" for label in labels))
        for name, kinds in facts["kinds"].items()
        for value, by_label in kinds.items()
    )
    return Table("Kinds of files", words, ("kind", "images", *(label or "(empty)" for label in labels)), rows)


def _grey(facts: Mapping[str, Any]) -> Table:
    """The stored values that became black and white."""
    grey = facts["grey"]
    rows = tuple(
        (each["source"], each["format"], f"{each['low']:g}", f"{each['high']:g}", f"{each['images']:,}")
        for each in grey["ranges"]
    )
    words = [
        f"The values in the files that became black and white, by data.intensity.kind={grey['kind']}.",
        "Of DICOM, the values after its rescale; of CT, in HU.",
        f"{grey['more_ranges']} more ranges." if grey["more_ranges"] else "",
        grey["warning"],
    ]
    what = " ".join(filter(None, words))
    return Table("Stored values", what, ("source", "format", "black", "white", "images"), rows)


def _contrast(facts: Mapping[str, Any]) -> Table:
    rows = tuple(
        (label or "(empty)", f"{each['images']:,}", _middle(each["mean"]), _middle(each["sd"]))
        for label, each in facts["contrast"]["by_label"].items()
    )
    what = (
        "Grey levels from 0 to 1, one value for each image, without padding: median (5 % to 95 %). Measured on squares "
        f"of {facts['cache_size']} pixels."
    )
    return Table("Contrast", what, ("label", "images", "mean", "standard deviation"), rows)


def _span(entry: Mapping[str, float] | None, unit: float = 1, digits: int = 0) -> str:
    if entry is None:
        return _DASH
    low, middle, high = (f"{entry[name] / unit:,.{digits}f}" for name in ("min", "median", "max"))
    return f"{middle} ({low} to {high})"


def _middle(entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return _DASH
    return f"{entry['median']:.3f} ({entry['p5']:.3f} to {entry['p95']:.3f})"
