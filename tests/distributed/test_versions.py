"""Machines with another version are named, each in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_cxr import __version__
from contrastive_cxr.distributed import versions


def test_every_machine_that_differs_is_named_with_both_versions() -> None:
    found = versions.faults(
        {"a (10.0.0.1)": "0.1.0", "b (10.0.0.2)": "0.0.9", "c (10.0.0.3)": "", "d (10.0.0.4)": None}, "0.1.0"
    )
    assert len(found) == 3
    assert "worker b (10.0.0.2): has ccxr 0.0.9, and this command is ccxr 0.1.0" in found[0]
    assert "worker c (10.0.0.3): has no ccxr, and this command is ccxr 0.1.0" in found[1]
    assert "worker d (10.0.0.4): did not answer" in found[2]


def test_the_probe_says_this_version() -> None:
    assert versions.probe()() == __version__


def test_the_probe_needs_nothing_of_this_package_where_it_is_called(tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    (tmp_path / "probe.pickle").write_bytes(cloudpickle.dumps(versions.probe()))
    code = "import pickle, sys; print(repr(pickle.load(open('probe.pickle', 'rb'))()))"
    for name, said in (("", ""), ("0.0.9", "0.0.9")):
        place = tmp_path / f"at-{name}"
        (place / "contrastive_cxr").mkdir(parents=True)
        text = f"__version__ = {name!r}" if name else "raise ImportError"
        (place / "contrastive_cxr" / "__init__.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={"PYTHONPATH": str(place)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == repr(said)
