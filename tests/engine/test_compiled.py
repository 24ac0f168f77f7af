"""A compiler that fails costs a warning, not the phase."""

from __future__ import annotations

import functools
import logging
import shutil
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


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch's compiler needs a C++ compiler")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_network_says_and_learns_the_same(mode: Any) -> None:
    from contrastive_cxr.engine.compiled import Compiled

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    images = torch.randn(3, 5)
    expected = network(images)
    grads = torch.autograd.grad(expected.square().sum(), list(network.parameters()))
    compiled = Compiled(network, "tiny", mode)
    found = compiled(images)
    assert compiled._compiled, "the compiler did not fail"
    torch.testing.assert_close(found, expected)
    for grad, wanted in zip(torch.autograd.grad(found.square().sum(), list(network.parameters())), grads, strict=True):
        torch.testing.assert_close(grad, wanted)


def test_outputs_are_copied_and_gradients_flow() -> None:
    from contrastive_cxr.engine.compiled import copied

    weights = torch.arange(3.0, requires_grad=True)
    first, second = copied((weights * 2, weights * 3))
    (first.sum() + second.sum()).backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [5.0, 5.0, 5.0]
    held = torch.zeros(2)
    kept = copied(held)
    held.fill_(7)  # as the next run of a CUDA graph does
    assert kept.tolist() == [0.0, 0.0]


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
