"""The facts about a machine in sentences, with what to do where something is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from contrastive_cxr.space import size_words

Facts = dict[str, Any]
PURPOSES = {
    "dicom": "DICOM files, compressed ones too",
    "volumes": "NIfTI and NRRD volumes",
    "explain": "Grad-CAM in ccxr explain",
    "export": "ONNX files in ccxr export",
    "weights": "ImageNet weights without a network",
    "parquet": "ccxr encode into Parquet files, and image shards",
    "ray": "encode, index, audit, predict by a Ray cluster (--engine ray)",
    "tables": "tables in Parquet and Excel files",
    "tensorboard": "TensorBoard as a tracker (tracking.to)",
    "serve": "answers over HTTP (ccxr serve)",
    "explore": "a gallery as a page (ccxr explore)",
    "dicomweb": "studies of a DICOMweb server (ccxr search)",
    "lance": "a gallery in Lance files (ccxr index --store lance)",
    "postgres": "a gallery in PostgreSQL (ccxr index --store postgresql://...)",
}
LITTLE_MEMORY = 4 * 2**30
LITTLE_DISK = 5 * 2**30
_DRIVER = Path("/proc/driver/nvidia")
SHOWN = 3  # names of files that a sentence lists


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Attributes
    ----------
    state : str
        `ok`; `missing`: something optional or useful is not there; `fault`: it has to be put right before training.
    what : str
        Its name.
    words : str
        What was found.
    advice : str
        What to do; '' where nothing has to be done.
    """

    state: Literal["ok", "missing", "fault"]
    what: str
    words: str
    advice: str = ""


def lines(facts: Facts) -> list[Line]:
    """The sentences about the facts of `examine`, in the order in which they are read."""
    found = [_software(facts), _device(facts), _memory(facts["memory"]), _cache(facts["cache"]), _disk(facts["disk"])]
    found += [_packages(facts["weights"]["packages"]), _caches(facts["weights"]["caches"])]
    found += [_extra(name, facts["extras"][name]) for name in facts["extras"] if name != "weights"]
    found.append(_wandb(facts["wandb"]))
    return [*found, *([_speed(facts["speed"])] if facts["speed"] else [])]


def _software(facts: Facts) -> Line:
    record = facts["environment"]
    parts = [f"contrastive_cxr {facts['version']}", f"Python {record['python']}"]
    parts += [f"{name} {record['versions'][name]}" for name in ("torch", "torchvision", "timm")]
    return Line("ok", "Software", ", ".join(parts))


def _device(facts: Facts) -> Line:
    device = facts["device"]
    cores, threads = device["cores"], device["threads"]
    if device["gpus"]:
        named = [
            f"{gpu['name']} ({size_words(gpu['free'])} of {size_words(gpu['total'])} free)" for gpu in device["gpus"]
        ]
        return Line("ok", "Device", f"{'; '.join(named)}; {_count(cores, 'core')}")
    words = f"{facts['environment']['numerics']['cpu']}, {_count(cores, 'core')}, {_count(threads, 'thread')}; no GPU"
    if _DRIVER.exists():
        built = device["cuda_of_torch"]
        cure = f"its driver may be too old for CUDA {built}" if built else "install a torch that is built with CUDA"
        return Line("missing", "Device", words, f"there is an NVIDIA driver, but torch finds no GPU: {cure}")
    if threads < cores:
        return Line(
            "missing",
            "Device",
            words,
            f"torch uses {threads} of {cores} cores: unset OMP_NUM_THREADS, or set it to {cores}",
        )
    return Line("ok", "Device", words)


def _memory(memory: Facts) -> Line:
    if memory["total"] is None:
        return Line("ok", "Memory", "this system does not tell it")
    words = size_words(memory["total"])
    words += f", {size_words(memory['available'])} of it free" if memory["available"] is not None else ""
    if memory["total"] < LITTLE_MEMORY:
        return Line(
            "missing", "Memory", words, "little for training: choose small batches and a model.image_size of 128"
        )
    return Line("ok", "Memory", words)


def _cache(cache: Facts) -> Line:
    words = f"{cache['folder']} holds {size_words(cache['used'])} of decoded images, {size_words(cache['free'])} free"
    if not cache["writable"]:
        return Line(
            "fault", "Cache", f"{cache['folder']} cannot be written", "set XDG_CACHE_HOME, or data.cache_dir=DIR"
        )
    return Line("ok", "Cache", words)


def _disk(disk: Facts) -> Line:
    words = f"{size_words(disk['free'])} free in {disk['folder']}"
    if disk["free"] < LITTLE_DISK:
        return Line("missing", "Disk", words, "a run may need more: ccxr run RECIPE --dry-run says how much")
    return Line("ok", "Disk", words)


def _packages(packages: list[Facts]) -> Line:
    what = "Weights"
    faults = [each["fault"] for each in packages if each["fault"]]
    there = [each["backbone"] for each in packages if each["installed"]]
    if faults:
        return Line("fault", what, "a package of ImageNet weights is damaged", "; ".join(faults))
    if not there:
        return Line("missing", what, "no package of ImageNet weights is installed", _install("weights"))
    return Line("ok", what, f"ImageNet weights are installed for {', '.join(there)}")


def _caches(caches: list[Facts]) -> Line:
    what = "Downloaded weights"
    names = [Path(name).name for each in caches for name in each["files"]]
    if not names:
        return Line("missing", what, "none yet", "model.weights=imagenet downloads what no installed package has")
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    size = size_words(sum(each["bytes"] for each in caches))
    return Line("ok", what, f"{_count(len(names), 'file')}, {size}: {', '.join(names[:SHOWN])}{more}")


def _extra(name: str, extra: Facts) -> Line:
    what, words = f"Extra {name}", PURPOSES[name]
    if not extra["missing"]:
        return Line("ok", what, words)
    missing = ", ".join(extra["missing"])
    return Line("missing", what, f"{words}: {missing} is not installed", _install(name))


def _wandb(state: Facts) -> Line:
    what = "Weights & Biases"
    if state["version"] is None:
        return Line(
            "missing", what, "not installed; runs are recorded in their folders all the same", "pip install wandb"
        )
    words = f"version {state['version']}"
    if state["logged_in"]:
        return Line("ok", what, f"{words}, a key for uploads is there (tracking.wandb=online uploads)")
    return Line(
        "ok", what, f"{words}, no key for uploads: runs record offline; `wandb login` and tracking.wandb=online upload"
    )


def _speed(speed: Facts) -> Line:
    rate = speed["images_per_second"]
    return Line(
        "ok",
        "Speed",
        f"{rate:,.0f} images/s forward and backward (ResNet-18, {speed['image_size']} pixels, batches of "
        f"{speed['batch']}, {speed['device']}): an epoch of 1,000 images takes {_time(1000 / rate)}",
    )


def _install(extra: str) -> str:
    return f"pip install 'contrastive_cxr[{extra}]'"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
