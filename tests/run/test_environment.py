"""What a run depends on besides its recipe and its images."""

from __future__ import annotations

import json

import torch

from contrastive_cxr.run.environment import could_differ, environment, numerics


def test_environment_is_json_and_tells_how_sums_are_made() -> None:
    facts = json.loads(json.dumps(environment("cpu", processes=2)))
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0] or "+" in facts["versions"]["torch"]
    assert (facts["threads"], facts["processes"]) == (torch.get_num_threads(), 2)
    assert facts["numerics"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert facts["device"] == facts["numerics"]["cpu"]
    assert len(facts["could_differ"]) == 3


def test_what_could_differ_is_said_of_the_device() -> None:
    sums = numerics(on_gpu=False) | {"cpu": "A CPU"}
    alone, on_gpu = (could_differ(sums, gpu, threads=4, processes=1)[0] for gpu in (False, True))
    assert "A CPU" in alone
    assert "number of processes (1) and of threads in each (4)" in alone
    assert alone.endswith("the same weights and metrics, bit for bit.")
    assert "torch.use_deterministic_algorithms is off" in on_gpu
    torch.use_deterministic_algorithms(True)
    try:
        assert "is on" in could_differ(numerics(on_gpu=False), True, 1, 1)[0]
    finally:
        torch.use_deterministic_algorithms(False)
