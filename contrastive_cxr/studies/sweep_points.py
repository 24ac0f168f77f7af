"""The points of a sweep: which recipes `key=a,b,c` comes to. No torch."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.recipe.text import yaml_text

BASE = "base"
_LONGEST = 80  # characters of a folder's name
_LISTED = 3


@dataclass(frozen=True)
class Factor:
    """A setting and the values that it takes, as YAML reads them."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class SweepSpec:
    """The words of a sweep: `fixed` overrides of all points, and the factors."""

    fixed: tuple[str, ...]
    factors: tuple[Factor, ...]


@dataclass(frozen=True)
class Point:
    """One run of a sweep: its folder's name, the factors' values there, and its recipe."""

    name: str
    settings: dict[str, Any]
    recipe: Recipe


def read_words(words: Sequence[str]) -> SweepSpec:
    """Tell overrides with one value from factors with several.

    The value is read as the items of a YAML list: commas between items count, those inside brackets or quotes do not.
    `lr=0.1,0.2` has two values, `trainable=[a,b]` one (a list), `trainable=[a,b],[a],null` three, and
    `data.root='a,b'` one.

    Raises
    ------
    RequestError
        A factor given twice, a value that stands twice in it, one whose values would replace a section that another
        word sets a part of, or no factor at all.
    """
    fixed, factors, faults = [], [], []
    for word in words:
        key, _, raw = word.partition("=")
        values = items(raw)
        if values is None or len(values) < 2:
            fixed.append(word)  # one value, or no value that can be read: `recipe.load` judges it
            continue
        factors.append(Factor(key.strip(), tuple(values)))
        texts = [json.dumps(value, default=str) for value in values]
        faults += [f"'{word}': {text} is there twice" for text in dict.fromkeys(texts) if texts.count(text) > 1]
    keys = [word.partition("=")[0].strip() for word in words]
    faults += [
        f"{key} is given twice; give all its values in one word"
        for key in dict.fromkeys(factor.key for factor in factors)
        if keys.count(key) > 1
    ]
    faults += _replaced(factors, keys)
    if not factors:
        faults.append("a sweep needs a setting with several values, such as pretrain.optimiser.lr=0.1,0.01")
    raise_faults(faults)
    return SweepSpec(tuple(fixed), tuple(factors))


def _replaced(factors: Sequence[Factor], keys: Sequence[str]) -> list[str]:
    """Factors that would replace what another word sets: their values come after the fixed words."""
    found = []
    for factor in factors:
        below = [key for key in dict.fromkeys(keys) if key.startswith(f"{factor.key}.")]
        augments = factor.key.endswith("augment")
        instead = f"vary {factor.key}.set" if augments else f"write it into the values of {factor.key}"
        found += [f"the values of {factor.key} would replace {key}; {instead}" for key in below]
    return found


def items(raw: str) -> list[Any] | None:
    """The values in `a,b,c`; None where that is no YAML.

    Examples
    --------
    >>> items("0.1,0.2"), items("[a,b],null"), items("{name: sgd, lr: 1}")
    ([0.1, 0.2], [['a', 'b'], None], [{'name': 'sgd', 'lr': 1}])
    """
    try:
        found = yaml_text.parse(f"[{raw}\n]")
    except yaml.YAMLError:
        return None
    return found if isinstance(found, list) else None


