"""A backbone found inside the tensors of a file: by the names and the shapes of its layers."""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

import contrastive_cxr.models.backbones.catalogue as catalogue
import contrastive_cxr.models.checkpoints.families as families
from contrastive_cxr.models.backbones.grey import folded, stems
from contrastive_cxr.models.checkpoints.comparing import compared
from contrastive_cxr.models.checkpoints.naming import COUNTER, Tensors, renamed
from contrastive_cxr.models.checkpoints.unwrap import Content

ENOUGH = 0.95
"""Share of a backbone's tensors, and of the numbers in them, that a file must give."""


@dataclass(frozen=True)
class Match:
    """How a network in a file fits a backbone.

    Attributes
    ----------
    backbone : str
        Its name.
    state : dict of Tensor
        What is loaded, under the backbone's names; a colour stem still has its colours.
    place, prefix, names : str
        Where in the file it stands, what stood before its names, whose names they were ('' the backbone's own).
    colour : bool
        Whether its stem has three channels.
    share : float
        The lesser of the shares of tensors and of numbers that agree in name and shape, of all that the backbone has
        and all that the file has inside the same layers, 0..1.
    missing : tuple of str
        The backbone's tensors that it lacks.
    unlike : str
        The first difference that matters in words, or ''.
    resized : tuple of str
        Tensors fitted to another input size.
    rest : tuple of str
        Tensors in the file that are left aside.
    twins : tuple of str
        Where else in the file as good a network stands.
    """

    backbone: str
    state: dict[str, Tensor]
    place: str
    prefix: str
    names: str
    colour: bool
    share: float
    missing: tuple[str, ...]
    unlike: str
    resized: tuple[str, ...]
    rest: tuple[str, ...]
    twins: tuple[str, ...] = ()

    @property
    def loaded(self) -> int:
        """Number of tensors that are loaded, without the counters of batch norms, as `missing` is."""
        return sum(not key.endswith(COUNTER) for key in self.state)

    @property
    def fits(self) -> bool:
        """Whether it is this backbone: enough of it is there, and nothing of another shape."""
        return self.share >= ENOUGH and not self.unlike


@dataclass(frozen=True)
class _Wanted:
    """A backbone on the meta device: its tensors on a grey channel, and on three."""

    name: str
    grey: dict[str, Tensor]
    body: nn.Module

    @property
    def colour(self) -> dict[str, Tensor]:
        return dict(self.body.state_dict())


def match(content: Content, backbone: str, image_size: int | None = None) -> Match:
    """The network in a file that fits the backbone best, however well that is.

    Parameters
    ----------
    content : Content
        The file's.
    backbone : str
        Its name.
    image_size : int, optional
        Side of the input, pixels, to which position embeddings are fitted; none: the one it was designed for.
    """
    wanted = _wanted(backbone, image_size if catalogue.fixed_size(backbone) else None)
    found = [each for group in content.groups for each in _tried(group.place, group.tensors, wanted)]
    best = max(found, key=lambda each: (round(each.share, 4), -_rank(each), -len(each.resized), -len(each.prefix)))
    places = {(best.place, best.prefix)}
    twins = [each for each in found if each.fits and each.share >= best.share - 1e-4]
    others = [where(each) for each in twins if (each.place, each.prefix) not in places]
    return replace(best, twins=tuple(dict.fromkeys(others)))


def where(found: Match) -> str:
    """Place and prefix as one word: `teacher: module.backbone.`."""
    return ": ".join(filter(None, (found.place, found.prefix))) or "the outermost names"


def state_of(found: Match, stem: catalogue.Stem, image_size: int | None = None) -> dict[str, Tensor]:
    """What is loaded into the backbone on a grey channel; a colour stem is folded, or left out where it is `random`."""
    if not found.colour:
        return dict(found.state)
    body = _wanted(found.backbone, image_size if catalogue.fixed_size(found.backbone) else None).body
    state = dict(found.state)
    for path in stems(body):
        own = {key: state.pop(key) for key in list(state) if key.startswith(f"{path}.")}
        if stem == "fold" and f"{path}.weight" in own:
            state |= {f"{path}.{key}": value for key, value in folded(body.get_submodule(path), own, path).items()}
    return state


@cache
def _wanted(name: str, image_size: int | None) -> _Wanted:
    with torch.device("meta"):
        body = catalogue.colour(name, image_size=image_size)
    return _Wanted(name, dict(catalogue.on_meta(name, image_size).state_dict()), body)


def _tried(place: str, tensors: dict[str, Tensor], wanted: _Wanted) -> Iterator[Match]:
    """The matches of one dictionary, by each family's names and each likely prefix."""
    for family in (None, *families.NAMES):
        if family is not None and not any(re.search(family.mark, name) for name in tensors):
            continue
        named = tensors if family is None else renamed(tensors, family, wanted.grey)
        for prefix in _prefixes(named, wanted.grey):
            own = {key.removeprefix(prefix): value for key, value in named.items() if key.startswith(prefix)}
            fitted = _fitted(own, wanted)
            grey, colour = (compared(fitted, each) for each in (wanted.grey, wanted.colour))
            better = colour if colour.share > grey.share else grey
            yield Match(
                backbone=wanted.name,
                state=better.state,
                place=place,
                prefix=prefix,
                names="" if family is None else family.title,
                colour=better is colour,
                share=better.share,
                missing=better.missing,
                unlike=better.unlike,
                resized=tuple(key for key in better.state if key in own and own[key].shape != better.state[key].shape),
                rest=_rest(named, prefix, own, fitted, better.state),
            )


def _rest(named: Tensors, prefix: str, own: Tensors, fitted: Tensors, state: Tensors) -> tuple[str, ...]:
    """Names that are left aside: of other layers, of other networks, and what the library's own filter drops."""
    kept = {value.data_ptr() for value in fitted.values()}
    dropped = {key for key, value in own.items() if key not in fitted and value.data_ptr() not in kept}
    aside = dropped | {key for key in fitted if key not in state}
    return tuple(
        key
        for key in (*named, *(f"{prefix}{key}" for key in fitted if f"{prefix}{key}" not in named))
        if not key.startswith(prefix) or key.removeprefix(prefix) in aside
    )


def _prefixes(named: Tensors, wanted: Tensors) -> list[str]:
    """What stands before the backbone's names in a file, the most frequent first; 'nothing' where none is found."""
    found: Counter[str] = Counter()
    for key in named:
        words = key.split(".")
        for place in range(len(words)):
            if ".".join(words[place:]) in wanted:
                found[".".join((*words[:place], ""))] += 1
    most = max(found.values(), default=0)
    return [prefix for prefix, count in found.most_common(8) if 2 * count >= most] or [""]


def _fitted(own: dict[str, Tensor], wanted: _Wanted) -> dict[str, Tensor]:
    """The tensors as the backbone's library makes them its own: other names, another input size."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # a filter of timm prints what it tries
            return catalogue.fitted(wanted.name, dict(own), wanted.body)
    except Exception:  # a filter expects a file of its own kind, and fails in any way on another
        return own


def _rank(found: Match) -> int:
    """0 for a place or prefix that goes first, 2 for one that goes last, else 1."""
    words = set(re.split(r"[.:]", f"{found.place}.{found.prefix}"))
    return 2 if words & set(families.LAST) else 0 if words & set(families.FIRST) else 1
