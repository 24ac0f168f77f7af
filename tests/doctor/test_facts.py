"""The facts about a machine, held against other sources of them."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import torch

from contrastive_cxr.doctor import facts as module
from contrastive_cxr.doctor.facts import EXTRAS, examine, installed_extra, library_caches, logged_in
from contrastive_cxr.doctor.speed import images_per_second
from contrastive_cxr.doctor.words import PURPOSES

ROOT = Path(__file__).resolve().parents[2]


def test_the_extras_are_those_of_the_project() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    declared = {name: sorted(re.split(r"[<>=~!\[]", each)[0] for each in known[name]) for name in known}
    assert {name: sorted(names) for name, names in EXTRAS.items()} == {
        name: names for name, names in declared.items() if name not in ("dev", "docs", "fuzz")
    }
    assert set(PURPOSES) == set(EXTRAS)


def test_packages_that_are_missing_are_named() -> None:
    found = installed_extra(("numpy", "no-such-package-of-anybody"))
    assert found == {
        "versions": {"numpy": importlib.metadata.version("numpy")},
        "missing": ["no-such-package-of-anybody"],
    }


def test_the_facts_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    (tmp_path / "contrastive_cxr" / "a").mkdir(parents=True)
    (tmp_path / "contrastive_cxr" / "a" / "images").write_bytes(b"x" * 700)
    (tmp_path / "torch" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "checkpoints" / "densenet169-b2777c0a.pth").write_bytes(b"x" * 30)
    (tmp_path / "torch" / "checkpoints" / "notes.txt").write_bytes(b"x" * 30)
    facts = examine(seconds=0)
    assert facts["speed"] is None
    assert facts["cache"]["used"] == 700
    assert facts["cache"]["writable"]
    assert facts["weights"]["caches"][0]["files"] == ["densenet169-b2777c0a.pth"]
    assert facts["weights"]["caches"][0]["bytes"] == 30
    assert abs(facts["disk"]["free"] - shutil.disk_usage(Path.cwd()).free) < 2**30
    assert facts["memory"]["total"] >= facts["memory"]["available"] > 0
    assert facts["device"]["kind"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert facts["environment"]["versions"]["torch"] == importlib.metadata.version("torch")
    assert library_caches()[0] == tmp_path / "torch" / "checkpoints"


def test_a_container_has_the_memory_that_it_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    monkeypatch.setattr(module, "_LIMIT", limit)
    whole = module.memory()["total"]
    limit.write_text(f"{2**29}\n")
    assert module.memory()["total"] == 2**29 < whole
    assert module.memory()["available"] <= 2**29


def test_a_cache_folder_that_is_a_file_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "contrastive_cxr").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert not module.cache()["writable"]


def test_a_login_is_seen_without_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not logged_in()
    (tmp_path / "netrc").write_text("machine somewhere.example login me password secret\n")
    assert not logged_in()
    (tmp_path / "netrc").write_text("machine wandb.example login user password secret\n")
    assert logged_in()
    assert "secret" not in str(module.wandb())
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert logged_in()


def test_the_speed_is_images_over_seconds() -> None:
    found = images_per_second(0.05, side=32, batch=2)
    assert found["steps"] >= 2
    assert found["images_per_second"] == pytest.approx(found["steps"] * 2 / found["seconds"], rel=0.2)
