"""Checkpoints."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from contrastive_cxr.errors import RequestError
from contrastive_cxr.run import checkpoint


def test_there_and_back(tmp_path: Path) -> None:
    state = {"a": torch.arange(3), "b": {"c": [1, 0.5, None, "x"]}, "d": torch.ones(2, dtype=torch.bfloat16)}
    checkpoint.save(tmp_path / "x.ckpt", state)
    back = checkpoint.load(tmp_path / "x.ckpt")
    assert torch.equal(back["a"], state["a"])
    assert back["b"] == state["b"]
    assert back["d"].dtype == torch.bfloat16
    assert [item.name for item in tmp_path.iterdir()] == ["x.ckpt"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_broken_file_is_a_plain_error(tmp_path: Path, share: float) -> None:
    path = tmp_path / "x.ckpt"
    checkpoint.save(path, {"a": torch.arange(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "none.ckpt")
    (tmp_path / "text").write_text("hello, this is text")
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(tmp_path / "text")
    torch.save([1], tmp_path / "list")
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(tmp_path / "list")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('code of a checkpoint was run')",))


def test_no_code_is_run(tmp_path: Path) -> None:
    torch.save({"a": Bomb()}, tmp_path / "bomb.ckpt")
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(tmp_path / "bomb.ckpt")
    torch.save({"a": Bomb()}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(tmp_path / "old.ckpt")
    (tmp_path / "bomb.pickle").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(tmp_path / "bomb.pickle")


class Greedy:
    def __reduce__(self) -> tuple[object, tuple[int]]:
        return (bytearray, (2**50,))


def test_memory_that_a_checkpoint_asks_for_and_does_not_fill(tmp_path: Path) -> None:
    torch.save({"a": Greedy()}, tmp_path / "greedy.ckpt")
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(tmp_path / "greedy.ckpt")


def test_an_archive_that_grows_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path / "plain.ckpt", {"a": torch.zeros(100_000)})
    with zipfile.ZipFile(tmp_path / "plain.ckpt") as plain, zipfile.ZipFile(tmp_path / "bomb.ckpt", "w") as bomb:
        for member in plain.infolist():
            bomb.writestr(member.filename, plain.read(member), compress_type=zipfile.ZIP_DEFLATED)
    assert checkpoint.load(tmp_path / "plain.ckpt")["a"].shape == (100_000,)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("the archive was read"))
    with pytest.raises(RequestError, match="cannot be read"):
        checkpoint.load(tmp_path / "bomb.ckpt")
