"""Augmentation in a recipe: the name of a set, or a mapping that changes some of its ranges."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer

from contrastive_cxr.recipe.augment_sets import LARGEST_SIGMA, SETS, AugmentSet
from contrastive_cxr.recipe.section import Section

AugmentName = Literal["none", "ct", "ct-upright", "xray", "xray-intensity", "xray-flip", "strong", "xray-wide"]
# Names of the forms of a value in pydantic's places of errors; no setting is called so.
WORD, MAPPING, NUMBER, PATH, URL = "(word)", "(mapping)", "(number)", "(path)", "(url)"
FORMS = (WORD, MAPPING, NUMBER, PATH, URL)


def _pair(low: float, high: float, reason: str) -> AfterValidator:
    """Hold a range [a, b] to low <= a <= b <= high."""

    def check(pair: tuple[float, float]) -> tuple[float, float]:
        if low <= pair[0] <= pair[1] <= high:
            return pair
        empty = "is empty, since its lower end is above its upper one" if pair[0] > pair[1] else "goes too far"
        raise ValueError(
            f"the range [{pair[0]:g}, {pair[1]:g}] {empty}; write [low, high] with {low:g} <= low <= high <= {high:g}: "
            f"{reason}"
        )

    return AfterValidator(check)


def _most(high: float, reason: str) -> AfterValidator:
    """Hold a number to 0 <= value <= high."""

    def check(value: float) -> float:
        if 0 <= value <= high:
            return value
        raise ValueError(f"{value:g} is not within 0 to {high:g}: {reason}")

    return AfterValidator(check)


def _probability() -> AfterValidator:
    return _most(1.0, "it is a probability")


def _field(description: str) -> Any:
    return Field(None, description=f"{description}; none: as in the set")


_CROP = "a crop of less than a twentieth of the image shows no chest any more"
_ZOOM = "below 0.5 the image fills less than a quarter of the picture, above 2 less than a quarter of it is shown"
Pair = tuple[float, float]
Probability = Annotated[float, _probability()]


class Augment(Section):
    """The ranges of a named set, some of them changed."""

    set: AugmentName = Field(description="the set whose ranges count where none is given here")
    crop: Annotated[Pair, _pair(0.05, 1.0, _CROP)] | None = _field(
        "area of a random resized crop, share of the image, 0.05 to 1"
    )
    ratio: Annotated[Pair, _pair(0.25, 4.0, "narrower strips show no chest any more")] | None = _field(
        "width over height of the crop, 0.25 to 4"
    )
    zoom: Annotated[Pair, _pair(0.5, 2.0, _ZOOM)] | None = _field(
        "magnification about the centre, 0.5 to 2; below 1 black comes in"
    )
    aspect: Annotated[float, _most(0.7, "e^0.7 already stretches the image to twice its width")] | None = _field(
        "the content's width over height is multiplied by e^-a to e^a, log-uniform, 0 to 0.7"
    )
    shift: Annotated[float, _most(0.5, "farther, the image's centre would leave the picture")] | None = _field(
        "largest translation along each axis, share of the image's side, 0 to 0.5"
    )
    rotate: Annotated[float, _most(180.0, "it is the largest turn either way, in degrees")] | None = _field(
        "largest rotation either way, degrees, 0 to 180"
    )
    flip_horizontal: Probability | None = _field("probability that left and right are exchanged, 0 to 1")
    flip_vertical: Probability | None = _field("probability that top and bottom are exchanged, 0 to 1")
    brightness: Annotated[float, _most(0.5, "at 1 a picture is all black or all white")] | None = _field(
        "largest value added or taken away, in units of the range 0..1, 0 to 0.5"
    )
    contrast: Annotated[float, _most(0.9, "at 1 a picture is one grey")] | None = _field(
        "largest change of the factor on the difference from the picture's mean, 0 to 0.9"
    )
    gamma: Annotated[float, _most(1.5, "beyond e^1.5 a picture is nearly black or white")] | None = _field(
        "grey values are raised to the power e^-g to e^g, log-uniform, 0 to 1.5"
    )
    noise: Annotated[float, _most(0.5, "more noise than that leaves no picture")] | None = _field(
        "largest standard deviation of Gaussian noise, in units of the range 0..1, 0 to 0.5"
    )
    noise_rate: Probability | None = _field("probability of the noise, 0 to 1 (1 in most sets; read with noise)")
    jpeg: Annotated[Pair, _pair(1.0, 100.0, "it is a JPEG file's quality")] | None = _field(
        "quality of a JPEG file that the picture goes through, 1 to 100"
    )
    jpeg_rate: Probability | None = _field("probability of the JPEG file, 0 to 1 (0.5 in every set; read with jpeg)")
    blur: Probability | None = _field("probability of a Gaussian blur, 0 to 1")
    sigma: Annotated[Pair, _pair(0.0005, LARGEST_SIGMA, "its kernel is made for at most that")] | None = _field(
        f"standard deviation of the blur, share of the picture's side, 0.0005 to {LARGEST_SIGMA:g}"
    )
    sharpness: Annotated[float, _most(1.0, "at 1 a picture is smoothed, or its edges doubled")] | None = _field(
        "largest change of the factor on the difference from a smoothed picture, 0 to 1"
    )
    resolution: Annotated[Pair, _pair(0.05, 1.0, "it is a share of the picture's side")] | None = _field(
        "the picture is reduced to this share of its side and enlarged again, 0.05 to 1, at least 16 pixels"
    )
    resolution_rate: Probability | None = _field(
        "probability of the lower resolution, 0 to 1 (0.5 in every set; read with resolution)"
    )
    erase: Probability | None = _field("probability that a rectangle is set to black, 0 to 1")
    erase_area: Annotated[Pair, _pair(0.001, 0.5, "more than half of a picture is not erased")] | None = _field(
        "area of that rectangle, share of the picture, 0.001 to 0.5"
    )
    equalise: Probability | None = _field("probability that the image's histogram is equalised, 0 to 1")
    frame: Annotated[float, _most(0.3, "wider bands leave too little of a picture")] | None = _field(
        "largest width of black bands along the picture's sides, share of its side, 0 to 0.3"
    )
    frame_rate: Probability | None = _field("probability of such bands, 0 to 1 (0.5 in most sets; read with frame)")
    rate: Probability | None = _field(
        "probability that an image is changed at all, 0 to 1; the others are only resized"
    )

    @model_serializer(mode="wrap")
    def _given(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The set, and the ranges that were given."""
        return {name: value for name, value in write(self).items() if value is not None}

    def given(self) -> dict[str, Any]:
        """The ranges that stand in the place of the set's."""
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "set"}
        return {name: value for name, value in values.items() if value is not None}


