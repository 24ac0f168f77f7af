"""A compiler that fails costs a warning, not the phase."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from contrastive_cxr import engine
from contrastive_cxr.recipe import schema
from tests.engine.tiny import spec

# importing the compiler takes most of the time
pytestmark = pytest.mark.slow


def broken(graph: Any, inputs: Any) -> Any:
    """A compiler's back end that cannot."""
    raise RuntimeError("no compiler here")


def test_a_failing_compiler_is_named_and_the_phase_runs_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fabric = engine.launch(schema.Runtime(device="cpu"))
    plain = spec(tmp_path / "plain", fabric, epochs=1)
    engine.fit(fabric, plain)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=broken))
    asked = spec(tmp_path / "asked", fabric, epochs=1, compile=True)
    with caplog.at_level(logging.WARNING, "contrastive_cxr"):
        engine.fit(fabric, asked)
    said = [record.getMessage() for record in caplog.records if "compile" in record.getMessage()]
    assert len(said) == 1, "said once, not a step"
    assert "tiny: runtime.compile=true failed" in said[0]
    assert "no compiler here" in said[0]
    for name, value in plain.network.state_dict().items():
        assert torch.equal(value, asked.network.state_dict()[name]), name


def test_an_error_of_the_network_is_not_taken_for_the_compilers() -> None:
    from contrastive_cxr.engine.compiled import Compiled

    network = Compiled(torch.nn.Linear(3, 2), "tiny")
    network._compiled[0] = torch.nn.Linear(4, 2)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        network(torch.zeros(1, 3))


def test_settings_of_a_call_reach_the_network() -> None:
    from contrastive_cxr.engine.compiled import Compiled

    class Two(torch.nn.Module):
        def forward(self, images: torch.Tensor, both: bool = False) -> Any:
            return (images, images) if both else images

    network = Compiled(Two(), "tiny")
    network._compiled[0] = network.network
    assert len(network(torch.zeros(1, 3), both=True)) == 2
    network._compiled.clear()
    assert len(network(torch.zeros(1, 3), both=True)) == 2
