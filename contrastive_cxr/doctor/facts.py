"""The facts about this machine, as plain values."""

from __future__ import annotations

import importlib.metadata
import netrc
import os
from pathlib import Path
from typing import Any

import torch

from contrastive_cxr import __version__, cores
from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.doctor.speed import images_per_second
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.pretrained import packages as weights_packages
from contrastive_cxr.run.environment import environment
from contrastive_cxr.space import free

Facts = dict[str, Any]
EXTRAS: dict[str, tuple[str, ...]] = {
    "dicom": (
        "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm",
    ),
    "volumes": ("nibabel", "pynrrd"),
    "explain": ("grad-cam",),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "weights": tuple(package.distribution for package in weights_packages.PACKAGES.values()),
    "parquet": ("pyarrow",),
    "ray": ("pyarrow", "ray"),
    "tables": ("openpyxl", "pyarrow"),
    "tensorboard": ("tensorboard",),
    "serve": ("fastapi", "prometheus-client", "python-multipart", "uvicorn"),
    "explore": ("fastapi", "opentsne", "prometheus-client", "python-multipart", "uvicorn"),
    "dicomweb": ("dicomweb-client", "highdicom", "pydicom"),
    "lance": ("pyarrow", "pylance"),
    "postgres": ("pgvector", "psycopg"),
}  # fmt: skip
"""Packages of each optional extra of `pyproject.toml` that a user may want."""
WEIGHTS_ENDINGS = (".pth", ".pt", ".bin", ".safetensors")
_MEMORY = Path("/proc/meminfo")
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def examine(seconds: float = 10.0) -> Facts:
    """Look at the machine; nothing is written and nothing is downloaded.

    Parameters
    ----------
    seconds : float
        Most that the speed check takes, seconds; 0: none.

    Returns
    -------
    dict
        `version`, `device`, `memory`, `cache`, `disk`, `weights`, `extras`, `wandb`, `speed` (None without the check)
        and `environment`, which a run records too. Sizes are in bytes.
    """
    return {
        "version": __version__,
        "device": device(),
        "memory": memory(),
        "cache": cache(),
        "disk": {"folder": str(Path.cwd()), "free": free(Path.cwd())},
        "weights": {"packages": packages(), "caches": [_files(folder) for folder in library_caches()]},
        "extras": {name: installed_extra(names) for name, names in EXTRAS.items()},
        "wandb": wandb(),
        "speed": images_per_second(seconds) if seconds > 0 else None,
        "environment": environment(),
    }


def device() -> Facts:
    """The device that `runtime.device=auto` chooses, the GPUs, and the cores."""
    gpus = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        available, total = torch.cuda.mem_get_info(number)
        gpus.append({"name": torch.cuda.get_device_name(number), "total": total, "free": available})
    return {
        "kind": "cuda" if gpus else "cpu",
        "gpus": gpus,
        "cuda_of_torch": torch.version.cuda,
        "cores": cores.available(),
        "threads": torch.get_num_threads(),
    }


def memory() -> Facts:
    """Memory of the machine, or of its container where that is less, and what is free of it; None where unknown."""
    total: int | None = None
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = None
    if _MEMORY.is_file():
        rows = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines() if ":" in line)
        available = int(rows["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in rows else None
    limit = _LIMIT.read_text().strip() if _LIMIT.is_file() else ""
    if limit.isdigit() and total is not None and int(limit) < total:
        total = int(limit)
        available = None if available is None else min(available, total)
    return {"total": total, "available": available}


def cache() -> Facts:
    """The folder of decoded images: whether it can be written, and what lies in it."""
    folder = cache_folder(None)
    there = next(place for place in (folder, *folder.parents) if place.exists())
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return {"folder": str(folder), "writable": writable, "used": used, "free": free(folder)}


def packages() -> list[Facts]:
    """The packages of ImageNet weights: whether each is installed, and what is wrong with it."""
    found = []
    for backbone, package in weights_packages.PACKAGES.items():
        fault = ""
        try:
            path = weights_packages.installed(package)
        except RequestError as error:
            path, fault = None, str(error)
        found.append(
            {
                "backbone": f"timm/{backbone}",
                "package": f"{package.distribution}=={package.version}",
                "installed": path is not None,
                "fault": fault,
            }
        )
    return found


def library_caches() -> list[Path]:
    """The folders in which torchvision, timm and the Hugging Face hub keep what they have downloaded."""
    from huggingface_hub import constants

    return [Path(torch.hub.get_dir(), "checkpoints"), Path(constants.HF_HUB_CACHE)]


def _files(folder: Path) -> Facts:
    """The files of weights below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in WEIGHTS_ENDINGS and path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    return {"folder": str(folder), "files": names, "bytes": sum(path.stat().st_size for path in paths)}


def installed_extra(names: tuple[str, ...]) -> Facts:
    """The versions of an extra's packages that are installed, and the names of those that are not."""
    versions, missing = {}, []
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return {"versions": versions, "missing": missing}


def wandb() -> Facts:
    """Weights & Biases: the version, whether there is a key for uploads (not the key), and `WANDB_MODE`."""
    version = installed_extra(("wandb",))["versions"].get("wandb")
    return {"version": version, "logged_in": logged_in(), "WANDB_MODE": os.environ.get("WANDB_MODE")}


def logged_in() -> bool:
    """Whether the environment has a key of Weights & Biases, or `wandb login` has been called."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
