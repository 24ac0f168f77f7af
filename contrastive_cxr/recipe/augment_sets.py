"""The named augmentation sets: ranges that draws are taken from. No torch, so that a recipe is checked by them."""

from __future__ import annotations

from dataclasses import dataclass

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
    aspect : float
        The content's width over height is multiplied by e^t, t uniform within -aspect..aspect; its area stays.
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
    gamma : float
        Grey values in 0..1 are raised to the power e^t, t uniform within -gamma..gamma.
    noise : float
        Largest standard deviation of Gaussian noise, in units of the range 0..1; an image's own is uniform within
        0..noise.
    noise_rate : float
        Probability of that.
    jpeg : tuple of float, optional
        Quality of a JPEG file that the picture goes through, 1 to 100; None: no file.
    jpeg_rate : float
        Probability of that.
    blur : float
        Probability of a Gaussian blur.
    sigma : tuple of float
        Its standard deviation, share of the output side; at most `LARGEST_SIGMA`.
    sharpness : float
        Largest change of the factor on the difference from a smoothed picture, 0 to 1: softer or sharper.
    resolution : tuple of float, optional
        The picture is reduced to this share of its side and enlarged again, in (0, 1]; None: it is not.
    resolution_rate : float
        Probability of that.
    erase : float
        Probability that a rectangle is set to black.
    erase_area : tuple of float
        Area of that rectangle, share of the picture.
    equalise : float
        Probability that the whole image's histogram is equalised.
    frame : float
        Largest width of black bands along the sides of the picture, share of its side; each side has one in half of the
        framed pictures.
    frame_rate : float
        Probability that a picture is framed.
    rate : float
        Probability that an image is changed at all; the others are only resized, as in evaluation.
    """

    crop: tuple[float, float] = (1.0, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    zoom: tuple[float, float] = (1.0, 1.0)
    aspect: float = 0.0
    shift: float = 0.0
    rotate: float = 0.0
    flip_horizontal: float = 0.0
    flip_vertical: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    noise_rate: float = 1.0
    jpeg: tuple[float, float] | None = None
    jpeg_rate: float = 0.5
    blur: float = 0.0
    sigma: tuple[float, float] = (0.002, 0.008)
    sharpness: float = 0.0
    resolution: tuple[float, float] | None = None
    resolution_rate: float = 0.5
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.15)
    equalise: float = 0.0
    frame: float = 0.0
    frame_rate: float = 0.5
    rate: float = 1.0

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
    # Another hospital frames, stretches, exposes and stores the chest otherwise; lung may leave the picture. Chosen by
    # what holds under benign changes and on images from elsewhere: benchmarks/results/tried_elsewhere.json.
    "xray-wide": AugmentSet(
        zoom=(0.65, 1.6),
        aspect=0.4,
        shift=0.12,
        rotate=12.0,
        brightness=0.2,
        contrast=0.4,
        gamma=0.4,
        noise=0.1,
        noise_rate=0.25,
        blur=0.2,
        resolution=(0.3, 1.0),
        resolution_rate=0.2,
        equalise=0.1,
        # What the warp leaves black is slanted and lightened; without bands that are neither, those of the images
        # themselves gave their class away (a 5 % black frame cost 29 points).
        frame=0.15,
        frame_rate=0.35,
    ),
}
