"""The corpus: every kind of picture file that is painted, what it must decode to, or the words of its error.

Names are those of the table in docs/reference/inputs.md.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.data.corpus.writers import bombs, by_pillow, chunk, dicom, packed, png, tiff

SLOPE = (np.add.outer(np.arange(24), np.arange(32)) * 3).astype(np.uint8)
NOISE = np.random.default_rng(7).integers(0, 256, (24, 32), dtype=np.uint8)
# SLOPE by libjpeg-turbo's own `cjpeg -quality 90 -grayscale -arithmetic`: no library at hand writes this kind.
ARITHMETIC = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b0a0b"
    "0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc9000b080018002001011100ffcc000600101005ffda00080101"
    "00003f00ff00ecbd3e67741769407a75dcc140b3d389572fd970fc3b5117e5adff00b0005bc4caba26e2d4443a60e9264986ffd9"
)


class Case(NamedTuple):
    """A file.

    Attributes
    ----------
    name : str
        As in docs/reference/inputs.md.
    content : bytes
    wanted : [H, W] or None
        The grey values it must decode to, worked out here; None: it is refused.
    tolerance : float
        How far a value may be off: lossy kinds and roundings of colour.
    words : str
        A part of the error of a refused file.
    second : bool
        Whether OpenCV is asked as well: it reads the file, and means the same by its numbers.
    """

    name: str
    content: bytes
    wanted: NDArray[Any] | None = None
    tolerance: float = 0
    words: str = ""
    second: bool = False


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _depths()
    yield from _jpegs()
    yield from _colours()
    yield from _odd()
    yield from _refused()


def _depths() -> Iterator[Case]:
    """Numbers of 1 to 32 bits: the range of their type becomes 0 to 255."""
    for bits in (1, 2, 4, 8, 16):
        top = 2**bits - 1
        values = np.random.default_rng(bits).integers(0, top, (5, 7), endpoint=True, dtype=np.uint16)
        wanted = np.rint(values * (255 / top))
        yield Case(f"{bits}-bit PNG", png(values, bits), wanted, second=bits <= 8)
        yield Case(f"{bits}-bit interlaced PNG", png(values, bits, interlaced=True), wanted, second=bits <= 8)
        if bits <= 8:
            yield Case(f"{bits}-bit TIFF", tiff(packed(values, bits), 7, 5, bits), wanted)
    values = np.array([[0, 0.2, 0.4], [0.6, 0.8, 1]])
    for bits in (16, 32):
        data = np.rint(values * (2**bits - 1)).astype(f"<u{bits // 8}").tobytes()
        yield Case(f"{bits}-bit TIFF", tiff(data, 3, 2, bits), np.rint(values * 255))
    floats = values.astype("<f4").tobytes()
    yield Case("float TIFF", tiff(floats, 3, 2, 32, form=3), np.rint(values * 255))
    holed = np.where(values == 0.4, np.nan, values).astype("<f4").tobytes()
    yield Case("float TIFF with NaN", tiff(holed, 3, 2, 32, form=3), words="no number (NaN or infinite)")
    twelve = np.array([[0, 819, 2457, 4095]], np.uint16)
    yield Case("12-bit packed TIFF", tiff(packed(twelve, 12), 4, 1, 12), np.array([[0, 51, 153, 255]]))
    yield Case("16-bit DICOM", dicom(twelve, BitsStored=12, HighBit=11), np.array([[0, 51, 153, 255]]))


def _jpegs() -> Iterator[Case]:
    slope = Image.fromarray(SLOPE)
    yield Case("baseline JPEG", by_pillow(slope, "JPEG", quality=95), SLOPE, 4, second=True)
    yield Case("progressive JPEG", by_pillow(slope, "JPEG", quality=95, progressive=True), SLOPE, 4, second=True)
    yield Case("arithmetic-coded JPEG", ARITHMETIC, SLOPE, 6, second=True)
    # As Adobe writes it: 255 is no ink. Even colours, so that the loss is small.
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8], inks[8:] = (40, 80, 160, 20), (200, 10, 90, 0)
    light = 255.0 - inks
    wanted = (light[..., :3] * light[..., 3:] / 255) @ [0.299, 0.587, 0.114]
    content = by_pillow(Image.fromarray(inks, "CMYK"), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in content, "libjpeg marks CMYK as Adobe does"
    yield Case("CMYK JPEG, inverted by Adobe", content, wanted, 3, second=True)


def _colours() -> Iterator[Case]:
    rng = np.random.default_rng(8)
    rgba = rng.integers(0, 256, (6, 8, 4), dtype=np.uint8)
    luma = rgba[..., :3] @ np.array([0.299, 0.587, 0.114])
    for kind in ("PNG", "TIFF", "BMP"):
        yield Case(f"RGB {kind}", by_pillow(Image.fromarray(rgba[..., :3]), kind), luma, 0.51, second=True)
    over_black = luma * rgba[..., 3] / 255
    yield Case("RGBA PNG", by_pillow(Image.fromarray(rgba), "PNG"), over_black, 1.01)
    grey = rgba[..., :2]
    yield Case("LA PNG", by_pillow(Image.fromarray(grey), "PNG"), grey[..., 0] * (grey[..., 1] / 255), 0.51)
    inks = rgba.astype(float)
    wanted = ((255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255) @ [0.299, 0.587, 0.114]
    yield Case("CMYK TIFF", by_pillow(Image.fromarray(rgba, "CMYK"), "TIFF"), wanted, 1.6)
    palette = Image.fromarray(np.array([[0, 1, 2, 1]], np.uint8))
    palette.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    yield Case("palette PNG", by_pillow(palette, "PNG"), np.array([[76, 150, 18, 150]]), second=True)
    yield Case("palette PNG with transparency", by_pillow(palette, "PNG", transparency=1), np.array([[76, 0, 18, 0]]))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind, tolerance in (("PNG", 0), ("TIFF", 0), ("JPEG", 4)):
        content = by_pillow(Image.fromarray(SLOPE), kind, icc_profile=profile)
        yield Case(f"{kind} with an ICC profile", content, SLOPE, tolerance, second=True)


def _odd() -> Iterator[Case]:
    for kind, tolerance in (("PNG", 0), ("JPEG", 2), ("TIFF", 0), ("BMP", 0)):
        one = by_pillow(Image.new("L", (1, 1), 77), kind)
        yield Case(f"1x1 {kind}", one, np.array([[77]]), tolerance, second=True)
        column = np.repeat(np.arange(0, 250, 5, dtype=np.uint8), 400)[:, None]
        yield Case(
            f"1x20000 {kind}", by_pillow(Image.fromarray(column), kind), column, tolerance + 2 * (kind == "JPEG")
        )
    yield Case("BigTIFF", by_pillow(Image.fromarray(NOISE), "TIFF", big_tiff=True), NOISE)
    plain = by_pillow(Image.fromarray(NOISE), "PNG")
    yield Case("PNG with bytes behind its end", plain + b"\0" * 40, NOISE)
    slope = Image.fromarray(SLOPE)
    yield Case("GIF", by_pillow(slope, "GIF"), SLOPE, second=True)
    yield Case("WebP", by_pillow(slope, "WEBP", lossless=True), SLOPE, second=True)
    yield Case("lossy WebP", by_pillow(slope, "WEBP", quality=95), SLOPE, 6, second=True)
    yield Case("JPEG 2000", by_pillow(slope, "JPEG2000"), SLOPE)
    inner = by_pillow(Image.fromarray(NOISE), "JPEG2000", no_jp2=True, irreversible=False)
    yield Case("bare JPEG 2000", inner, NOISE)
    deep = Image.fromarray(SLOPE.astype(np.uint16) * 257)
    yield Case("16-bit JPEG 2000", by_pillow(deep, "JPEG2000"), SLOPE)
    yield Case("PNM of 8 bits", by_pillow(slope, "PPM"), SLOPE, second=True)
    twelve = np.array([[0, 819, 2457, 4095]], ">u2")  # a PNM states its greatest value
    yield Case("PNM of 12 bits", b"P5 4 1 4095\n" + twelve.tobytes(), np.array([[0, 51, 153, 255]]))
    yield Case("JPEG 2000 in DICOM", dicom(NOISE, "1.2.840.10008.1.2.4.90", inner), NOISE)
    yield Case("deflated DICOM", dicom(NOISE, "1.2.840.10008.1.2.1.99"), NOISE)


def _refused() -> Iterator[Case]:
    for kind, content in bombs(30000, 30000).items():
        yield Case(f"30000x30000 declared by a {kind}", content, words="declares")
    tiny = np.zeros((8, 8), np.uint8)
    yield Case(
        "30000x30000 declared by a DICOM", dicom(tiny, Rows=30000, Columns=30000), words="declares 30000 x 30000"
    )
    inner = bytearray(_inner(8, 8))
    inner[8:16] = (30000).to_bytes(4, "big") * 2  # Xsiz and Ysiz
    lying = dicom(tiny, "1.2.840.10008.1.2.4.90", bytes(inner))
    yield Case("30000x30000 declared by a JPEG 2000 in DICOM", lying, words="a picture that declares far more pixels")
    yield Case("JPEG 2000 of another size in DICOM", dicom(tiny, "1.2.840.10008.1.2.4.90", _inner(9, 8)), words="9 x 8")
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 80, 160)]
    plain = by_pillow(frames[0], "PNG")
    for name, kind, words in (
        ("animated PNG", "PNG", "holds 3 pictures"),
        ("animated GIF", "GIF", "holds 3 pictures"),
        ("animated WebP", "WEBP", "holds 3 pictures"),
        ("TIFF of several pages", "TIFF", "holds 3 pictures"),
    ):
        yield Case(name, by_pillow(frames[0], kind, save_all=True, append_images=frames[1:]), words=words)
    yield Case("PDF", by_pillow(frames[0], "PDF"), words="is a PDF file")
    yield Case("gzip", gzip.compress(plain), words="is a gzip file")
    yield Case("AVIF", b"\0\0\0\x20ftypavif" + bytes(40), words="is an AVIF file")
    yield Case("HEIC", b"\0\0\0\x18ftypheic" + bytes(40), words="is a HEIC file")
    yield Case("DICOM of several frames", dicom(tiny, NumberOfFrames=2), words="2 frames")
    yield Case("empty file", b"", words="is empty (0 bytes)")
    yield Case("text with an image's name", b"file,label\n1.png,a\n", words="is not an image")
    wrong = bytearray(png(NOISE, 8, apart=4))  # its own checksum is not come to when the last row is there
    wrong[300] ^= 1
    yield Case("PNG with a bit turned over", bytes(wrong), words="PNG, truncated or damaged")
    yield Case(
        "PNG whose text unpacks to 100 MB", png(NOISE, 8, before=_text_bomb()), words="PNG, truncated or damaged"
    )


def _inner(width: int, height: int) -> bytes:
    """An even grey picture as a bare JPEG 2000 stream."""
    return by_pillow(Image.new("L", (width, height)), "JPEG2000", no_jp2=True)


def _text_bomb() -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 100_000_000, 9))
