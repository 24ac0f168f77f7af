"""Files that are made to mislead, through the command: exit code 2, one line a fault, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.corpus.cases import NOISE
from tests.data.corpus.writers import dicom, png

Call = Callable[..., tuple[int, str, str]]


def test_a_name_cannot_fake_a_line_or_steer_the_terminal(ccxr: Call, tmp_path: Path) -> None:
    folder = tmp_path / "root" / "a"
    folder.mkdir(parents=True)
    names = ("x\nerror: all is well\n.png", "\x1b[2J\x1b[31m.png", "\u202egnp.sh.png")
    for name in names:
        (folder / name).write_bytes(b"no picture")
    code, out, said = ccxr(
        "run", "phantom", "data.source=folders", f"data.root={tmp_path / 'root'}", f"data.cache_dir={tmp_path / 'c'}",
        "data.split.kind=fractions", "task={classes: {one: [a], two: [b]}}", "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 2
    assert "\x1b" not in out + said
    assert "\u202e" not in out + said
    assert all(line.startswith("error: ") for line in said.splitlines())
    assert not [line for line in said.splitlines() if line.startswith("error: all is well")]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: !!python/object/apply:os.system ['touch sprung']", "the tag"),
        ("a: &a [x]\nb: &b [*a, *a]\nname: " + "[" * 100, "sections deep"),
        ("name: a\0b", "special characters are not allowed"),
        ("name: x\nseed: " + "9" * 5000, "18 digits"),
        ("name: x\nname: y", "given twice"),
    ],
)
def test_a_hostile_recipe(ccxr: Call, tmp_path: Path, text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(text)
    code, _, said = ccxr("run", "r.yaml", "--out", "out")
    assert code == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.yaml"]


def test_a_table_that_climbs_out_lists_every_fault(ccxr: Call, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(png(NOISE, 8))
    (root / "in.png").write_bytes(png(NOISE, 8))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "labels.csv").write_text(f"file,label\nin.png,a\n../secret.png,a\n{tmp_path}/secret.png,b\nlink.png,b\n")
    words = ("run", "phantom", "data.source=csv", f"data.root={root}", "data.csv=labels.csv", "--out", tmp_path / "run")
    code, _, said = ccxr(*words)
    assert code == 2
    assert len([line for line in said.splitlines() if "not inside the root" in line or "by a link" in line]) == 3
    assert not (tmp_path / "run").exists()


def test_what_libraries_log_of_a_damaged_file_is_not_ours(
    ccxr: Call, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """pydicom logs each decoder's exception with its traceback; the terminal gets one sentence a file."""
    pytest.importorskip("pydicom")
    pytest.importorskip("jpeg_ls", reason="pyjpegls is not installed; it is in the extra dicom")
    (tmp_path / "in" / "ill").mkdir(parents=True)
    pixels = np.zeros((4, 4), np.uint16)
    (tmp_path / "in" / "ill" / "1.dcm").write_bytes(dicom(pixels, "1.2.840.10008.1.2.4.80", bytes(40)))
    words = (f"data.cache_dir={tmp_path / 'cache'}", "--out", tmp_path / "out")
    code, said, told = ccxr("data", "look", tmp_path / "in", *words)
    assert code == 0
    assert "cannot be read: ill/1.dcm is a DICOM file, compressed as JPEG-LS" in said
    assert "Traceback" not in told
    assert not [record.name for record in caplog.records if record.name.startswith("pydicom")]
