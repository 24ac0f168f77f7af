"""Ranges of augmentation by name or from a recipe's mapping; the named ones stand in `recipe.augment_sets`."""

from __future__ import annotations

from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe.augment_sets import LARGEST_SIGMA, SETS, AugmentSet
from contrastive_cxr.recipe.augmentation import Augment, resolved

__all__ = ["AUGMENT_SETS", "LARGEST_SIGMA", "SETS", "AugmentSet", "Choice", "check_set", "resolve"]

AUGMENT_SETS: tuple[str, ...] = tuple(SETS)
Choice = str | Augment | AugmentSet


def check_set(name: str) -> AugmentSet:
    """Return the set called `name`.

    Raises
    ------
    RequestError
        There is no such set; the message names the known ones.
    """
    if name not in SETS:
        known = ", ".join(AUGMENT_SETS)
        raise RequestError(
            f"augment: there is no set '{name}'{nearest(name, AUGMENT_SETS)}; known are {known}; name one of them"
        )
    return SETS[name]


def resolve(choice: Choice) -> AugmentSet:
    """The ranges of a set's name, of a recipe's mapping over one, or the ranges themselves.

    Raises
    ------
    RequestError
        There is no set of that name.

    Examples
    --------
    >>> resolve(Augment(set="xray", zoom=(0.7, 1.1))).zoom, resolve("xray").zoom
    ((0.7, 1.1), (0.92, 1.04))
    """
    if isinstance(choice, AugmentSet):
        return choice
    return check_set(choice) if isinstance(choice, str) else resolved(choice)
