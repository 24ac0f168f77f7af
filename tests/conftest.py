"""What tests of several rooms share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported: two test processes on two cores must not fight for them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The real development images; the test is skipped where they are not beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture
def amount() -> Iterator[None]:
    """How much a process tells: whatever a test sets is taken back."""
    from contrastive_cxr import terminal

    yield
    terminal.set_amount()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the session: phantoms are painted and decoded there once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A finished run of the small phantom recipe; it is read only."""
    from contrastive_cxr.training.run import run
    from tests.small import small_recipe

    return run(small_recipe(cache), tmp_path_factory.mktemp("runs") / "finished")
