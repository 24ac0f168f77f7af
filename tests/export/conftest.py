"""An export of the small phantom run, in all formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contrastive_cxr.export.export import export

Made = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="session")
def onnx_export(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Folder and facts of `--to onnx --int8`."""
    pytest.importorskip("onnxruntime")
    out = tmp_path_factory.mktemp("exports") / "onnx"
    return out, export(finished, "onnx", out, with_int8=True)
