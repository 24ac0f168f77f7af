"""What the speed benchmarks train on: painted phantoms, or real X-rays, at a size that fits the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from contrastive_cxr import engine
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_layout import PhaseName


@dataclass(frozen=True)
class Size:
    """Backbone, side of its input, images of a batch, images of the training part."""

    backbone: str
    pixels: int
    batch: int
    images: int
    precision: str = "32-true"
    last_block: str = "denseblock4"


def size(quick: bool) -> Size:
    """DenseNet-169: 64 pixels on a CPU, 224 in bf16 on a GPU; ResNet-18 at 32 pixels for a quick look."""
    if quick:
        return Size("resnet18", 32, 12, 60, last_block="layer4")
    if torch.cuda.is_available():
        return Size("densenet169", 224, 64, 1920, "bf16-mixed")
    return Size("densenet169", 64, 32, 320)


@dataclass(frozen=True)
class Subject:
    """A recipe over phantoms and its opened images."""

    recipe: Recipe
    data: Dataset
    scratch: Path
    fabric: engine.Fabric

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.fabric.device

    def setting(self, name: PhaseName, folder: str) -> PhaseContext:
        """A phase's world, its folder below the scratch folder; it starts from drawn weights."""
        return PhaseContext(self.recipe, self.data, self.fabric, self.scratch / folder / name, None, Tracker())


def subject(scratch: Path, size: Size, overrides: Sequence[str] = (), xrays: Path | None = None) -> Subject:
    """Paint the images (or read the X-rays that `xray/three-class-scratch` is for), decode them, take the device."""
    painted = [f"data.images={round(size.images / 0.8)}", "data.split.val=0.1", "data.split.test=0.1"]
    recipe = recipes.load(
        "xray/three-class-scratch" if xrays else "phantom",
        [
            *([f"data.root={xrays}"] if xrays else painted),
            f"data.cache_dir={scratch}",
            f"data.cache_size={max(size.pixels, 32)}",
            f"model.backbone={size.backbone}",
            f"model.image_size={size.pixels}",
            f"pretrain.batch_size={size.batch}",
            f"embed.images_per_class={size.batch // 3}",
            f"runtime.precision={size.precision}",
            "pretrain.augment=xray",
            "tracking.wandb=off",
            *overrides,
        ],
    )
    return Subject(recipe, open_dataset(recipe.data, recipe.task), scratch, engine.launch(recipe.runtime))
