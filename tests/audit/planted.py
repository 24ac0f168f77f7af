"""Copies of painted phantoms, each made in a known way."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contrastive_cxr.audit.symmetries import NAMES, turned

Bytes = NDArray[np.uint8]
Change = Callable[[Bytes, np.random.Generator], Bytes]


def resized(pixels: Bytes, height: int, width: int) -> Bytes:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: Bytes, quality: int = 40) -> Bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def brighter(pixels: Bytes, rng: np.random.Generator) -> Bytes:
    scaled = pixels * rng.uniform(0.8, 1.2) + rng.uniform(-20, 20)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def cropped(pixels: Bytes, rng: np.random.Generator, share: float = 0.05) -> Bytes:
    height, width = pixels.shape
    left, right, top, bottom = (rng.uniform(0, share, 4) * [width, width, height, height]).astype(int)
    return pixels[top : height - bottom, left : width - right]


def turn(name: str) -> Change:
    return lambda pixels, rng: np.ascontiguousarray(turned(pixels[None], NAMES.index(name))[0])


KINDS: dict[str, Change] = {
    **{name: turn(name) for name in NAMES[1:]},
    "re-encoded": lambda pixels, rng: encoded(pixels),
    "resized": lambda pixels, rng: resized(pixels, int(len(pixels) * 0.6), int(len(pixels) * 0.6)),
    "stretched": lambda pixels, rng: resized(pixels, 100, 160),
    "brightness": brighter,
    "cropped": cropped,
    "cropped up to 8 % a side": lambda pixels, rng: cropped(pixels, rng, 0.08),
    "mirror, brightness, re-encoded": lambda pixels, rng: encoded(brighter(turn("mirror")(pixels, rng), rng)),
}
