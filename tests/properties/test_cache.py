"""The cache of any small images: what goes in comes out, in the order of the rows, also the second time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from contrastive_cxr.data import cache
from contrastive_cxr.data.decoding.decode import decode, fit_square
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.recipe.schema import Data

SIDE = 16


@st.composite
def pictures(draw: st.DrawFn) -> Image.Image:
    """A picture of 1 to 24 pixels a side."""
    size = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    mode = draw(st.sampled_from(["L", "RGB", "RGBA", "1", "I;16"]))
    noise = np.random.default_rng(draw(st.integers(0, 20))).integers(0, 256, size, dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(noise.astype(np.uint16) * 257)
    return Image.fromarray(noise).convert(mode)


@settings(max_examples=max(4, settings().max_examples // 6))
@given(st.lists(pictures(), min_size=1, max_size=6), st.sampled_from(["pad", "crop", "stretch"]), st.data())
def test_what_goes_in_comes_out(found: list[Any], resize: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "images"
        root.mkdir()
        for number, picture in enumerate(found):
            picture.save(root / f"{number}.png")
        asked = Data(cache_dir=Path(name), cache_size=SIDE, resize=resize, workers=1)
        order = data.draw(st.permutations(range(len(found))))
        first = cache.build(rows(root, range(len(found))), asked)
        again = cache.build(rows(root, order), asked)
        assert again.rows_decoded == 0
        for place, number in enumerate(order):
            grey, facts = decode(root / f"{number}.png", asked)
            square, box = fit_square(grey, SIDE, resize)
            for built, row in ((first, number), (again, place)):
                np.testing.assert_array_equal(built.take(np.array([row]))[0, 0], square)
                line = built.facts.iloc[row]
                assert (line["width"], line["height"], line["digest"]) == (facts.width, facts.height, facts.digest)
                assert (line["pad_left"], line["pad_top"], line["pad_right"], line["pad_bottom"]) == box


def rows(root: Path, numbers: Any) -> Manifest:
    """Rows of the images of these numbers."""
    table = pd.DataFrame({"path": [f"{number}.png" for number in numbers]})
    return Manifest(table.assign(root=str(root), label="", patient="", split="", source="s"))
