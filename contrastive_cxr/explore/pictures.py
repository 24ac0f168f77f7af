"""Pictures of the gallery's cases, decoded when they are asked for: small ones for the map, large ones for a case."""

from __future__ import annotations

import io
from collections import OrderedDict
from threading import Lock

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from contrastive_cxr.data.decoding.decode import decode, fit_square
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.recipe import schema

SMALL, LARGE = 112, 1536
"""Pixels of the longer side; a smaller picture stays as it is."""
_HELD = 64 * 2**20  # bytes of small pictures in memory


def addresses(rows: pd.DataFrame) -> list[str]:
    """Where the images of a gallery's rows are; '' where a row names none."""
    roots = rows["root"] if "root" in rows else [""] * len(rows)
    return [join(str(root), path) if path else "" for root, path in zip(roots, rows["path"], strict=True)]


class Pictures:
    """The pictures of some files; any thread may ask.

    Parameters
    ----------
    files : list of str
        Addresses, as of `addresses`.
    settings : Data
        How the model's images are decoded.
    """

    def __init__(self, files: list[str], settings: schema.Data) -> None:
        self.files, self.settings = files, settings
        self._small: OrderedDict[int, bytes] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    def grey(self, row: int) -> NDArray[np.uint8]:
        """The picture of a row, uint8 [H, W].

        Raises
        ------
        DecodeError
            The row names no file, or the file is gone or no readable image.
        """
        if not self.files[row]:
            raise DecodeError("the gallery does not say where the image of this case is")
        return decode(self.files[row], self.settings)[0]

    def square(self, row: int, side: int) -> NDArray[np.uint8]:
        """The picture of a row, stretched to a square: uint8 [side, side]."""
        return fit_square(self.grey(row), side, "stretch")[0]

    def small(self, row: int) -> bytes:
        """A JPEG of at most 112 pixels; kept in memory, 64 MiB of them."""
        with self._lock:
            if row in self._small:
                self._small.move_to_end(row)
                return self._small[row]
        made = encoded(self.grey(row), SMALL, "JPEG")
        with self._lock:
            if row not in self._small:
                self._small[row] = made
                self._bytes += len(made)
            while self._bytes > _HELD:
                self._bytes -= len(self._small.popitem(last=False)[1])
        return made

    def large(self, row: int) -> bytes:
        """A PNG of at most 1536 pixels."""
        return encoded(self.grey(row), LARGE, "PNG")


def encoded(grey: NDArray[np.uint8], most: int, kind: str) -> bytes:
    """A picture as PNG or JPEG, its longer side at most `most` pixels.

    Parameters
    ----------
    grey : uint8 [H, W]
    """
    image = Image.fromarray(grey)
    if max(image.size) > most:
        image.thumbnail((most, most), Image.Resampling.BILINEAR, reducing_gap=2.0)
    buffer = io.BytesIO()
    if kind == "JPEG":
        image.save(buffer, kind, quality=80)
    else:
        image.save(buffer, kind, compress_level=1)
    return buffer.getvalue()
