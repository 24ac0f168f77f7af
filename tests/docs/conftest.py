"""What the tests of the pages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import world


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder before any page: it is copied for each."""
    root = tmp_path_factory.mktemp("guide") / "user"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
        world.furnish(root)
        world.train(root)
    world.checkpoint(root / "model.pth.tar")
    return root
