from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.explore.answers import Explorer
from contrastive_cxr.explore.served import around, explorer
from contrastive_cxr.server.limits import Limits
from tests.server.conftest import Running, running


def explored_copy(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    """The small run, explored; what is computed is kept in a copy of it."""
    copy = tmp_path_factory.mktemp("explored") / "run"
    shutil.copytree(finished, copy)
    return explorer(copy, None, None, "cpu", False)


@pytest.fixture(scope="session")
def explored(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    return explored_copy(finished, tmp_path_factory)


@pytest.fixture(scope="session")
def page(explored: Explorer) -> Iterator[Running]:
    """The page at a real port."""
    with running(around(explored, Limits(rate=0))) as found:
        yield found


@pytest.fixture
def painted(tmp_path: Path) -> pd.DataFrame:
    """Rows of four images, of which the first two are one picture, saved twice."""
    rng = np.random.default_rng(0)
    pictures = [Image.effect_noise((96, 96), 90).resize((192, 192)) for _ in range(3)]
    pictures.insert(1, pictures[0])
    for number, picture in enumerate(pictures):
        shifted = np.asarray(picture, np.int64) + int(rng.integers(2))
        Image.fromarray(shifted.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    return pd.DataFrame({"root": str(tmp_path), "path": [f"{number}.png" for number in range(4)]})
