"""What happens to each image: numbers drawn on the CPU for the whole batch, whichever process uses them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from contrastive_cxr.augment.sets import AugmentSet

# One uniform number an image for each purpose, so that a range of a set never moves the draw of another.
PURPOSES = (
    "area", "ratio", "across", "down", "zoom", "right", "below", "turn", "flip_horizontal", "flip_vertical",
    "brightness", "contrast", "blur", "sigma", "erase", "erase_area", "erase_ratio", "erase_across", "erase_down",
)  # fmt: skip
# Drawn after all the others, so that older recipes draw as they always did.
LATER = ("equalise",)
LATEST = (
    "aspect", "gamma", "noise", "jpeg", "jpeg_rate", "resolution", "resolution_rate", "sharpness",
    "noise_rate", "rate", "frame_rate", "frame_left", "frame_right", "frame_top", "frame_bottom",
)  # fmt: skip
# Largest seed of an image's noise; drawn after the uniform numbers, so a further purpose comes after it.
SEEDS = 2**62
# What each parameter is of an image that is only resized; those that are not here mean nothing then.
PLAIN = {
    "width": 1.0, "height": 1.0, "x": 0.0, "y": 0.0, "angle": 0.0, "mirror_x": 1.0, "mirror_y": 1.0, "brightness": 0.0,
    "contrast": 1.0, "sigma": 0.0, "erase_width": 0.0, "equalise": 0.0, "gamma": 1.0, "noise": 0.0, "jpeg": 0.0,
    "resolution": 1.0, "sharpness": 1.0, "frame_left": 0.0, "frame_right": 0.0, "frame_top": 0.0, "frame_bottom": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Draw:
    """The parameters of B images; every field is a float32 CPU tensor [B], `noise_seed` an int64 one.

    The window is the part of the image that fills the output. `width` and `height` are shares of the image's sides
    (above 1: black comes in), `x` and `y` its centre, the image spanning -1..1. It is turned by `angle` degrees: the
    content appears turned counter-clockwise, and mirrored where `mirror_x` or `mirror_y` is -1. `brightness` is
    added, `contrast` multiplies the difference from the mean, `sigma` is a share of the output side (0: no blur); the
    erased box is in shares of the output side (width 0: none). `equalise` is 1 where the histogram is equalised.
    `gamma` is the power of the grey values (1: as they are), `noise` a standard deviation in units of the range 0..1,
    `jpeg` a quality (0: no file), `resolution` the share of its side that the output is reduced to (1: it is not),
    `sharpness` multiplies the difference from a smoothed picture (1: as it is). The four `frame_` fields are widths of
    black bands along the sides of the picture, shares of its side (0: none).
    """

    width: Tensor
    height: Tensor
    x: Tensor
    y: Tensor
    angle: Tensor
    mirror_x: Tensor
    mirror_y: Tensor
    brightness: Tensor
    contrast: Tensor
    sigma: Tensor
    erase_left: Tensor
    erase_top: Tensor
    erase_width: Tensor
    erase_height: Tensor
    equalise: Tensor
    gamma: Tensor
    noise: Tensor
    noise_seed: Tensor
    jpeg: Tensor
    resolution: Tensor
    sharpness: Tensor
    frame_left: Tensor
    frame_right: Tensor
    frame_top: Tensor
    frame_bottom: Tensor

    def __len__(self) -> int:
        return len(self.width)

    def __getitem__(self, rows: slice | Tensor) -> Draw:
        """The draw of some of the images."""
        return Draw(**{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)})

    def moves(self) -> Tensor:
        """Which images change their geometry: bool [B]."""
        whole = (self.width == 1) & (self.height == 1) & (self.x == 0) & (self.y == 0)
        return ~(whole & (self.angle == 0) & (self.mirror_x == 1) & (self.mirror_y == 1))


def draw(set: AugmentSet, total: int, seed: int) -> Draw:
    """Draw the parameters of a global batch.

    Parameters
    ----------
    set : AugmentSet
        The ranges.
    total : int
        Images of the global batch, over all processes.
    seed : int
        Seed of the draw; the global generators are neither read nor moved.

    Returns
    -------
    Draw
        Of `total` images.
    """
    generator = torch.Generator().manual_seed(seed)
    uniforms: dict[str, Tensor] = {}
    for purposes in (PURPOSES, LATER, LATEST):
        uniform = torch.rand(total, len(purposes), generator=generator)
        uniforms |= zip(purposes, uniform.unbind(dim=1), strict=True)
    drawn = Draw(
        **_window(set, uniforms),
        **_erased(set, uniforms),
        angle=_symmetric(uniforms["turn"], set.rotate),
        mirror_x=1.0 - 2.0 * (uniforms["flip_horizontal"] < set.flip_horizontal),
        mirror_y=1.0 - 2.0 * (uniforms["flip_vertical"] < set.flip_vertical),
        brightness=_symmetric(uniforms["brightness"], set.brightness),
        contrast=1.0 + _symmetric(uniforms["contrast"], set.contrast),
        sigma=_between(uniforms["sigma"], *set.sigma) * (uniforms["blur"] < set.blur),
        equalise=(uniforms["equalise"] < set.equalise).float(),
        gamma=_symmetric(uniforms["gamma"], set.gamma).exp(),
        **_quality(set, uniforms),
        **_framed(set, uniforms),
        noise_seed=torch.randint(SEEDS, (total,), generator=generator),
    )
    return drawn if set.rate >= 1 else _left_plain(drawn, uniforms["rate"] >= set.rate)


def _left_plain(drawn: Draw, plain: Tensor) -> Draw:
    """The draw with the images where `plain` is true (bool [B]) only resized."""
    fields = {name: torch.where(plain, value, getattr(drawn, name)) for name, value in PLAIN.items()}
    return dataclasses.replace(drawn, **fields)


def _window(set: AugmentSet, uniforms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Size and centre of the window: the random resized crop, then zoom, stretch and shift."""
    area = _between(uniforms["area"], *set.crop)
    # Only ratios at which a window of this area fits into the image, so that the area is met exactly.
    low, high = area.clamp(min=set.ratio[0]), (1 / area).clamp(max=set.ratio[1])
    ratio = low * (high / low) ** uniforms["ratio"]
    width, height = (area * ratio).sqrt().clamp(max=1.0), (area / ratio).sqrt().clamp(max=1.0)
    zoom = _between(uniforms["zoom"], *set.zoom)
    # A narrower window makes its content wider; its area stays.
    stretch = _symmetric(uniforms["aspect"], set.aspect / 2).exp()
    return {
        "width": width / zoom / stretch,
        "height": height / zoom * stretch,
        "x": _symmetric(uniforms["across"], 1.0) * (1 - width) + 2 * _symmetric(uniforms["right"], set.shift),
        "y": _symmetric(uniforms["down"], 1.0) * (1 - height) + 2 * _symmetric(uniforms["below"], set.shift),
    }


