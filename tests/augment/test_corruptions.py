"""Each benign change against Pillow, numpy or scikit-image, one image at a time."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import exposure, filters, transform

from contrastive_cxr import augment
from contrastive_cxr.augment.corruptions import CASES, CORRUPTIONS, VALIDATED, corrupt
from contrastive_cxr.errors import RequestError

Grey = NDArray[np.uint8]
SIDE = 80


def pictures(count: int = 3, height: int = SIDE, width: int = SIDE) -> Grey:
    """Smooth pictures with edges, uint8 [count, height, width]: as an X-ray, dark to light."""
    rng = np.random.default_rng(4)
    found = np.stack([filters.gaussian(rng.random((height, width)), 3) for _ in range(count)])
    found = (found - found.min()) / (found.max() - found.min())
    found[:, height // 4 : height // 2, width // 3 : width // 2] = 1.0
    found[:, height // 4 : height // 2, width // 2 : 2 * width // 3] = 0.0
    return (found * 235 + 10).astype(np.uint8)


def edges(picture: Grey, share: float) -> tuple[int, int]:
    return round(share * picture.shape[0]), round(share * picture.shape[1])


def crop(picture: Grey, down: float, across: float) -> Grey:
    width, height = picture.shape[1], picture.shape[0]
    left, top = round(across * width), round(down * height)
    return np.asarray(Image.fromarray(picture).crop((left, top, width - left, height - top)))


def pasted(picture: Grey, down: float, across: float) -> Grey:
    """Pillow's resize, pasted into the middle of a black picture."""
    height, width = picture.shape
    size = round(across * width), round(down * height)
    small = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    canvas = Image.new("L", (width, height))
    canvas.paste(small, ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(canvas)


def rolled(picture: Grey, down: int, right: int) -> Grey:
    found = np.roll(picture, (down, right), axis=(0, 1))
    found[:down], found[:, :right] = 0, 0
    return found


def scaled(found: NDArray[np.floating]) -> Grey:
    return np.round(np.clip(found, 0, 1) * 255).astype(np.uint8)


def contrast(picture: Grey, factor: float) -> Grey:
    values = picture / 255
    return scaled(values.mean() + factor * (values - values.mean()))


def turned(picture: Grey, degrees: float) -> Grey:
    return scaled(transform.rotate(picture / 255, degrees, order=1, mode="constant"))


def blurred(picture: Grey, sigma: float) -> Grey:
    return scaled(filters.gaussian(picture / 255, sigma * picture.shape[1], mode="mirror", truncate=4.0))


def jpeg(picture: Grey, quality: int) -> Grey:
    buffer = io.BytesIO()
    Image.fromarray(picture, mode="L").save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("L"))


