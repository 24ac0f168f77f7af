"""What a network started from: what of a file was loaded, what not, and from where, in words and as facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import contrastive_cxr.models.checkpoints.families as families
from contrastive_cxr.models.checkpoints.families import Range
from contrastive_cxr.models.checkpoints.matching import Match, where
from contrastive_cxr.models.checkpoints.unwrap import Content
from contrastive_cxr.models.pretrained.published import Origin

_NAMED = 4


@dataclass(frozen=True)
class Started:
    """Where the weights of a backbone came from.

    Attributes
    ----------
    word : str
        The recipe's `model.weights`.
    origin : Origin or None
        Of published weights that were taken by their name.
    match : Match or None
        Of a file: how it fitted.
    kept : Range or None
        The inputs that belong to the weights, in the place of the recipe's statistics.
    stem : str
        What became of a colour stem: `fold` or `random`.
    backbone : str
        Name of the network, where there is no match that tells it.
    counted : (int, int) or None
        Of published weights and a run's own: tensors that were loaded, and tensors of the backbone.
    digest : str
        SHA-256 of a file of weights; '' where nobody computed it.
    """

    word: str
    origin: Origin | None = None
    match: Match | None = None
    kept: Range | None = None
    stem: str = "fold"
    backbone: str = ""
    counted: tuple[int, int] | None = None
    digest: str = ""

    def lines(self) -> tuple[str, ...]:
        """Two sentences about a file, one about published weights and those of a run, none where nothing was loaded."""
        if self.match is not None:
            return self._loaded(self.match), self._aside(self.match)
        if self.counted is None:
            return ()
        count = f"{self.counted[0]} of {self.counted[1]} tensors"
        if self.origin is not None:
            return (
                f"model.weights={self.word}: {self.backbone} starts from {self.origin.words()}; {count} are loaded",
            )
        said = f" ({self._sha()})" if self.digest else ""
        return (f"model.weights={self.word}: {count} of {self.backbone} are loaded{said}",)

    def _sha(self) -> str:
        return f"SHA-256 {self.digest}" if self.digest else ""

    def _loaded(self, match: Match) -> str:
        every = match.loaded + len(match.missing)
        parts = [f"from {where(match)}" if match.place or match.prefix else "", *self._changes(match), self._sha()]
        said = ", ".join(filter(None, parts))
        return f"model.weights={self.word}: {match.loaded} of {every} tensors of {match.backbone} are loaded" + (
            f" ({said})" if said else ""
        )

    def _changes(self, match: Match) -> list[str]:
        """What was done to the tensors on their way."""
        colour = {"fold": "its colour stem folded to grey", "random": "its colour stem left out (model.stem=random)"}
        return [
            f"names of {match.names} translated" if match.names else "",
            colour[self.stem] if match.colour else "",
            f"{shown(match.resized)} fitted to the image size" if match.resized else "",
            f"its input range {self.kept.words} ({self.kept.title}) stands in the place of model.normalise"
            if self.kept
            else "",
        ]

    def _aside(self, match: Match) -> str:
        others = f"; as good a network is at {', '.join(match.twins)}" if match.twins else ""
        return (
            f"model.weights={self.word}: left aside {shown(match.rest)}; not in the file and so as drawn: "
            f"{shown(match.missing)}{others}"
        )

    def facts(self) -> dict[str, Any]:
        """The same as plain values, for `environment.json` and `inputs.json`; empty where nothing was loaded."""
        match = self.match
        if match is None:
            if self.counted is None:
                return {}
            loaded, every = self.counted
            known = {"words": list(self.lines()), "backbone": self.backbone, "loaded": loaded, "tensors": every}
            return {**known, "share": round(loaded / every, 6)}
        return {
            "words": list(self.lines()),
            "tensors": match.loaded + len(match.missing),
            "backbone": match.backbone,
            "place": match.place,
            "prefix": match.prefix,
            "names": match.names,
            "share": round(match.share, 6),
            "loaded": match.loaded,
            "missing": list(match.missing),
            "left_aside": list(match.rest),
            "resized": list(match.resized),
            "stem": ("folded" if self.stem == "fold" else "random") if match.colour else "grey",
            "input_range": None if self.kept is None else self.kept.words,
        }


def shown(names: Sequence[str]) -> str:
    """The first names and how many there are.

    Examples
    --------
    >>> shown(["fc.weight", "fc.bias"]), shown([])
    ('2 (fc.weight, fc.bias)', 'nothing')
    """
    if not names:
        return "nothing"
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} ({', '.join(names[:_NAMED])}{more})"


def range_of(content: Content, match: Match) -> Range | None:
    """The inputs that belong to the weights of a file, where it is of a family that has its own."""
    group = next(group for group in content.groups if group.place == match.place)
    own = group.tensors.get("std")  # of a model of this package, which says so itself
    heads = [value for name, value in group.tensors.items() if name in match.rest and name.endswith("bias")]
    for known in families.RANGES:
        outputs = not match.colour and any(value.shape == (known.outputs,) for value in heads)
        named = any(name.rpartition(".")[2] == known.tensor for name in group.tensors)
        of_library = any(name.startswith(known.library) for name in content.classes)
        if float(own) == known.std if own is not None and own.numel() == 1 else of_library or named or outputs:
            return known
    return None
