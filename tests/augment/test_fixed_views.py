"""Views as constants of a graph: the same pictures as those of a draw."""

from __future__ import annotations

import pytest
import torch

from contrastive_cxr.augment import TTA_SETS, FixedViews, views
from contrastive_cxr.augment.fixed_views import resizing


def pictures(count: int, side: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(side)
    )


@pytest.mark.parametrize("name", TTA_SETS)
@pytest.mark.parametrize(("side", "size"), [(40, 32), (32, 32), (90, 32), (24, 32)])
def test_they_are_the_views_of_test_time_augmentation(name: str, side: int, size: int) -> None:
    images = pictures(3, side)
    images[1] = 7  # one grey value: its histogram cannot be equalised
    wanted = torch.cat(views(images, size, name))
    found = FixedViews(side, size, name)(images)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0)


def test_the_weights_of_resizing_are_the_overlaps_of_a_triangle() -> None:
    """Halving 4 pixels: a triangle of half width 2 around the centres 1 and 3, its weights by hand."""
    pixels = torch.arange(4) + 0.5
    wanted = torch.stack([(1 - (pixels - centre).abs() / 2).clamp(min=0) for centre in (1.0, 3.0)])
    torch.testing.assert_close(resizing(4, 2), wanted / wanted.sum(1, keepdim=True))


def test_a_set_with_a_change_that_has_no_constant_is_no_set_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TTA_SETS, "darker", {"plain": {}, "gamma": {"gamma": 2.0}})
    with pytest.raises(AssertionError, match="gamma"):
        FixedViews(32, 32, "darker")