def resolved(choice: str | Augment) -> AugmentSet:
    """The ranges of a set's name or a mapping over it."""
    return SETS[choice] if isinstance(choice, str) else dataclasses.replace(SETS[choice.set], **choice.given())


def in_words(choice: object) -> str:
    """A choice as a reader sees it, also from the tree of a written recipe.

    Examples
    --------
    >>> in_words("xray"), in_words({"set": "xray", "zoom": [0.7, 1.1], "aspect": 0.2})
    ('xray', 'xray with zoom 0.7 to 1.1, aspect 0.2')
    """
    if isinstance(choice, Augment):
        choice = choice.model_dump(mode="json")
    if not isinstance(choice, Mapping):
        return str(choice)
    ranges = [
        f"{name} {' to '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in choice.items()
        if name != "set"
    ]
    return f"{choice.get('set')}{' with ' if ranges else ''}{', '.join(ranges)}"


def _form(value: object) -> str:
    return MAPPING if isinstance(value, dict | Augment) else WORD


def _shortest(choice: str | Augment) -> str | Augment:
    """The set's name where a mapping changes none of its ranges, so that one augmentation is written in one way."""
    return choice.set if isinstance(choice, Augment) and resolved(choice) == SETS[choice.set] else choice


_shorten: Callable[[Any], Any] = _shortest
AugmentChoice = Annotated[
    Annotated[AugmentName, Tag(WORD)] | Annotated[Augment, Tag(MAPPING)],
    Discriminator(_form),
    AfterValidator(_shorten),
]
