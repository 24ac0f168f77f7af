from __future__ import annotations

import pytest
import torch

from contrastive_cxr import models
from contrastive_cxr.models import in_parts
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import embed_cached

MODEL = schema.Model(backbone="resnet18", image_size=32)


@pytest.mark.parametrize(
    ("count", "side", "parts"),
    [
        (64, 112, [16] * 4), (64, 128, [16] * 4), (32, 96, [16, 16]), (64, 224, [8] * 8), (16, 512, [8, 8]),
        (8, 512, [8]), (37, 128, [13, 13, 11]), (1, 2048, [1]), (0, 128, [0]),
    ],
)  # fmt: skip
def test_parts_are_small_and_of_one_size(count: int, side: int, parts: list[int]) -> None:
    seen: list[int] = []

    def double(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return 2 * images[:, 0, 0, :3]

    images = torch.arange(count, dtype=torch.float32)[:, None, None, None].expand(count, 1, side, side)
    assert torch.equal(in_parts.in_parts(double, images), 2 * images[:, 0, 0, :3])
    assert seen == parts
    assert max(parts) * side**2 <= max(in_parts.PIXELS, in_parts.LEAST * side**2)


def test_another_device_takes_all_at_once() -> None:
    seen: list[int] = []
    images = torch.empty(64, 1, 256, 256, device="meta")
    assert in_parts.in_parts(lambda part: seen.append(len(part)) or part, images) is images
    assert seen == [64]


def test_a_network_gets_its_images_in_parts_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = models.build(MODEL, mean=0.5, std=0.25, seed=0).eval()
    images = torch.randint(0, 256, (20, 1, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    whole, seen = embed_cached(network, images), []
    monkeypatch.setattr(in_parts, "PIXELS", 8 * 32**2)
    network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    torch.testing.assert_close(embed_cached(network, images), whole, atol=1e-6, rtol=0)
    assert seen == [7, 7, 6]