def _erased(set: AugmentSet, uniforms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The erased box, wholly inside the picture; width 0 where nothing is erased."""
    area = _between(uniforms["erase_area"], *set.erase_area)
    ratio = 2.0 ** _symmetric(uniforms["erase_ratio"], 1.0)
    width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
    return {
        "erase_left": uniforms["erase_across"] * (1 - width),
        "erase_top": uniforms["erase_down"] * (1 - height),
        "erase_width": width * (uniforms["erase"] < set.erase),
        "erase_height": height,
    }


def _framed(set: AugmentSet, uniforms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Widths of the black bands: each side has none in half of the framed pictures, else one of 0 to `frame`."""
    framed = uniforms["frame_rate"] < set.frame_rate
    sides = ("frame_left", "frame_right", "frame_top", "frame_bottom")
    return {side: _symmetric(uniforms[side], set.frame).clamp(min=0.0) * framed for side in sides}


def _quality(set: AugmentSet, uniforms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Noise, JPEG, resolution and sharpness."""
    quality = _between(uniforms["jpeg"], *(set.jpeg or (0.0, 0.0)))
    share = _between(uniforms["resolution"], *(set.resolution or (1.0, 1.0)))
    return {
        "noise": set.noise * uniforms["noise"] * (uniforms["noise_rate"] < set.noise_rate),
        "jpeg": quality * (uniforms["jpeg_rate"] < set.jpeg_rate),
        "resolution": torch.where(uniforms["resolution_rate"] < set.resolution_rate, share, 1.0),
        "sharpness": 1.0 + _symmetric(uniforms["sharpness"], set.sharpness),
    }


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * uniform


def _symmetric(uniform: Tensor, limit: float) -> Tensor:
    return limit * (2 * uniform - 1)
