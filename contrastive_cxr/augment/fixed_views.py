"""The views of a test-time augmentation set as constants of a graph, for programs that have no Python."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from contrastive_cxr.augment.draws import draw
from contrastive_cxr.augment.images import LARGEST_SHRINK, _matrix, equalise
from contrastive_cxr.augment.sets import AugmentSet
from contrastive_cxr.augment.tta import TTA_SETS, _changed

_KNOWN = {"mirror_x", "angle", "equalise", "x", "y", "width", "height"}


class FixedViews(nn.Module):
    """What `tta.views` computes, without a draw: resizing is two matrix products, a warp one sampling of a fixed grid.

    Antialiased bilinear resizing of a square is linear and separable, so its weights are two constant matrices; every
    runtime multiplies matrices in the same way, while few resize as torch does.

    Parameters
    ----------
    side : int
        Side of the images, pixels: that of the cache.
    size : int
        Side S of the views, pixels.
    name : str
        A word of `TTA_SETS`.
    """

    def __init__(self, side: int, size: int, name: str) -> None:
        super().__init__()
        changes = list(TTA_SETS[name].values())
        unknown = {field for change in changes for field in change} - _KNOWN
        assert not unknown, f"FixedViews has no {sorted(unknown)}; write it here and in its test"
        self.views = nn.ModuleList([_View(side, size, change) for change in changes])

    def forward(self, images: Tensor) -> Tensor:
        """Float32 [V B, 1, S, S] in 0..1, view by view, the plain one first, of images uint8 [B, 1, side, side]."""
        return torch.cat([view(images) for view in self.views])


class _View(nn.Module):
    """One view: equalised or not, resized, and warped where it moves the image."""

    rows: Tensor | None
    columns: Tensor | None
    grid: Tensor | None
    inside: Tensor | None

    def __init__(self, side: int, size: int, change: dict[str, float]) -> None:
        super().__init__()
        moved = _changed(draw(AugmentSet(), 1, seed=0), change)
        self.equalises = bool(moved.equalise.any())
        warps = bool(moved.moves().any())
        target = min(side, round(LARGEST_SHRINK * size)) if warps else size
        rows = None if target == side else resizing(side, target)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", None if rows is None else rows.T.contiguous())
        grid = functional.affine_grid(_matrix(moved, 1.0), [1, 1, size, size], align_corners=False) if warps else None
        self.register_buffer("grid", grid)
        # as in `images._warp`: black where the image does not reach
        inside = None if grid is None else (grid.abs() <= 1.0).all(dim=-1).unsqueeze(1).float()
        self.register_buffer("inside", inside)

    def forward(self, images: Tensor) -> Tensor:
        """Float32 [B, 1, S, S] in 0..1 of uint8 [B, 1, side, side]."""
        picture = (equalise(images) if self.equalises else images).to(torch.float32) / 255.0
        if self.rows is not None and self.columns is not None:
            picture = (self.rows @ picture @ self.columns).clamp(0.0, 1.0)
        if self.grid is not None and self.inside is not None:
            grid = self.grid.expand(picture.shape[0], -1, -1, -1)
            warped = functional.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)
            picture = (warped * self.inside).clamp(0.0, 1.0)
        return picture


def resizing(side: int, target: int) -> Tensor:
    """The weights of antialiased bilinear resizing along one axis: float32 [target, side]; rows add up to 1."""
    eye = torch.eye(side)[None, None]
    return functional.interpolate(eye, (target, side), mode="bilinear", antialias=True, align_corners=False)[0, 0]
