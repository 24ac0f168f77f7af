"""What kind of file a file is, by its first bytes."""

from __future__ import annotations

import re
import zlib

HEAD = 512  # bytes that are looked at; the mark of a tar archive ends at 262, that of NIfTI at 348

PICTURES = frozenset(("PNG", "JPEG", "TIFF", "BMP", "DICOM", "WebP", "GIF", "JPEG 2000", "PNM"))
VOLUMES = frozenset(("NIfTI", "NRRD"))
ARCHIVES = frozenset(("zip", "tar", "tar.gz"))

# DICOM as it goes over a network or from an old archive: without the 128 bytes and the mark at its beginning.
BARE_DICOM = (b"DICM\2\0", b"\2\0\0\0UL\4\0", b"\2\0\1\0OB", b"\x08\0\0\0UL\4\0", b"\x08\0\5\0CS", b"\x08\0\x08\0CS")

_MARKS = (
    (0, b"\x89PNG", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (128, b"DICM", "DICOM"), (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"), (0, b"MM\0*", "TIFF"), (0, b"II+\0", "TIFF"), (0, b"MM\0+", "TIFF"), (0, b"GIF8", "GIF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"), (0, b"\xff\x4f\xff\x51", "JPEG 2000"), (344, b"n+1\0", "NIfTI"),
    (4, b"n+2\0", "NIfTI"), (0, b"NRRD00", "NRRD"), (0, b"%PDF", "PDF"), (0, b"PK\3\4", "zip"), (0, b"PK\5\6", "zip"),
    (257, b"ustar", "tar"), (4, b"ftypavi", "AVIF"), (4, b"ftyphei", "HEIC"), (4, b"ftypmif1", "HEIC"),
    (0, b"BZh", "bzip2"), (0, b"\xfd7zXZ", "xz"), (0, b"7z\xbc\xaf", "7-Zip"), (0, b"Rar!", "RAR"),
    *((0, begin, "DICOM (without preamble)") for begin in BARE_DICOM),
)  # fmt: skip
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_PNM = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s")


def kind_of(head: bytes) -> str:
    """The kind of a file that begins with `head`, `HEAD` bytes or the whole file; '' where none is known.

    A gzip file is known by what is in it: a NIfTI volume is `NIfTI`, a tar archive `tar.gz`, the rest `gzip`.

    Examples
    --------
    >>> kind_of(b"\\x89PNG\\r\\n"), kind_of(b"file,label\\n")
    ('PNG', '')
    """
    if head.startswith(b"\x1f\x8b"):
        inside = _plain(_inflated(head))
        return {"NIfTI": "NIfTI", "tar": "tar.gz"}.get(inside, "gzip")
    return _plain(head)


def _plain(head: bytes) -> str:
    """The kind of a file that is no gzip file."""
    if head.startswith(b"BM"):  # two letters that a text may begin with: the length of the header has to be one
        return "BMP" if int.from_bytes(head[14:18], "little") in _BMP_HEADERS else ""
    if _PNM.match(head):
        return "PNM"
    return next((kind for place, mark, kind in _MARKS if head.startswith(mark, place)), "")


def _inflated(head: bytes) -> bytes:
    """The first bytes of what a gzip file holds, as far as its own first bytes say."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD)
    except zlib.error:
        return b""
