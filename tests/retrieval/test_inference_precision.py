"""bfloat16 in inference: what it changes, when it is taken, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import embed_cached, inference_precision
from contrastive_cxr.retrieval.embedding import forward_all
from contrastive_cxr.retrieval.inference_precision import SAMPLE, WORTH, settle

MANY = int(WORTH / 32**2) + 1


@pytest.fixture(scope="module")
def made() -> models.Network:
    model = schema.Model(backbone="shufflenet_v2_x0_5", image_size=32)
    return models.build(model, projection=(6,), classes=2, mean=0.5, std=0.25, seed=0).eval()


@pytest.fixture
def network(made: models.Network, monkeypatch: pytest.MonkeyPatch) -> models.Network:
    monkeypatch.setattr(inference_precision, "_known", {})
    return copy.deepcopy(made)


@pytest.fixture
def images() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (SAMPLE, 1, 40, 40), dtype=np.uint8))


def never() -> Tensor:
    raise AssertionError("nothing is to be measured")


def test_bfloat16_computes_the_backbone_alone(network: models.Network, images: Tensor) -> None:
    exact, answers = embed_cached(network, images), forward_all(network, images)
    settle(network, "bf16-mixed", never, MANY, "weights")
    rounded, said = embed_cached(network, images), forward_all(network, images)
    cosines = (exact.double() * rounded.double()).sum(1)
    assert not torch.equal(exact, rounded)
    assert cosines.min() > 0.999
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.norm(dim=1), torch.ones(SAMPLE))
    assert said.probabilities is not None
    assert answers.probabilities is not None
    torch.testing.assert_close(said.probabilities, answers.probabilities, atol=0.02, rtol=0)
    # the classifier computes in float32: its probabilities are not rounded to the 8 bits of bfloat16
    assert not torch.equal(said.probabilities, said.probabilities.bfloat16().float())
    settle(network, "32-true", never, MANY, "weights")
    assert torch.equal(embed_cached(network, images), exact)


def test_training_does_not_look_at_it(network: models.Network, images: Tensor) -> None:
    seen: list[torch.dtype] = []
    network.backbone.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    settle(network, "bf16-mixed", never, MANY, "weights")
    network(images[:, :, :32, :32] / 255)
    network.train()
    network(images[:, :, :32, :32] / 255)
    assert seen == [torch.bfloat16, torch.float32]


def test_few_images_are_not_measured(network: models.Network) -> None:
    settled = settle(network, "auto", never, MANY - 2, "weights")
    assert settled.precision == "32-true"
    assert "few" in settled.why
    assert network.inference_dtype == torch.float32


@pytest.mark.parametrize(
    ("gain", "cosine", "precision", "why"),
    [
        (0.0, 0.9, "bf16-mixed", "faster here"),
        (1e9, 0.9, "32-true", "not faster"),
        (0.0, 1.1, "32-true", "changes the vectors"),
    ],
)
def test_auto_needs_the_speed_and_the_directions(
    network: models.Network, images: Tensor, monkeypatch: pytest.MonkeyPatch, gain: float, cosine: float,
    precision: str, why: str,
) -> None:  # fmt: skip
    if not inference_precision.has_bf16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16")
    monkeypatch.setattr(inference_precision, "GAIN", gain)
    monkeypatch.setattr(inference_precision, "LEAST_COSINE", cosine)
    settled = settle(network, "auto", lambda: images, MANY, "weights")
    assert settled.precision == precision
    assert why in settled.why
    assert network.inference_dtype == (torch.bfloat16 if precision == "bf16-mixed" else torch.float32)
    # the least cosine, worked out again from the outputs themselves
    network.inference_dtype = torch.float32
    exact = embed_cached(network, images).double()
    network.inference_dtype = torch.bfloat16
    rounded = embed_cached(network, images).double()
    assert settled.least_cosine == pytest.approx((exact * rounded).sum(1).min().item(), abs=1e-6)
    assert set(settled.images_per_second or {}) == {"32-true", "bf16-mixed"}


def test_the_same_weights_are_measured_once(network: models.Network, images: Tensor) -> None:
    asked: list[int] = []

    def sample() -> Tensor:
        asked.append(1)
        return images

    first = settle(network, "auto", sample, MANY, "one")
    few = settle(network, "auto", never, 1, "one")
    assert few == first, "a small part is encoded as the large one was"
    settle(network, "auto", sample, MANY, "two")
    assert len(asked) == (2 if inference_precision.has_bf16(torch.device("cpu")) else 0)


@pytest.mark.parametrize("word", ["fp16", "", "16-mixed"])
def test_another_word_is_refused(word: str) -> None:
    with pytest.raises(RequestError, match="is none of auto, 32-true, bf16-mixed"):
        inference_precision.check(word)


def test_a_gpu_without_bfloat16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking: Callable[[torch.device], bool] = lambda device: False  # noqa: E731
    monkeypatch.setattr(inference_precision, "has_bf16", lacking)
    with pytest.raises(RequestError, match="does not multiply bfloat16"):
        inference_precision.check("bf16-mixed", "cuda")
    inference_precision.check("auto", "cuda")
