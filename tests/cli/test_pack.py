"""`ccxr data pack`, and what a run says of shards that do not fit it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small import overrides

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shards(ccxr: Call, cache: Path, tmp_path: Path) -> Path:
    """Shards that the command wrote."""
    out = tmp_path / "shards"
    code, told, said = ccxr("data", "pack", "phantom", *overrides(cache), "--out", out, "--shard-images", "8")
    assert code == 0, said
    assert "Packed: 60 images in 10 shards" in told
    assert f"data.shards={out}" in told, "the line of the next command"
    return out


def test_what_was_packed_is_checked_by_a_dry_run(ccxr: Call, cache: Path, shards: Path) -> None:
    code, _, said = ccxr("run", "phantom", *overrides(cache), f"data.shards={shards}", "--dry-run")
    assert code == 0, said


def test_a_second_call_says_what_is_new(ccxr: Call, cache: Path, shards: Path) -> None:
    (shards / "shards/shard-000003.parquet").unlink()
    code, told, _ = ccxr("data", "pack", "phantom", *overrides(cache), "--out", shards, "--shard-images", "8")
    assert (code, "in 10 shards, 1 of them new" in told) == (0, True)


def test_a_run_refuses_shards_that_do_not_fit_in_sentences(
    ccxr: Call, cache: Path, shards: Path, tmp_path: Path
) -> None:
    (shards / "shards/shard-000002.parquet").unlink()
    words = (*overrides(cache), f"data.shards={shards}", "data.resize=crop")
    code, _, said = ccxr("run", "phantom", *words, "--out", tmp_path / "run")
    assert code == 2
    assert "data.resize is pad there and crop in the recipe" in said
    assert "shard-000002.parquet does not exist" in said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_a_buffer_below_the_batch_is_refused(ccxr: Call, cache: Path, shards: Path) -> None:
    words = (*overrides(cache), f"data.shards={shards}", "data.shuffle_buffer=8", "embed.images_per_class=4")
    code, _, said = ccxr("run", "phantom", *words, "--dry-run")
    assert code == 2
    assert "`data.shuffle_buffer`: 8 is below the 12 images of a batch of embed" in said


def test_pack_refuses_a_folder_with_other_things(ccxr: Call, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    code, _, said = ccxr("data", "pack", "phantom", *overrides(cache), "--out", tmp_path / "mine")
    assert (code, said.count("\n")) == (2, 1)
    assert "holds other things (notes.txt)" in said
