"""The precision in which a trained network encodes and predicts: bfloat16 where it is faster and says the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from contrastive_cxr import augment, terminal
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import Network
from contrastive_cxr.recipe.schema import InferencePrecision

LEAST_COSINE = 0.9999
"""Between a vector in bfloat16 and the same in float32: at least this for every image of the sample."""
GAIN = 1.2
"""How many times as fast bfloat16 has to be."""
SAMPLE = 16
"""Images that are compared and timed: four passes over them, two in each precision."""
WORTH = 1e7
"""Pixels that are to pass through the network, 600 images of 128 x 128: with fewer, float32 without measuring."""

SPOKEN = {"32-true": "float32", "bf16-mixed": "bfloat16"}

_known: dict[tuple[str, str], Settled] = {}


@dataclass(frozen=True)
class Settled:
    """A precision of inference and how it was chosen.

    Attributes
    ----------
    precision : str
        `32-true` or `bf16-mixed`.
    why : str
        A few words for the record.
    least_cosine : float or None
        The smallest cosine of the sample's vectors in bfloat16 to those in float32; None if it was not measured.
    images_per_second : dict of float
        Of each precision that was timed.
    """

    precision: InferencePrecision
    why: str
    least_cosine: float | None = None
    images_per_second: dict[str, float] | None = None

    def words(self) -> str:
        """The precision and why, as a report says it.

        Examples
        --------
        >>> Settled("bf16-mixed", "faster here, the vectors keep their directions", 0.999987).words()
        'bfloat16 (faster here, the vectors keep their directions; least cosine to float32 0.99999)'
        """
        cosine = "" if self.least_cosine is None else f"; least cosine to float32 {self.least_cosine:.5f}"
        return f"{SPOKEN[self.precision]} ({self.why}{cosine})"


def check(word: str, device: str = "cpu") -> None:
    """Refuse a word that is no precision of inference, and bfloat16 on a GPU that lacks it.

    Raises
    ------
    RequestError
    """
    if word not in get_args(InferencePrecision):
        raise RequestError(f"precision {word!r}: is none of {', '.join(get_args(InferencePrecision))}")
    if word == "bf16-mixed" and torch.device(device).type == "cuda" and not has_bf16(torch.device(device)):
        raise RequestError("precision 'bf16-mixed': this GPU does not multiply bfloat16; use auto or 32-true")


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself, or torch has kernels for it on this CPU."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def settle(
    network: Network, word: InferencePrecision, sample: Callable[[], Tensor], images: int, digest: str
) -> Settled:
    """Set the precision in which `network` encodes and predicts from now on (`network.inference_dtype`).

    `auto` compares bfloat16 with float32 on a sample. It is taken if every vector keeps its direction (a cosine of at
    least `LEAST_COSINE`) and it is `GAIN` times as fast. In one process the same weights are measured once.

    Parameters
    ----------
    network : Network
        In evaluation mode, on its device.
    word : str
        `auto`, `32-true` or `bf16-mixed`.
    sample : callable
        Gives decoded images uint8 [B, 1, S, S] on the device, B at most `SAMPLE`; called only if it is measured.
    images : int
        Images that are to pass through the network; each view of test-time augmentation counts as one.
    digest : str
        SHA-256 of the weights.

    Raises
    ------
    RequestError
        `bf16-mixed` on a GPU that lacks it.
    """
    device = network.mean.device
    check(word, str(device))
    settled = Settled(word, "as chosen") if word != "auto" else _automatic(network, sample, images, digest)
    network.inference_dtype = torch.bfloat16 if settled.precision == "bf16-mixed" else torch.float32
    return settled


def _automatic(network: Network, sample: Callable[[], Tensor], images: int, digest: str) -> Settled:
    """What `auto` stands for here."""
    device = network.mean.device
    known = _known.get((digest, str(device)))
    if known is not None:
        return known
    if images * network.spec.image_size**2 < WORTH:
        return Settled("32-true", "few images: bfloat16 was not tried")
    if not has_bf16(device):
        return Settled("32-true", "this device does not multiply bfloat16")
    terminal.stage("measuring which precision encodes fastest")
    found = measured(network, augment.plain(sample(), network.spec.image_size))
    _known[digest, str(device)] = found
    return found


def measured(network: Network, images: Tensor) -> Settled:
    """Both precisions on images float32 [B, 1, S, S] in 0..1: the vectors compared, the second pass timed."""
    vectors, speeds = {}, {}
    for name, dtype in (("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)):
        network.inference_dtype = dtype
        for _ in range(2):  # the first pass prepares the kernels
            begun = time.perf_counter()
            with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
                vectors[name] = network.embed(images).float()
            if images.is_cuda:
                torch.cuda.synchronize(images.device)
            speeds[name] = round(len(images) / (time.perf_counter() - begun), 1)
    cosine = functional.cosine_similarity(vectors["32-true"].double(), vectors["bf16-mixed"].double()).min().item()
    if not cosine >= LEAST_COSINE:  # also where bfloat16 gives what is not a number
        return Settled("32-true", "bfloat16 changes the vectors", cosine, speeds)
    if speeds["bf16-mixed"] < GAIN * speeds["32-true"]:
        return Settled("32-true", "bfloat16 is not faster here", cosine, speeds)
    return Settled("bf16-mixed", "faster here, the vectors keep their directions", cosine, speeds)