def points_of(reference: str, words: SweepSpec, *, one_at_a_time: bool = False) -> list[Point]:
    """The recipes of a sweep, each loaded and checked.

    Parameters
    ----------
    reference : str
        A recipe file, or a shipped name.
    words : Words
    one_at_a_time : bool
        The recipe's own settings (`base`), then each factor's other values alone, instead of the grid.

    Returns
    -------
    list of Point
        In the order of the words, the last factor changing fastest. Names tell the settings, and are folders' names.

    Raises
    ------
    RequestError
        All faults of all points, each once, with the points that have it; or two points with the same recipe.
    """
    chosen = _alone(words.factors) if one_at_a_time else _grid(words.factors)
    tails = short_keys([factor.key for factor in words.factors])
    found: list[Point] = []
    faults: list[tuple[str, str]] = []
    for settings in chosen:
        name = point_name({tails[key]: value for key, value in settings.items()})
        try:
            recipe = recipes.load(reference, [*words.fixed, *(override(*pair) for pair in settings.items())])
            found.append(Point(name, settings, recipe.model_copy(update={"name": f"{recipe.name}/{name}"})))
        except RequestError as error:
            faults += [(fault, name) for fault in error.faults]
    raise_faults(together(faults, len(chosen)))
    if one_at_a_time:
        found = _without_the_base_again(found)
    raise_faults(_same_faults(found))
    return found


def together(faults: Sequence[tuple[str, str]], points: int) -> list[str]:
    """Each sentence once, followed by the points it is about, unless it is about all of them.

    Parameters
    ----------
    faults : sequence of (sentence, point)
    points : int
        How many points there are.
    """
    by_fault: dict[str, list[str]] = {}
    for fault, point in faults:
        by_fault.setdefault(fault, []).append(point)
    said = []
    for fault, names in by_fault.items():
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        said.append(fault if len(names) == points else f"{fault} (point {', '.join(names[:_LISTED])}{more})")
    return said


def override(key: str, value: object) -> str:
    """`key=value` as `recipe.load` takes it; JSON is YAML on one line."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """The shortest ends of dotted names that tell them apart.

    Examples
    --------
    >>> short_keys(["pretrain.optimiser.lr", "embed.optimiser.lr", "seed"])
    {'pretrain.optimiser.lr': 'pretrain.optimiser.lr', 'embed.optimiser.lr': 'embed.optimiser.lr', 'seed': 'seed'}
    """
    found = {}
    for key in keys:
        parts = key.split(".")
        tails = [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
        alone = (tail for tail in tails if sum(other == tail or other.endswith(f".{tail}") for other in keys) == 1)
        found[key] = next(alone, key)
    return found


def point_name(settings: dict[str, Any]) -> str:
    """A folder's name that tells the settings: `lr-0.1_loss-hinge`; without any, `base`.

    Examples
    --------
    >>> point_name({"lr": 0.1, "trainable": ["layer4", "classifier"]})
    'lr-0.1_trainable-layer4+classifier'
    """
    if not settings:
        return BASE
    name = "_".join(f"{_slug(key)}-{_slug(value)}" for key, value in settings.items())
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}-{digest}"


def _slug(value: object) -> str:
    """A value as letters, digits and `. + -`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "+".join(map(_slug, value)) or "empty"
    if isinstance(value, dict):
        return "+".join(f"{_slug(key)}.{_slug(item)}" for key, item in value.items()) or "empty"
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", str(value)).strip("-.") or "empty"


def _grid(factors: Sequence[Factor]) -> list[dict[str, Any]]:
    values = itertools.product(*(factor.values for factor in factors))
    return [dict(zip((factor.key for factor in factors), chosen, strict=True)) for chosen in values]


def _alone(factors: Sequence[Factor]) -> list[dict[str, Any]]:
    return [{}, *({factor.key: value} for factor in factors for value in factor.values)]


def _without_the_base_again(points: Sequence[Point]) -> list[Point]:
    """The points less those whose value is the recipe's own: they are `base`."""
    base = _content(points[0])
    return [points[0], *(point for point in points[1:] if _content(point) != base)]


def _content(point: Point) -> Recipe:
    return point.recipe.model_copy(update={"name": ""})


def _same_faults(points: Sequence[Point]) -> list[str]:
    """Points that are one experiment, or that would have one folder."""
    faults = []
    for number, point in enumerate(points):
        for other in points[:number]:
            if _content(point) == _content(other):
                faults.append(f"points {other.name} and {point.name} are the same recipe; take one of the values out")
            elif point.name.lower() == other.name.lower():
                faults.append(
                    f"two points would be called {point.name}; {point.settings} and {other.settings} read alike"
                )
    return faults
