"""Pictures with a known answer: painted lesions whose boxes are known, and a network that knows their texture.

The network is built by hand but for its last layer: it answers to a net of 7 pixels' period, which the class `opacity`
is painted with, and a logistic regression weighs its directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from contrastive_cxr.data import phantom
from contrastive_cxr.explain import Ascent, grad_cam, maximise, similarity
from tests.explain.tiny import Pooled, Tiny

STRIDE = 4


@dataclass(frozen=True)
class Known:
    """Images float32 [N, 1, 128, 128] that were not learned from, all with a lesion, and its boxes [N, 4]."""

    network: Tiny
    images: Tensor
    boxes: NDArray[np.float32]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    folder = tmp_path_factory.mktemp("phantoms")
    phantom.paint(folder, 150, seed=3)
    rows = pd.read_csv(folder / "labels.csv", dtype=str)
    rows = rows[rows["label"] != "nodule"].reset_index(drop=True)
    pictures = np.stack([np.asarray(Image.open(folder / file), dtype=np.float32) for file in rows["file"]])
    images, sick = torch.from_numpy(pictures / 255)[:, None], (rows["label"] == "opacity").to_numpy()
    conv = filters()
    with torch.no_grad():
        strengths = Pooled(conv, nn.ReLU())(images).numpy()
    half = len(rows) // 2
    scale = strengths[:half].std(axis=0)
    fitted = LogisticRegression(max_iter=5000).fit(strengths[:half] / scale, sick[:half])
    assert (fitted.predict(strengths[half:] / scale) == sick[half:]).mean() > 0.85
    classifier = nn.Linear(len(scale), 2)
    with torch.no_grad():
        row = torch.from_numpy(fitted.coef_[0] / scale).float()
        classifier.weight.copy_(torch.stack([-row, row]))
        classifier.bias.copy_(torch.tensor([-fitted.intercept_[0], fitted.intercept_[0]]))
    network = Tiny(Pooled(conv, nn.ReLU()), None, classifier)
    ill = np.flatnonzero(sick & (np.arange(len(rows)) >= half))[:12]
    return Known(network, images[ill], phantom.lesion_boxes(rows)[ill])


def filters() -> nn.Conv2d:
    """Gabor filters of 7 pixels' period in six directions, which answer to strong waves alone."""
    y, x = np.mgrid[-7:8, -7:8]
    kernels = []
    for angle in np.arange(6) * np.pi / 6:
        wave = np.cos(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / 7) * np.exp(-(x**2 + y**2) / 18)
        kernels.append(wave - wave.mean())
    conv = nn.Conv2d(1, 6, 15, stride=STRIDE, padding=7, padding_mode="replicate")
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(np.stack(kernels)[:, None]))
        conv.bias.fill_(-0.6)
    return conv


def inside(values: NDArray[np.floating], box: NDArray[np.float32]) -> tuple[float, float]:
    """Share of the map's positive mass in the box, and the box's share of the picture."""
    x0, y0, x1, y1 = (box / 128 * len(values)).round().astype(int)
    mass = np.maximum(values, 0)
    return float(mass[y0:y1, x0:x1].sum() / mass.sum()), (x1 - x0) * (y1 - y0) / values.size


def test_grad_cam_falls_inside_the_lesion(known: Known) -> None:
    pytest.importorskip("pytorch_grad_cam")
    shares = np.array(
        [
            inside(grad_cam(known.network, image[None], 1), box)
            for image, box in zip(known.images, known.boxes, strict=True)
        ]
    )
    assert shares[:, 1].mean() < 0.1
    assert shares[:, 0].mean() > 0.6
    assert (shares[:, 0] > 4 * shares[:, 1]).all()


def test_what_makes_two_lesions_alike_is_the_lesion(known: Known) -> None:
    vectors = [known.network.embed(image[None])[0].detach() for image in known.images]
    pairs = zip(known.images, known.boxes, vectors[1:] + vectors[:1], strict=True)
    shares = []
    for image, box, vector in pairs:
        found = similarity(known.network, image[None], vector)
        assert found.exact
        shares.append(inside(found.values, box))
    assert np.mean(shares, axis=0)[0] > 0.5
    assert all(share > 4 * area for share, area in shares)


def test_the_class_of_the_net_likes_a_net_best(known: Known) -> None:
    """Ascent for `opacity` paints waves of the period that its filters answer to."""
    risen = maximise(lambda x: known.network.logits(x)[0, 1], 64, Ascent(steps=30, rate=0.05))
    assert risen.after > risen.before + 1
    strength = np.abs(np.fft.fft2(risen.image - risen.image.mean()))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    near = (frequency > 1 / 9) & (frequency < 1 / 5.5)
    assert (strength[near] ** 2).sum() > 0.7 * (strength**2).sum()
