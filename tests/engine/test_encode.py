"""Encoding, on one process."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contrastive_cxr import engine
from contrastive_cxr.recipe import schema


@pytest.mark.parametrize("count", [0, 1, 7, 8])
def test_every_row_once_in_order_in_eval_mode(count: int) -> None:
    fabric = engine.launch(schema.Runtime(device="cpu"))
    table = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).double()
    network[0].eval()
    asked: list[int] = []

    def function(inputs: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        asked.append(len(inputs))
        return network(inputs)

    rows = np.arange(20)[::-1][:count]
    found = engine.encode(fabric, function, rows, 4, table.__getitem__, network=network)
    assert [module.training for module in network] == [False, True, True]
    assert max(asked) <= 4
    assert (found.dtype, found.shape) == (np.float32, (count, 2))
    network.eval()
    for row, values in zip(rows, found, strict=True):
        assert np.allclose(values, network(table[row : row + 1]).detach().numpy()[0])
