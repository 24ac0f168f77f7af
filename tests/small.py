"""Runs small enough for tests: a narrow ResNet (370,000 weights) at 32 pixels on a few painted phantoms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from contrastive_cxr import recipe as recipes
from contrastive_cxr.recipe import Recipe

PHASES = ("pretrain", "embed", "finetune")


def overrides(cache: Path, *more: str) -> list[str]:
    """What makes the shipped recipe `phantom` small; its images are painted and decoded once, below `cache`."""
    return [
        "model.backbone=timm/test_resnet",
        "model.image_size=32",
        "data.images=60",
        "data.cache_size=32",
        f"data.cache_dir={cache}",
        "data.split.val=0.2",
        "data.split.test=0.2",
        "pretrain.epochs=2",
        "pretrain.augment=xray",
        "pretrain.batch_size=8",
        "embed.trainable=null",
        "embed.epochs=2",
        "embed.images_per_class=4",
        "embed.projection=[32, 16]",
        "finetune.epochs=2",
        "finetune.batch_size=8",
        "evaluation.resamples=100",
        "evaluation.baselines=false",
        "evaluation.audit=false",
        "tracking.wandb=off",
        "runtime.device=cpu",
        *more,
    ]


def small_recipe(cache: Path, *more: str) -> Recipe:
    """The small phantom recipe, with further overrides."""
    return recipes.load("phantom", overrides(cache, *more))


def tensors(phase: Path) -> dict[str, Tensor]:
    """The weights that a phase wrote."""
    return safetensors.torch.load((phase / "model.safetensors").read_bytes())


def same_weights(first: Path, second: Path) -> bool:
    """Whether two phase folders hold the same weights, bit for bit."""
    return (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def metrics(phase: Path) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl`."""
    return [json.loads(line) for line in (phase / "metrics.jsonl").read_text().splitlines()]
