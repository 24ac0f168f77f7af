"""The machine: what it refuses, and what it is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric.strategies.ddp import DDPStrategy

from contrastive_cxr import engine
from contrastive_cxr.engine.fabric import report_lost_process
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.recipe import schema


def test_what_the_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match="finds no CUDA device"):
        engine.launch(schema.Runtime(device="cuda"))
    with pytest.raises(RequestError, match="16-mixed' needs a GPU"):
        engine.launch(schema.Runtime(device="auto", precision="16-mixed"))
    with pytest.raises(RequestError) as refused:
        engine.launch(schema.Runtime(device="cpu", precision="16-mixed", sync_batchnorm=True))
    assert len(refused.value.faults) == 2, "both at once"
    assert "sync_batchnorm needs GPUs" in refused.value.faults[1]
    assert engine.launch(schema.Runtime(device="auto")).device.type == "cpu"


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(RequestError, match="started 4 processes on this machine and it has 2 GPUs"):
        engine.launch(schema.Runtime(device="cuda"))


def test_several_processes_wait_as_long_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    fabric = SimpleNamespace(launch=lambda: None)
    monkeypatch.setattr(engine.fabric, "Fabric", lambda **words: seen.update(words) or fabric)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    engine.launch(schema.Runtime(device="cpu", timeout_minutes=1.5))
    assert isinstance(seen["strategy"], DDPStrategy)
    assert seen["strategy"]._timeout == timedelta(seconds=90)
    assert (seen["devices"], seen["num_nodes"]) == (2, 2)


@pytest.mark.parametrize(
    ("world", "error", "told"),
    [
        (2, RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer [127.0.0.1]:1"), True),
        (2, torch.distributed.DistBackendError("NCCL communicator was aborted"), True),
        (2, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (1, RuntimeError("Connection closed by peer"), False),
    ],
)
def test_a_lost_process_is_told_and_other_errors_pass(world: int, error: RuntimeError, told: bool) -> None:
    fabric: Any = SimpleNamespace(world_size=world, global_rank=0)
    with pytest.raises(CcxrError if told else RuntimeError) as raised, report_lost_process(fabric, "So go on"):
        raise error
    assert ("process 0 of 2 lost another process" in str(raised.value)) == told
    assert str(raised.value).endswith("So go on") == told


def test_bf16_on_a_cpu(tmp_path: Path) -> None:
    from tests.engine.tiny import spec

    fabric = engine.launch(schema.Runtime(device="cpu", precision="bf16-mixed"))
    part = spec(tmp_path, fabric, epochs=1)
    engine.fit(fabric, part)
    assert all(value.dtype != torch.bfloat16 for value in part.network.state_dict().values())
