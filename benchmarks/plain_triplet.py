"""What a user would write instead of phase 2: a plain script of well-known parts. Called by `against_plain`.

python -m benchmarks.plain_triplet FOLDER --steps N [--loss triplet | nt-xent] [--pixels 64] [--batch 32]

FOLDER/train and FOLDER/val hold class folders. torchvision's ImageFolder, transforms v2 in DataLoader workers,
DenseNet-169 from scratch in float32 with the libraries' defaults. triplet: pytorch-metric-learning's sampler, semihard
miner and TripletMarginLoss. nt-xent: lightly's SimCLR transform, projection head and loss. Prints JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.samplers import MPerClassSampler
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks import record

WARM = 20 if torch.cuda.is_available() else 3
"""Steps that do not count; beside a GPU as many as its workers may have made beforehand."""


def main() -> None:
    """Train, encode, vote; print images a second and the accuracy of the vote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--loss", choices=("triplet", "nt-xent"), default="triplet")
    parser.add_argument("--backbone", default="densenet169")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network, spent, images = train(options)
    vote = accuracy(network, options)
    record.say(json.dumps({"images_per_second": images / spent, "knn_accuracy": vote, "steps": options.steps}))


def train(options: argparse.Namespace) -> tuple[nn.Module, float, int]:
    """The network, seconds and images of the steps after the first few."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = torchvision.models.get_model(options.backbone, weights=None)
    width = list(network.modules())[-1].in_features
    network = nn.Sequential(headless(network), projection(options, width)).to(device)
    optimiser = torch.optim.Adam(network.parameters(), options.lr)
    step_loss = triplet_loss() if options.loss == "triplet" else nt_xent_loss()
    network.train()
    start, images = 0.0, 0
    for number, (views, labels) in enumerate(itertools.islice(forever(options), options.steps)):
        if number == min(WARM, options.steps - 1):
            start = begin(device)
        vectors = [network(view.to(device, non_blocking=True)) for view in views]
        loss = step_loss(vectors, labels.to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        images += len(labels) if start else 0
    return network, begin(device) - start, images


def begin(device: str) -> float:
    """The time, the device waited for."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def headless(network: nn.Module) -> nn.Module:
    """The network without its classifier."""
    name = next(name for name in ("classifier", "fc") if hasattr(network, name))
    setattr(network, name, nn.Identity())
    return network


def projection(options: argparse.Namespace, width: int) -> nn.Module:
    """Features to the embedding."""
    if options.loss == "nt-xent":
        from lightly.models.modules import SimCLRProjectionHead

        return SimCLRProjectionHead(width, 512, 128)  # type: ignore[no-any-return]
    return nn.Sequential(nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, 128))


def triplet_loss() -> Any:
    """The library's miner and loss."""
    miner = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard")
    loss = losses.TripletMarginLoss(margin=0.2)
    return lambda vectors, labels: loss(vectors[0], labels, miner(vectors[0], labels))


def nt_xent_loss() -> Any:
    """lightly's loss of two views."""
    from lightly.loss import NTXentLoss

    loss = NTXentLoss()
    return lambda vectors, _: loss(*vectors)


def forever(options: argparse.Namespace) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Batches of views and labels, epoch after epoch."""
    data = ImageFolder(options.folder / "train", transform(options, training=True))
    sampler, batch = None, options.batch
    if options.loss == "triplet":
        each = options.batch // len(data.classes)
        batch = each * len(data.classes)
        sampler = MPerClassSampler(data.targets, each, batch, len(data))
    loader = DataLoader(
        data,
        batch,
        shuffle=sampler is None,
        sampler=sampler,
        num_workers=options.workers,
        drop_last=True,
        persistent_workers=options.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
    while True:
        for views, labels in loader:
            yield (views if isinstance(views, list) else [views]), labels


def transform(options: argparse.Namespace, *, training: bool) -> Any:
    """Views of a picture, 3 channels."""
    ready = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
    if not training:
        return v2.Compose([v2.Resize((options.pixels, options.pixels)), *ready])
    if options.loss == "nt-xent":
        from lightly.transforms import SimCLRTransform

        return SimCLRTransform(input_size=options.pixels)
    return v2.Compose(
        [
            v2.RandomResizedCrop(options.pixels, scale=(0.8, 1.0)),
            v2.RandomAffine(10, translate=(0.05, 0.05)),
            v2.ColorJitter(0.2, 0.2),
            *ready,
        ]
    )


@torch.no_grad()
def accuracy(network: nn.Module, options: argparse.Namespace) -> float:
    """Vote of the 20 nearest training images by cosine, on the validation images."""
    network.eval()
    device = next(network.parameters()).device
    parts = {}
    for split in ("train", "val"):
        data = ImageFolder(options.folder / split, transform(options, training=False))
        found = [(network(images.to(device)).cpu(), labels) for images, labels in DataLoader(data, 64)]
        parts[split] = tuple(torch.cat(column).numpy() for column in zip(*found, strict=True))
    voter = KNeighborsClassifier(min(20, len(parts["train"][1])), metric="cosine").fit(*parts["train"])
    return float(np.mean(voter.predict(parts["val"][0]) == parts["val"][1]))


if __name__ == "__main__":
    main()
