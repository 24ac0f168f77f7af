"""What a run depends on besides its recipe and its images."""

from __future__ import annotations

import json

import pytest
import threadpoolctl
import torch

from contrastive_cxr.run.environment import could_differ, environment, numerics


def test_environment_is_json_and_tells_how_sums_are_made() -> None:
    facts = json.loads(json.dumps(environment("cpu", processes=2)))
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0] or "+" in facts["versions"]["torch"]
    assert (facts["threads"], facts["processes"]) == (torch.get_num_threads(), 2)
    assert facts["numerics"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert facts["device"] == facts["numerics"]["cpu"]
    assert len(facts["could_differ"]) == 3


def test_libraries_are_told_in_one_order_however_they_were_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    blas = {"internal_api": "openblas", "version": "0.3", "architecture": "Haswell", "num_threads": 1, "prefix": "a"}
    openmp = {"internal_api": "openmp", "version": None, "num_threads": 2}
    told = []
    for loaded in ([blas, openmp, blas | {"num_threads": 4}], [blas | {"num_threads": 4}, blas, openmp]):
        monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda loaded=loaded: loaded)
        told.append(numerics(on_gpu=False)["libraries"])
    assert told[0] == told[1]
    assert [each["internal_api"] for each in told[0]] == ["openblas", "openblas", "openmp"]


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
