"""What a user hands over to be embedded, one picture after the other, made square as in training."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from contrastive_cxr.data.decoding.decode import DecodeError, decode, fit_square, grey_of
from contrastive_cxr.data.files.addresses import of_path
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema

Item = str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | torch.Tensor
Inputs = Item | Sequence[Item]
_DTYPES = ("uint8", "uint16", "float32", "float64")


def items(inputs: Inputs) -> list[Item]:
    """One picture a place: a path, a PIL image, or an array [H, W].

    Parameters
    ----------
    inputs : path, PIL image, array, tensor, or a sequence of these
        Arrays and tensors: [H, W], [N, H, W] or [N, 1, H, W]; uint8, uint16, or floats in 0..1.

    Raises
    ------
    RequestError
        Where an array has another shape or type, or floats outside 0..1.
    """
    if isinstance(inputs, str | os.PathLike | Image.Image):
        return [inputs]
    if isinstance(inputs, np.ndarray | torch.Tensor):
        return list(_pictures(inputs))
    found: list[Item] = []
    for one in inputs:
        found += items(one)
    return found


def square(item: Item, settings: schema.Data, squeezed: dict[str, int] | None = None) -> npt.NDArray[np.uint8]:
    """Decode one item and make it square, by the functions that fill the training cache.

    A file that keeps too few grey levels (`Facts.squeezed`) is put into `squeezed`, with the levels that it keeps.

    Returns
    -------
    uint8 [S, S]
        S is `settings.cache_size`.

    Raises
    ------
    DecodeError
        Where it is no readable picture.
    """
    if isinstance(item, str | os.PathLike):
        grey, facts = decode(Path(item), settings, side=settings.cache_size)
        if facts.squeezed and squeezed is not None:
            squeezed[of_path(Path(item))] = facts.squeezed
    elif isinstance(item, Image.Image):
        grey = grey_of(item, settings)
    else:
        values = np.asarray(item)
        if values.dtype.kind == "f" and settings.intensity.kind == "auto":  # in 0..1, whatever files were trained on
            settings = settings.model_copy(update={"intensity": schema.Intensity(kind="dtype")})
        grey = grey_of(Image.fromarray(values), settings)
    return fit_square(grey, settings.cache_size, settings.resize)[0]


def squares(
    found: Sequence[Item], settings: schema.Data, first: int = 0, squeezed: dict[str, int] | None = None
) -> torch.Tensor:
    """Decode a batch; `first` is the place of its first item among all, for the errors; `squeezed` as of `square`.

    Returns
    -------
    Tensor
        uint8 [B, 1, S, S].

    Raises
    ------
    RequestError
        With one sentence for each unreadable item.
    """
    images = np.empty((len(found), 1, settings.cache_size, settings.cache_size), np.uint8)
    faults = []
    for place, item in enumerate(found):
        try:
            images[place, 0] = square(item, settings, squeezed)
        except DecodeError as error:
            named = isinstance(item, str | os.PathLike)
            faults.append(f"{error}; give the images without it" if named else f"picture {first + place} {error}")
    if faults:
        raise RequestError(*faults)
    return torch.from_numpy(images)


def ahead(
    read: Callable[[int, int], torch.Tensor], first: int, end: int, batch: int, threads: int
) -> Iterator[tuple[int, torch.Tensor]]:
    """(first row, pixels) of the batches of first..end-1 in order, `threads` of them read ahead, side by side."""
    starts = iter(range(first, end, batch))
    waiting: list[tuple[int, Future[torch.Tensor]]] = []
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in islice(starts, threads + 1):
                waiting.append((start, pool.submit(read, start, min(start + batch, end))))
            while waiting:
                start, pixels = waiting.pop(0)
                yield start, pixels.result()
                for following in islice(starts, 1):
                    waiting.append((following, pool.submit(read, following, min(following + batch, end))))
        finally:
            pool.shutdown(cancel_futures=True)


def _pictures(array: npt.NDArray[Any] | torch.Tensor) -> Iterator[npt.NDArray[Any]]:
    """The pictures [H, W] of an array, checked; floats become float32."""
    values = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array
    if values.dtype.name not in _DTYPES:
        raise RequestError(f"images of type {values.dtype} are not taken; give uint8, uint16, or floats in 0..1")
    shape = list(values.shape)
    grey = values.ndim in (2, 3) or (values.ndim == 4 and shape[1] == 1)
    if not grey or 0 in shape[-2:] or (values.ndim == 3 and shape[-1] in (3, 4)):
        raise RequestError(
            f"images of shape {shape} are not taken; give grey [H, W], [N, H, W] or [N, 1, H, W], "
            "or colour as PIL images"
        )
    if values.dtype.kind == "f":
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            low, high = values.min(), values.max()
            raise RequestError(f"float images reach from {low:g} to {high:g}; scale them to 0..1, or give uint8")
        values = values.astype(np.float32)
    yield from np.ascontiguousarray(values).reshape(-1, *shape[-2:])
