"""The machine: what it refuses, and several processes against one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contrastive_cxr import engine
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from tests.engine.tiny import LABELS, POINTS


def test_what_the_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match="finds no CUDA device"):
        engine.launch(schema.Runtime(device="cuda"))
    with pytest.raises(RequestError, match="16-mixed' needs a GPU"):
        engine.launch(schema.Runtime(device="auto", precision="16-mixed"))
    assert engine.launch(schema.Runtime(device="auto")).device.type == "cpu"


def test_bf16_on_a_cpu(tmp_path: Path) -> None:
    from tests.engine.tiny import spec

    fabric = engine.launch(schema.Runtime(device="cpu", precision="bf16-mixed"))
    part = spec(tmp_path, fabric, epochs=1)
    engine.fit(fabric, part)
    assert all(value.dtype != torch.bfloat16 for value in part.network.state_dict().values())


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def contrast(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A loss of all pairs of the batch: not the mean of its parts' losses."""
    return ((vectors @ vectors.T - (labels[:, None] == labels[None]).double()) ** 2).mean().sqrt()


def train(fabric: engine.fabric.Fabric, folder: Path) -> tuple[nn.Module, engine.FitResult]:
    """Three epochs of a loss over the gathered batch."""
    network = build()
    optimiser = schema.Optimiser(name="sgd", lr=0.1, clip_norm=1.0)

    def step(model: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        vectors = engine.gather(fabric, model(POINTS[batch.rows].double()))
        loss = contrast(vectors, LABELS[batch.global_rows])
        own = float(batch.rows.sum())
        return engine.StepOutput(loss, {"own": own}, {"rows": torch.from_numpy(batch.rows)})

    def summarise(kept: dict[str, np.ndarray]) -> dict[str, float]:
        return {"order": float((kept["rows"] * np.arange(1, 1 + len(kept["rows"]))).sum())}

    def validate(model: nn.Module, epoch: int) -> dict[str, float]:
        found = engine.encode(fabric, model, np.arange(29), 4, lambda rows: POINTS[rows].double(), network=model)
        return {"auc": float((found * np.arange(1, 30)[:, None]).sum())}

    result = engine.fit(
        fabric,
        engine.FitSpec(
            name="two",
            folder=folder,
            seed=0,
            network=network,
            parameter_groups=engine.parameter_groups([network], optimiser),
            optimiser=optimiser,
            schedule=schema.Schedule(),
            epochs=3,
            batches=lambda epoch: np.split(np.random.default_rng(epoch).permutation(24), 4),
            step=step,
            summarise=summarise,
            validate=validate,
            choose_by="auc",
            average=0.5,
            accumulate=2,
            log_every=1,
        ),
    )
    return network, result


WORKER = """
import os, sys, torch
from pathlib import Path
from contrastive_cxr import engine
from contrastive_cxr.recipe import schema
from contrastive_cxr.errors import RequestError
from tests.engine.test_fabric import POINTS, LABELS, build, contrast, train
from tests.engine.tiny import spec
child = os.fork()  # after the imports, which are most of the time
os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if child else "1"
folder = Path(sys.argv[1])
fabric = engine.launch(schema.Runtime(device="cpu"))
network = fabric.setup(build())
half = slice(fabric.global_rank * 6, fabric.global_rank * 6 + 6)
fabric.backward(contrast(engine.gather(fabric, network(POINTS[half].double())), LABELS[:12]))
torch.save([p.grad for p in network.parameters()], folder / f"gradients{fabric.global_rank}.pt")
trained, result = train(fabric, folder / "run")
torch.save(trained.state_dict(), folder / f"weights{fabric.global_rank}.pt")
try:
    engine.fit(fabric, spec(folder / "odd", fabric, batches=lambda epoch: [range(5)]))
except RequestError as error:
    (folder / f"refused{fabric.global_rank}").write_text(str(error))
if child and os.waitpid(child, 0)[1]:
    sys.exit("the second process failed")
"""


def start_two(worker: Path, folder: Path) -> None:
    """The environment that `torchrun --nproc-per-node 2` gives to each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    shared = {**os.environ, "PYTHONPATH": path, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(worker), str(folder)], env=shared, stderr=subprocess.PIPE, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_two_processes_are_one(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    start_two(tmp_path / "worker.py", tmp_path)
    for rank in range(2):
        said = (tmp_path / f"refused{rank}").read_text()
        assert "a batch of 5 images cannot be shared equally by 2 processes" in said

    network = build()
    contrast(network(POINTS[:12].double()), LABELS[:12]).backward()
    for rank in range(2):
        gradients = torch.load(tmp_path / f"gradients{rank}.pt", weights_only=True)
        for found, parameter in zip(gradients, network.parameters(), strict=True):
            assert torch.allclose(found, parameter.grad, rtol=0, atol=1e-10)

    alone, _ = train(engine.launch(schema.Runtime(device="cpu")), tmp_path / "alone")
    for rank in range(2):
        weights = torch.load(tmp_path / f"weights{rank}.pt", weights_only=True)
        for name, value in alone.state_dict().items():
            assert torch.allclose(weights[name], value, rtol=0, atol=1e-10), name

    pairs = zip(*((tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("run", "alone")), strict=True)
    for one, other in pairs:
        two_rows, one_rows = json.loads(one), json.loads(other)
        if "own" in one_rows:
            one_rows["own"] /= 2  # each process saw half of the batch, and their mean is logged
        assert two_rows.keys() == one_rows.keys()
        assert all(two_rows[name] == pytest.approx(value, abs=1e-6) for name, value in one_rows.items())