def smaller(picture: Grey, share: float) -> Grey:
    size = round(share * picture.shape[1]), round(share * picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def equalised(picture: Grey) -> Grey:
    """As scikit-image's, but with the darkest value's own count left out (OpenCV's rule): by counting."""
    darkest = (picture == picture.min()).sum()
    below = np.array([(picture <= value).sum() for value in range(256)])[picture]
    return np.round((below - darkest) * 255 / (picture.size - darkest)).astype(np.uint8)


def framed(picture: Grey, share: float) -> Grey:
    lines, columns = edges(picture, share)
    inner = picture[lines : picture.shape[0] - lines, columns : picture.shape[1] - columns]
    return np.pad(inner, ((lines, lines), (columns, columns)))


def lettered(picture: Grey, share: float) -> Grey:
    """A white L, pixel by pixel."""
    found, (height, width) = picture.copy(), picture.shape
    tall = round(share * height)
    wide, stroke = round(0.6 * tall), max(1, round(0.2 * tall))
    top, left = round(0.03 * height), width - round(0.03 * width) - wide
    for line in range(tall):
        for column in range(wide):
            if column < stroke or line >= tall - stroke:
                found[top + line, left + column] = 255
    return found


# Kind -> the same by other hands, given a severity's value; and the largest distance in grey values that is allowed.
# 0: whole pixels, tables or the same codec. 1: one rounding. Rotation: at the edge of what came in the two blend with
# black by half a pixel's difference, so it is left out below.
OTHERS: dict[str, tuple[Callable[[Grey, float], Grey], int]] = {
    "crop": (lambda x, v: crop(x, v / 100, v / 100), 0),
    "crop_height": (lambda x, v: crop(x, v / 100, 0), 0),
    "crop_width": (lambda x, v: crop(x, 0, v / 100), 0),
    "aspect_wide": (lambda x, v: pasted(x, 1 / (1 + v / 100), 1), 1),
    "aspect_tall": (lambda x, v: pasted(x, 1, 1 / (1 + v / 100)), 1),
    "zoom_out": (lambda x, v: pasted(x, v / 100, v / 100), 1),
    "shift_down": (lambda x, v: rolled(x, edges(x, v / 100)[0], 0), 0),
    "shift_right": (lambda x, v: rolled(x, 0, edges(x, v / 100)[1]), 0),
    "rotation": (turned, 1),
    "brighter": (lambda x, v: np.minimum(x + 2.55 * v, 255).round().astype(np.uint8), 1),
    "darker": (lambda x, v: np.maximum(x - 2.55 * v, 0).round().astype(np.uint8), 1),
    "contrast_lower": (lambda x, v: contrast(x, v / 100), 1),
    "contrast_higher": (lambda x, v: contrast(x, v / 100), 1),
    "gamma_darker": (lambda x, v: scaled(exposure.adjust_gamma(x / 255, v)), 1),
    "gamma_lighter": (lambda x, v: scaled(exposure.adjust_gamma(x / 255, v)), 1),
    "blur": (lambda x, v: blurred(x, v / 100), 1),
    "jpeg": (lambda x, v: jpeg(x, int(v)), 0),
    "resolution": (lambda x, v: smaller(x, v / 100), 1),
    "equalise": (lambda x, v: equalised(x), 0),
    "black_frame": (lambda x, v: framed(x, v / 100), 0),
    "marker": (lambda x, v: lettered(x, v / 100), 0),
}


def asked(images: Grey, name: str, severity: int) -> Grey:
    found = corrupt(torch.from_numpy(images).unsqueeze(1), name, severity)
    assert found.dtype == torch.uint8
    return found[:, 0].numpy()


def test_every_change_has_another_implementation_here() -> None:
    assert set(OTHERS) | {"noise"} == set(CORRUPTIONS)
    assert set(VALIDATED) < set(CORRUPTIONS)


@pytest.mark.parametrize("name", OTHERS)
def test_the_change_is_what_another_implementation_makes(name: str) -> None:
    other, allowed = OTHERS[name]
    images = pictures()
    for severity, value in enumerate(CORRUPTIONS[name].values, start=1):
        found = asked(images, name, severity).astype(int)
        wanted = np.stack([other(picture, value) for picture in images]).astype(int)
        assert found.shape == wanted.shape
        far = np.abs(found - wanted)
        if name == "rotation":  # what came in from outside, and the pixel beside it
            inside = turned(np.full((SIDE, SIDE), 255, dtype=np.uint8), value) == 255
            inner = filters.rank.minimum(inside.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) == 1
            assert inner.mean() > 0.7
            far = far[:, inner]
        assert far.max() <= allowed, f"severity {severity}: {far.max()} grey values"
        changed = found.shape != images.shape or bool((found != images).any())
        assert changed, f"severity {severity} changes nothing"


def test_rotation_turns_anticlockwise_and_brings_in_black() -> None:
    images = np.full((1, SIDE, SIDE), 200, dtype=np.uint8)
    images[0, : SIDE // 2, SIDE // 2 :] = 50  # the upper right quarter goes to the left
    found = asked(images, "rotation", 3)[0]
    assert found[0, 0] == found[0, -1] == found[-1, 0] == found[-1, -1] == 0
    top = found[SIDE // 4, SIDE // 4 : 3 * SIDE // 4]
    assert (top < 100).sum() > len(top) // 2 + 2, "the edge between light and dark has moved to the left"
    pillow = np.asarray(Image.fromarray(images[0]).rotate(15, Image.Resampling.BILINEAR)).astype(int)
    middle = slice(SIDE // 4, 3 * SIDE // 4)
    assert np.abs(found[middle, middle].astype(int) - pillow[middle, middle]).mean() < 2


def test_noise_has_its_deviation_and_no_bias() -> None:
    images = np.full((4, 200, 200), 128, dtype=np.uint8)
    for severity, percent in enumerate(CORRUPTIONS["noise"].values, start=1):
        added = asked(images, "noise", severity).astype(float) - 128
        wanted = math.sqrt((2.55 * percent) ** 2 + 1 / 12)  # rounding to grey values adds its own variance
        assert added.std() == pytest.approx(wanted, rel=0.02)
        assert abs(added.mean()) < 4 * added.std() / math.sqrt(added.size)


def test_noise_is_the_images_own_whatever_its_batch() -> None:
    images = torch.from_numpy(pictures(4)).unsqueeze(1)
    whole = corrupt(images, "noise", 2, rows=np.array([7, 3, 9, 1]))
    alone = torch.cat(
        [corrupt(images[i : i + 1], "noise", 2, rows=np.array([row])) for i, row in enumerate((7, 3, 9, 1))]
    )
    assert torch.equal(whole, alone)
    assert not torch.equal(whole, corrupt(images, "noise", 2, rows=np.array([7, 3, 9, 1]), seed=1))
    same = corrupt(images[:1].repeat(2, 1, 1, 1), "noise", 2, rows=np.array([0, 1]))
    assert not torch.equal(same[0], same[1]), "two images do not have the same noise"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_changed_by_itself_and_the_original_stays(name: str) -> None:
    images = torch.from_numpy(pictures(3)).unsqueeze(1)
    before, rows = images.clone(), np.arange(3)
    whole = corrupt(images, name, 1, rows)
    assert torch.equal(images, before)
    parts = [corrupt(images[i : i + 1], name, 1, rows[i : i + 1]) for i in range(3)]
    far = (whole.int() - torch.cat(parts).int()).abs().max()
    assert far <= 1, "a batch's kernels may round a value otherwise, no more"


def test_a_crop_is_stretched_to_the_networks_square() -> None:
    picture = pictures(1)[0]
    found = augment.plain(corrupt(torch.from_numpy(picture)[None, None], "crop_height", 2), 48)
    size = (48, 48)
    wanted = np.asarray(Image.fromarray(crop(picture, 0.1, 0)).resize(size, Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found[0, 0].numpy() * 255, wanted, atol=1.5)  # Pillow rounds between its two passes


@pytest.mark.parametrize("side", [16, 33, 256])
def test_every_size_of_the_cache_works(side: int) -> None:
    images = torch.from_numpy(pictures(1, side, side)).unsqueeze(1)
    for name, severity in CASES:
        found = corrupt(images, name, severity)
        assert found.dtype == torch.uint8
        assert min(found.shape[-2:]) >= 4


def test_what_there_is_not_is_refused() -> None:
    images = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    with pytest.raises(RequestError, match="did you mean 'blur'"):
        corrupt(images, "blurr", 1)
    with pytest.raises(RequestError, match="no severity 2; it has 1 to 1"):
        corrupt(images, "equalise", 2)
