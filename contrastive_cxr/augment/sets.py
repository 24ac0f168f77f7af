"""The named augmentation sets: ranges that draws are taken from."""

from __future__ import annotations

from dataclasses import dataclass

from contrastive_cxr.errors import RequestError, nearest

# Blur kernels are cut off at three of these; a share of the picture's side.
LARGEST_SIGMA = 0.01


@dataclass(frozen=True)
class AugmentSet:
    """Ranges of one augmentation set; the defaults change nothing.

    Parameters
    ----------
    crop : tuple of float
        Area of the random resized crop, share of the image, in (0, 1].
    ratio : tuple of float
        Width over height of the crop, before it is narrowed to what fits into the image.
    zoom : tuple of float
        Magnification about the centre; below 1 the image shrinks and black comes in.
    shift : float
        Largest translation along each axis, share of the side.
    rotate : float
        Largest rotation either way, degrees.
    flip_horizontal, flip_vertical : float
        Probability of a mirror image, 0 to 1.
    brightness : float
        Largest value added or taken away, in units of the range 0..1.
    contrast : float
        Largest change of the factor on the difference from the image's mean, 0 to 1.
    blur : float
        Probability of a Gaussian blur.
    sigma : tuple of float
        Its standard deviation, share of the output side; at most `LARGEST_SIGMA`.
    erase : float
        Probability that a rectangle is set to black.
    erase_area : tuple of float
        Area of that rectangle, share of the picture.
    equalise : float
        Probability that the whole image's histogram is equalised.
    """

    crop: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    zoom: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    rotate: float = 0.0
    flip_horizontal: float = 0.0
    flip_vertical: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    blur: float = 0.0
    sigma: tuple[float, float] = (0.002, 0.008)
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.15)
    equalise: float = 0.0

    def __post_init__(self) -> None:
        assert 0 < self.crop[0] <= self.crop[1] <= 1, f"crop {self.crop} must be rising shares of the image, in (0, 1]"
        assert 0 < self.sigma[0] <= self.sigma[1] <= LARGEST_SIGMA, (
            f"sigma {self.sigma} must be rising shares of the side, at most {LARGEST_SIGMA}"
        )


SETS: dict[str, AugmentSet] = {
    "none": AugmentSet(),
    "ct": AugmentSet(
        crop=(0.5, 1.0),
        rotate=10.0,
        flip_horizontal=0.7,
        flip_vertical=0.7,
        brightness=0.15,
        contrast=0.2,
        blur=0.2,
    ),
    # A slice's up and down, and its sharpness, are left as they are.
    "ct-upright": AugmentSet(crop=(0.5, 1.0), rotate=15.0, flip_horizontal=0.5, brightness=0.15, contrast=0.3),
    # The ranges together keep 85 % of the picture in view even where every draw is at its end.
    "xray": AugmentSet(zoom=(0.92, 1.04), shift=0.05, rotate=10.0, brightness=0.15, contrast=0.2),
    "xray-intensity": AugmentSet(brightness=0.15, contrast=0.2),
    # A heart on the right side is rare, so mirror images are for those who ask for them. `data.equalise` equalises
    # every image; here one of two is, so that the network sees both.
    "xray-flip": AugmentSet(shift=0.1, rotate=10.0, flip_horizontal=0.5, equalise=0.5),
    "strong": AugmentSet(
        crop=(0.3, 1.0),
        rotate=20.0,
        flip_horizontal=0.5,
        brightness=0.3,
        contrast=0.4,
        blur=0.5,
        erase=0.3,
    ),
}

AUGMENT_SETS: tuple[str, ...] = tuple(SETS)


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
