"""The changes that were drawn for one image, in words with their values."""

from __future__ import annotations

import math

from contrastive_cxr.augment.draws import PLAIN, Draw

# Of each plain number its word and how it is written, in the order in which the changes are applied.
_NUMBERS = {
    "resolution": ("resolution", ".2f"),
    "sharpness": ("sharpness", ".2f"),
    "contrast": ("contrast", ".2f"),
    "brightness": ("brightness", "+.2f"),
    "gamma": ("gamma", ".2f"),
    "noise": ("noise", ".3f"),
    "jpeg": ("JPEG quality", ".0f"),
}


def in_words(drawn: Draw, row: int, size: int) -> list[str]:
    """The changes of one image, in the order in which they are applied; what is as good as none is left out.

    Parameters
    ----------
    drawn : Draw
        Of B images.
    row : int
        Which of them, from 0.
    size : int
        Side of the output, pixels.

    Returns
    -------
    list of str
        Empty where nothing changes. `zoom` above 1: the content is larger; `aspect` above 1: it is wider; `rotate` is
        in degrees counter-clockwise; `shift` is how far the image's centre lies from that of the picture, in percent
        of its side; blur is a standard deviation in pixels, noise one in units of the range 0..1.

    Examples
    --------
    >>> from contrastive_cxr.augment.draws import draw
    >>> from contrastive_cxr.augment.sets import AugmentSet
    >>> in_words(draw(AugmentSet(zoom=(1.25, 1.25), flip_horizontal=1.0), 1, seed=0), 0, 224)
    ['zoom 1.25', 'mirrored left-right']
    """
    value = {name: float(getattr(drawn, name)[row]) for name in (*PLAIN, "erase_height")}
    told = ["histogram equalised"] if value["equalise"] else []
    told += _geometry(value)
    for name, (word, form) in _NUMBERS.items():
        told += _number(word, value[name], PLAIN[name], form)
        if name == "resolution":
            told += _number("blur", value["sigma"] * size, 0.0, ".1f", " px")
    if value["erase_width"] > 0:
        told.append(f"erased {value['erase_width']:.0%} x {value['erase_height']:.0%}".replace("%", " %"))
    sides = {side: value[f"frame_{side}"] for side in ("left", "right", "top", "bottom")}
    framed = [f"{side} {_percent(width)}" for side, width in sides.items() if round(100 * width)]
    return [*told, *([f"frame {' '.join(framed)}"] if framed else [])]


def _number(word: str, value: float, plain: float, form: str, unit: str = "") -> list[str]:
    """A value and its word; nothing where it is written as one that changes nothing is."""
    return [] if float(f"{value:{form}}") == float(f"{plain:{form}}") else [f"{word} {value:{form}}{unit}"]


def _geometry(value: dict[str, float]) -> list[str]:
    """Zoom, aspect, rotation, mirrors, and where the image's centre lies in the picture."""
    width, height, angle = value["width"], value["height"], math.radians(value["angle"])
    told = _number("zoom", (width * height) ** -0.5, 1.0, ".2f") + _number("aspect", height / width, 1.0, ".2f")
    told += _number("rotate", value["angle"], 0.0, ".1f", " deg")
    told += ["mirrored left-right"] if value["mirror_x"] < 0 else []
    told += ["mirrored top-bottom"] if value["mirror_y"] < 0 else []
    # The inverse of the map from picture to image, for the image's centre; both span -1..1, so a half is a share.
    right = -(math.cos(angle) * value["x"] + math.sin(angle) * value["y"]) / (2 * width * value["mirror_x"])
    down = (math.sin(angle) * value["x"] - math.cos(angle) * value["y"]) / (2 * height * value["mirror_y"])
    sides = {("right", "left"): right, ("down", "up"): down}
    moved = [f"{_percent(abs(by))} {names[by < 0]}" for names, by in sides.items() if round(100 * abs(by))]
    return [*told, *([f"shift {' '.join(moved)}"] if moved else [])]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
