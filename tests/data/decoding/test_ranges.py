"""A source's deeper pictures are seen by the range that they use, one for all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.data.cache import Cache, build
from contrastive_cxr.data.decoding import grey_levels, ranges
from contrastive_cxr.data.decoding.decode import decode
from contrastive_cxr.data.decoding.intensity import Stored, to_bytes
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.recipe.schema import Data, Intensity

NOISE = np.random.default_rng(0).integers(0, 256, (12, 16, 16)).astype(np.uint8)


def painted(folder: Path, pictures: list[np.ndarray], ending: str = ".png") -> Manifest:
    """A source of the pictures, named after its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number}{ending}" for number in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(folder / name)
    row = {"root": str(folder), "label": "a", "patient": "", "split": "", "source": folder.name}
    return Manifest(pd.DataFrame([{"path": name, **row} for name in names]))


def built(manifest: Manifest, tmp_path: Path, **settings: object) -> Cache:
    data = Data(cache_dir=tmp_path / "caches", cache_size=16, workers=1, **settings)  # type: ignore[arg-type]
    return build(manifest, data)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_twelve_bits_in_sixteen_are_not_black(tmp_path: Path, ending: str) -> None:
    deep = [picture.astype(np.uint16) * 16 for picture in NOISE]
    cached = built(painted(tmp_path / "deep", deep, ending), tmp_path)
    assert cached.intensity.ranges == {"deep": (0, 4095)}
    wanted = np.rint(NOISE.astype(float) * 16 * 255 / 4095)
    assert np.abs(cached.images[cached.slots, 0] - wanted).max() == 0
    assert set(zip(cached.facts["grey_low"], cached.facts["grey_high"], strict=True)) == {(0, 4095)}
    assert not cached.facts["squeezed"].any()
    assert grey_levels.warning(grey_levels.facts(_table(cached)), "auto") == ""


def _table(cached: Cache) -> pd.DataFrame:
    return cached.facts.assign(path=[f"{row}.png" for row in range(len(cached.facts))], source="deep")


def test_by_the_type_the_same_pictures_are_warned_of(tmp_path: Path) -> None:
    deep = [picture.astype(np.uint16) * 16 for picture in NOISE]
    cached = built(painted(tmp_path / "deep", deep), tmp_path, intensity=Intensity(kind="dtype"))
    levels = [len(np.unique(np.rint(picture * (255 / 65535)))) for picture in deep]
    assert cached.facts["squeezed"].tolist() == levels
    found = grey_levels.facts(_table(cached))
    said = grey_levels.warning(found, "dtype")
    assert said.startswith("12 of 12 images keep fewer than 64 grey levels after data.intensity.kind=dtype")
    assert "data.intensity.kind=min-max or percentile" in said
    assert grey_levels.in_words(found) == ["deep, PNG: 0 to 65535 become 0 to 255 in 12 images"]


def test_one_range_for_a_source_and_not_one_for_an_image(tmp_path: Path) -> None:
    """A dark picture stays darker than a bright one; each source has its own range."""
    dark, bright = (np.full((16, 16), value, np.uint16) for value in (400, 4000))
    first = painted(tmp_path / "first", [dark, bright])
    second = painted(tmp_path / "second", [np.full((16, 16), 40000, np.uint16), dark + 1])
    cached = built(Manifest(pd.concat([first.rows, second.rows])), tmp_path)
    assert cached.intensity.ranges == {"first": (0, 4095), "second": (0, 65535)}
    greys = cached.images[cached.slots, 0, 0, 0].tolist()
    assert greys == [
        round(value * 255 / top) for value, top in ((400, 4095), (4000, 4095), (40000, 65535), (401, 65535))
    ]


def test_eight_bits_stay_as_they_are(tmp_path: Path) -> None:
    cached = built(painted(tmp_path / "plain", [picture // 8 for picture in NOISE]), tmp_path)
    assert cached.intensity.ranges == {}
    assert np.array_equal(cached.images[cached.slots, 0], NOISE // 8)
    assert not cached.facts["squeezed"].any()


@pytest.mark.parametrize(
    ("used", "wanted"),
    [
        ([(3, 2900, 0, 65535, False)], (0, 4095)),
        ([(0, 120, 0, 65535, False)], (0, 255)),
        ([(31768, 33768, 0, 65535, False)], (31768, 33768)),  # HU + 32768
        ([(-1000, 400, -32768, 32767, False), (-1024, 1200, -32768, 32767, False)], (-1024, 1200)),
        ([(0.1, 0.9, 0, 1, True)], (0, 1)),
        ([(0.0, 0.0625, 0, 1, True)], (0, 0.0625)),  # 12 bits divided by 65535
        ([(-1024.0, 3071.0, 0, 1, True)], (-1024, 3071)),
        ([(7, 7, 0, 65535, False)], (0, 65535)),
    ],
)
def test_what_is_used_becomes_a_range(
    used: list[tuple[float, float, float, float, bool]], wanted: tuple[float, float]
) -> None:
    assert ranges.common([ranges.Used(*one) for one in used]) == wanted


def test_floats_in_hounsfield_units_are_read(tmp_path: Path) -> None:
    units = np.linspace(-1000, 400, 256, dtype=np.float32).reshape(16, 16)
    cached = built(painted(tmp_path / "units", [units, units[::-1].copy()], ".tif"), tmp_path)
    assert cached.intensity.ranges == {"units": (-1000, 400)}
    assert np.array_equal(cached.images[cached.slots[0], 0], np.rint((units.astype(float) + 1000) * 255 / 1400))


def test_a_given_range_is_kept_and_a_sample_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = painted(tmp_path / "deep", [picture.astype(np.uint16) * 16 for picture in NOISE])
    given = Intensity(ranges={"deep": (0.0, 8191.0)})
    assert built(manifest, tmp_path, intensity=given).intensity == given
    data = Data(cache_dir=tmp_path / "caches", workers=1)
    first = ranges.found(data, manifest)
    monkeypatch.setattr(ranges, "_used", lambda file: pytest.fail(f"{file} is read again"))
    assert ranges.found(data, manifest) == first
    for file in (tmp_path / "caches" / "ranges").iterdir():
        file.write_text("[5, 5]")
    with pytest.raises(pytest.fail.Exception, match="read again"):
        ranges.found(data, manifest)


def test_a_file_of_no_known_source_is_read_by_the_narrowest_range_that_holds_it() -> None:
    setting = Intensity(ranges={"wide": (0.0, 65535.0), "narrow": (0.0, 4095.0)})
    for top, high in ((4000, 4095), (5000, 65535), (65535, 65535)):
        stored = Stored(np.array([[0, top]], np.uint16), 0, 65535, container=True)
        assert to_bytes(stored, setting, "elsewhere").tolist() == [[0, round(top * 255 / high)]]
    known = Stored(np.array([[0, 4000]], np.uint16), 0, 65535, container=True)
    assert to_bytes(known, setting, "wide").tolist() == [[0, 16]]


def test_webp_under_a_png_name_is_read_among_them(tmp_path: Path) -> None:
    Image.fromarray(NOISE[0]).save(tmp_path / "0.png", "WEBP", lossless=True)
    grey, facts = decode(tmp_path / "0.png", Data())
    assert facts.format == "WebP"
    assert np.array_equal(grey, NOISE[0])
