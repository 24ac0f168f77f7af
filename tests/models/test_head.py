from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import head_statistics, weights
from contrastive_cxr.recipe import schema

MODEL = schema.Model(backbone="cnn3", image_size=32)
CARD = {"classes": ["a", "b", "c"], "decode": {}, "channels_last": False, "phase": "pretrain", "task": "t"}


def test_the_last_layers_weights_in_three_numbers(tmp_path: Path) -> None:
    net = models.build(MODEL, classes=3, hidden=(5,), mean=0.5, std=0.5, seed=0)
    with torch.no_grad():
        net.classifier[-1].bias.fill_(100)
    weights.save(net, tmp_path, CARD)
    found = head_statistics(weights.load(tmp_path)[0])
    values = np.array(net.state_dict()["classifier.2.weight"].tolist())
    assert values.shape == (3, 5)
    mean = sum(values.ravel()) / 15
    variance = sum((value - mean) ** 2 for value in values.ravel()) / 15
    assert found == pytest.approx(
        {"mean": mean, "variance": variance, "standard_deviation": variance**0.5, "weights": 15}
    )
    assert all(type(value) is float for value in found.values())


def test_without_a_classifier_there_is_nothing_to_tell() -> None:
    with pytest.raises(RequestError, match="cnn3 has no classifier"):
        head_statistics(models.build(MODEL, projection=(4,), mean=0.5, std=0.5, seed=0))
