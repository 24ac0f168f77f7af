"""Files of every kind, painted here, against numpy arithmetic."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contrastive_cxr.data.decoding.decode import LARGEST, DecodeError, decode, fit_square, grey_of
from contrastive_cxr.data.decoding.intensity import TooManyPixels
from contrastive_cxr.recipe.schema import Data, Intensity
from tests.data.corpus.writers import turned

PLAIN = Data()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    return rgb[..., :3].astype(float) @ [0.299, 0.587, 0.114]


def _close(grey: NDArray[np.uint8], wanted: NDArray[Any], tolerance: float = 0.51) -> bool:
    return grey.shape == wanted.shape and bool(np.abs(grey - wanted.astype(float)).max() <= tolerance)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_grey_is_kept_exactly_with_its_facts(kind: str, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (11, 17), dtype=np.uint8)
    content = _file(Image.fromarray(pixels), kind)
    grey, facts = decode(content, PLAIN)
    assert np.array_equal(grey, pixels)
    assert (facts.format, facts.mode, facts.width, facts.height) == (kind, "L", 17, 11)
    assert facts.bytes == len(content)
    assert facts.digest == hashlib.sha256(content).hexdigest()


def test_jpeg_is_near() -> None:
    slope = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8) * 2
    grey, facts = decode(_file(Image.fromarray(slope), "JPEG", quality=95), PLAIN)
    assert _close(grey, slope, 6)
    assert facts.format == "JPEG"


def test_a_cameras_jpeg_with_a_preview_behind_it() -> None:
    picture = Image.fromarray(np.full((16, 16), 90, np.uint8))
    content = _file(picture, "MPO", save_all=True, append_images=[Image.new("L", (4, 4))])
    grey, facts = decode(content, PLAIN)
    assert facts.format == "MPO"
    assert _close(grey, np.full((16, 16), 90), 2)


def test_colour_becomes_luma(rng: np.random.Generator) -> None:
    rgb = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for kind in ("PNG", "TIFF", "BMP"):
        grey, facts = decode(_file(Image.fromarray(rgb), kind), PLAIN)
        assert _close(grey, _luma(rgb))
        assert facts.mode == "RGB"


def test_alpha_lies_over_black(rng: np.random.Generator) -> None:
    rgba = rng.integers(0, 256, (9, 9, 4), dtype=np.uint8)
    grey, facts = decode(_file(Image.fromarray(rgba), "PNG"), PLAIN)
    assert _close(grey, _luma(rgba) * rgba[..., 3] / 255, 1.01)
    assert facts.mode == "RGBA"
    la = rng.integers(0, 256, (9, 9, 2), dtype=np.uint8)
    grey, facts = decode(_file(Image.fromarray(la), "PNG"), PLAIN)
    assert _close(grey, la[..., 0] * (la[..., 1] / 255))
    assert facts.mode == "LA"


def test_alpha_of_zero_everywhere_is_ignored(rng: np.random.Generator) -> None:
    la = rng.integers(0, 256, (9, 9, 2), dtype=np.uint8)
    la[..., 1] = 0
    assert np.array_equal(decode(_file(Image.fromarray(la), "PNG"), PLAIN).grey, la[..., 0])


def test_palette_with_and_without_transparency() -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    picture.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])  # now of mode P
    reds = {0: 76, 1: 150, 2: 18}  # 0.299 * 255, 0.587 * 255, 0.299 * 10 + 0.587 * 20 + 0.114 * 30
    grey, facts = decode(_file(picture, "PNG"), PLAIN)
    assert facts.mode == "P"
    assert grey.tolist() == [[reds[0], reds[1]], [reds[2], reds[1]]]
    grey, _ = decode(_file(picture, "PNG", transparency=1), PLAIN)
    assert grey.tolist() == [[reds[0], 0], [reds[2], 0]]


def test_cmyk(rng: np.random.Generator) -> None:
    cmyk = rng.integers(0, 256, (8, 8, 4), dtype=np.uint8)
    grey, facts = decode(_file(Image.fromarray(cmyk, "CMYK"), "TIFF"), PLAIN)
    light = 255 - cmyk.astype(float)
    assert _close(grey, _luma(light[..., :3]) * light[..., 3] / 255, 1.6)  # Pillow rounds each colour
    assert facts.mode == "CMYK"


def test_one_bit() -> None:
    bits = np.array([[True, False, True]] * 3)
    for kind in ("PNG", "TIFF", "BMP"):
        grey, facts = decode(_file(Image.fromarray(bits), kind), PLAIN)
        assert grey.tolist() == [[255, 0, 255]] * 3
        assert facts.mode == "1"


def test_16_bit_png_and_both_byte_orders_of_tiff(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 65536, (7, 5), dtype=np.uint16)
    wanted = ((pixels.astype(int) + 128) // 257).tolist()
    for content in (_file(Image.fromarray(pixels), "PNG"), _tiff(pixels, "<"), _tiff(pixels, ">")):
        grey, facts = decode(content, PLAIN)
        assert grey.tolist() == wanted
        assert facts.mode.startswith("I;16")


def test_12_bits_in_16_by_a_window() -> None:
    pixels = np.array([[0, 819, 4095]], np.uint16)
    content = _file(Image.fromarray(pixels), "PNG")
    assert decode(content, PLAIN).grey.tolist() == [[0, 3, 16]]
    window = Data(intensity=Intensity(kind="window", low=0, high=4095))
    assert decode(content, window).grey.tolist() == [[0, 51, 255]]


def _tiff(pixels: NDArray[Any], order: str, photometric: int = 1) -> bytes:
    """The smallest TIFF of one strip, written by hand, as Pillow writes few of the types that it reads."""
    form = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    data = pixels.astype(order + pixels.dtype.str[1:]).tobytes()
    height, width = pixels.shape
    tags = [(256, width), (257, height), (258, pixels.itemsize * 8), (259, 1), (262, photometric), (273, 8)]
    tags += [(277, 1), (278, height), (279, len(data)), (339, form)]
    table = struct.pack(order + "H", len(tags))
    table += b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags) + b"\0\0\0\0"
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return start + struct.pack(order + "I", 8 + len(data)) + data + table


@pytest.mark.parametrize(
    ("kind", "order", "low", "high"),
    [
        ("u1", "<", 0, 255),
        ("i1", "<", -128, 127),
        ("u2", ">", 0, 65535),
        ("i2", "<", -32768, 32767),
        ("i2", ">", -32768, 32767),
        ("u4", "<", 0, 2**32 - 1),
        ("i4", "<", -(2**31), 2**31 - 1),
        ("i4", ">", -(2**31), 2**31 - 1),
        ("f4", "<", 0, 1),
        ("f4", ">", 0, 1),
    ],
)
def test_each_type_of_tiff(kind: str, order: str, low: int, high: int) -> None:
    shares = np.array([[0.0, 0.2, 0.6], [0.8, 1.0, 0.4]])
    values = low + shares * (high - low)
    pixels = (values if kind[0] == "f" else np.rint(values)).astype(kind)
    grey, facts = decode(_tiff(pixels, order), PLAIN)
    assert grey.tolist() == np.rint(shares * 255).tolist()
    assert facts.format == "TIFF"
    full = Data(intensity=Intensity(kind="min-max"))
    assert decode(_tiff(pixels, order), full).grey.tolist() == grey.tolist()


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_white_is_zero_is_turned(kind: str) -> None:
    top = {"u1": 255, "u2": 65535, "f4": 1}[kind]
    pixels = (np.array([[0.0, 0.2, 1.0]]) * top).astype(kind)
    assert decode(_tiff(pixels, "<", photometric=0), PLAIN).grey.tolist() == [[255, 204, 0]]


def test_float_tiff_with_nan_is_refused() -> None:
    with pytest.raises(DecodeError, match="NaN"):
        decode(_tiff(np.array([[0.5, np.nan]], np.float32), "<"), PLAIN)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = np.full((16, 32), 40, np.uint8)
    upright[:8, :8] = 220
    exif = Image.Exif()
    exif[274] = orientation
    picture = Image.fromarray(turned(upright, orientation))
    content = _file(picture, kind, exif=exif) if kind != "TIFF" else _file(picture, kind, tiffinfo={274: orientation})
    grey, facts = decode(content, PLAIN)
    assert (facts.width, facts.height) == (32, 16)
    assert _close(grey, upright, 4)


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    path = tmp_path / "slice.png"
    Image.fromarray(pixels).save(path, "BMP")
    grey, facts = decode(path, PLAIN)
    assert facts.format == "BMP"
    assert np.array_equal(grey, pixels)


def _bomb() -> bytes:
    """A PNG of a few bytes that declares 60000 x 60000 pixels."""
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    chunks = b""
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def _half(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    content = _file(Image.fromarray(pixels), kind)
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"patient,label\n1,covid\n", "is not an image"),
        (b"%PDF-1.7\n", "is a PDF file; PNG, JPEG"),
        (_half("PNG"), "truncated"),
        (_half("JPEG"), "truncated"),
        (_half("BMP"), "truncated"),
        (_half("TIFF"), "truncated"),
        (b"\x89PNG\r\n\x1a\n", "PNG.*truncated"),
        (_bomb(), f"more than {LARGEST} pixels"),
        (
            _file(Image.new("L", (4, 4)), "TIFF", save_all=True, append_images=[Image.new("L", (4, 4))] * 2),
            "3 pictures",
        ),
    ],
)
def test_what_is_no_image_is_named(content: bytes, words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        decode(content, PLAIN)


def test_a_declared_size_is_refused_before_it_is_allocated() -> None:
    content = bytearray(_file(Image.new("L", (4, 4)), "BMP"))
    content[18:26] = struct.pack("<ii", 9000, 9000)  # 81 megapixels: Pillow alone would read it
    with pytest.raises(DecodeError, match="9000 x 9000"):
        decode(bytes(content), PLAIN)


def test_a_path_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=r"gone\.png: does not exist") as caught:
        decode(tmp_path / "gone.png", PLAIN)
    assert caught.value.reason == "does not exist"
    with pytest.raises(DecodeError, match="cannot be opened"):
        decode(tmp_path, PLAIN)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_damage_anywhere_is_a_decode_error(kind: str, rng: np.random.Generator) -> None:
    """Random bytes changed or cut: a picture or a `DecodeError`, nothing else."""
    picture = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    content = _file(picture, kind, **({} if kind == "BMP" else {"exif": exif}))
    refused = 0
    for _ in range(150):
        broken = bytearray(content[: rng.integers(1, len(content) + 1)])
        for place in rng.integers(0, min(len(broken), 200), 3):
            broken[place] = rng.integers(0, 256)
        try:
            assert decode(bytes(broken), PLAIN).grey.dtype == np.uint8
        except DecodeError:
            refused += 1
    assert refused > 50


def test_border_then_intensity_then_filters() -> None:
    pixels = np.full((10, 10), 100, np.uint8)
    pixels[0] = 255  # a burnt-in line in the border
    pixels[5:] = 150
    settings = Data(border_crop=0.1, intensity=Intensity(kind="min-max"))
    grey, facts = decode(_file(Image.fromarray(pixels), "PNG"), settings)
    assert grey.tolist() == [[0] * 8] * 4 + [[255] * 8] * 4
    assert (facts.width, facts.height) == (10, 10)


def test_an_open_picture_decodes_alike(rng: np.random.Generator) -> None:
    picture = Image.fromarray(rng.integers(0, 256, (9, 9, 4), dtype=np.uint8))
    assert np.array_equal(grey_of(picture, PLAIN), decode(_file(picture, "PNG"), PLAIN).grey)


def test_pad_keeps_the_aspect_and_centres() -> None:
    square, box = fit_square(np.full((30, 90), 200, np.uint8), 64, "pad")
    assert box == (0, 21, 0, 22)  # 64 * 30 / 90 = 21.3 rows
    assert (square[21:42] == 200).all()
    assert not square[:21].any()
    assert not square[42:].any()
    square, box = fit_square(np.full((4000, 2), 200, np.uint8), 64, "pad")
    assert box == (31, 0, 32, 0)
    assert (square[:, 31] == 200).all()


def test_stretch_and_crop() -> None:
    halves = np.zeros((40, 80), np.uint8)
    halves[:, 40:] = 240
    stretched, box = fit_square(halves, 20, "stretch")
    assert box == (0, 0, 0, 0)
    assert stretched.shape == (20, 20)
    assert (stretched[:, :9] == 0).all()
    assert (stretched[:, 11:] == 240).all()
    cropped, _ = fit_square(halves, 40, "crop")
    assert np.array_equal(cropped, halves[:, 20:60])


def test_shrinking_is_antialiased(rng: np.random.Generator) -> None:
    noise = rng.integers(0, 2, (512, 512), dtype=np.uint8) * 255
    small, _ = fit_square(noise, 16, "stretch")
    assert small.std() < 6  # without antialiasing: 127
    assert abs(small.mean() - 127.5) < 2


def test_real_slices_all_decode() -> None:
    root = Path("../shared/data/ct")
    if not root.is_dir():
        pytest.skip("../shared/data/ct is not here")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    facts = [decode(path, PLAIN).facts for path in files]
    assert len(facts) == 543
    assert {fact.format for fact in facts} == {"PNG", "JPEG"}
    assert {fact.mode for fact in facts} == {"L", "RGB", "RGBA"}
    assert (min(fact.width for fact in facts), max(fact.width for fact in facts)) == (115, 1671)
    assert any(path.suffix == ".png" and fact.format == "JPEG" for path, fact in zip(files, facts, strict=True))


def test_bytes_with_several_pictures_give_the_one_that_is_named_with_the_digest_of_its_address(tmp_path: Path) -> None:
    first, second = (Image.new("L", (9, 7), value) for value in (10, 200))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    content = (tmp_path / "two.tif").read_bytes()
    found = decode(content, Data(), frame=1)
    named = decode(f"{tmp_path / 'two.tif'}#frame=1", Data())
    np.testing.assert_array_equal(found.grey, named.grey)
    assert found.facts.digest == named.facts.digest
    with pytest.raises(DecodeError, match="no picture 2"):
        decode(content, Data(), frame=2)


def test_a_smaller_bound_on_the_pixels_is_held_by_every_kind(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"):
        Image.new("L", (9, 7)).save(tmp_path / "x", kind)
        content = (tmp_path / "x").read_bytes()
        assert decode(content, Data(), largest=63).grey.shape == (7, 9)
        with pytest.raises(TooManyPixels, match="9 x 7 pixels; at most 62"):
            decode(content, Data(), largest=62)
