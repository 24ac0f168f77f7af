"""Paths that a command is given: each fault at once, what was probably meant, and no PyTorch before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight import given_paths

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "predict runs/nine a.png --out p.csv", "evaluate runs/nine", "encode runs/nine tset --out v.npy",
    "explain runs/nine a.png", "index runs/nine train --out g", "search cases a.png", "card runs/nine",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("runs/first", "pictures"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("pictures/a.png", "archive.zip"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_there_passes(folder: Path) -> None:
    there = ["pictures", Path("pictures/a.png"), "pictures/a.png#frame=3", "archive.zip/b.png", "train"]
    given_paths.check(Path("runs/first"), [*there, "s3://bucket/a.png"], parts=True)
    given_paths.check(out=Path("pictures"), endings=(".npy", ""))
    given_paths.check(out=Path("v.npy"), endings=(".npy", ""))


def test_every_fault_says_what_was_probably_meant(folder: Path) -> None:
    with pytest.raises(RequestError) as caught:
        given_paths.check(
            Path("runs/frist"), [Path("picturs"), "trian"], parts=True, out=Path("p.txt"), endings=(".csv",)
        )
    run, pictures, part, out = caught.value.faults
    assert run.startswith("runs/frist: no such run folder (did you mean 'first'?)")
    assert pictures.startswith("picturs: no such file or folder (did you mean 'pictures'?)")
    assert str(folder) in pictures
    assert part.startswith("trian: no such file or folder (did you mean 'train'?)")
    assert out == "--out p.txt: must end in .csv, such as p.csv"


def test_a_file_is_no_run(folder: Path) -> None:
    with pytest.raises(RequestError, match=r"archive\.zip is a file and no run folder"):
        given_paths.check(Path("archive.zip"))


def test_commands_refuse_before_torch_is_imported(folder: Path) -> None:
    script = (
        "import sys\nfrom contrastive_cxr.cli import main\n"
        f"for words in {COMMANDS!r}:\n"
        "    sys.argv = ['ccxr', *words.split()]\n"
        "    try:\n        main()\n"
        "    except SystemExit as left:\n        print(left.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["2 False"] * len(COMMANDS), done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("no such") == 11  # of evaluate, index and card one path
