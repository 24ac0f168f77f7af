"""What scikit-learn hands to an estimator of images, as one picture a sample; labels and groups of the same count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from contrastive_cxr.errors import RequestError, raise_faults

if TYPE_CHECKING:
    from contrastive_cxr.retrieval.image_inputs import Item


class InputError(RequestError, ValueError):
    """Wrong parameters or samples: every fault at once, and a `ValueError`, which scikit-learn expects."""


@contextmanager
def as_input_errors() -> Iterator[None]:
    """A `RequestError` from inside becomes an `InputError` with the same faults."""
    try:
        yield
    except InputError:
        raise
    except RequestError as error:
        raise InputError(*error.faults) from error


def pictures(samples: Any) -> list[Item]:
    """One picture a sample: a path, a PIL image, or a grey array [H, W].

    Parameters
    ----------
    samples : array, tensor, Series, DataFrame of one column, or sequence
        Arrays and tensors of numbers: [N, H, W] or [N, 1, H, W], uint8, uint16, or floats in 0..1. Others: N paths, PIL
        images or arrays [H, W].

    Raises
    ------
    InputError
        It is one picture and not several, there are none, or a sample is no picture; every such sample is named.
    """
    from PIL import Image

    if isinstance(samples, str | os.PathLike | Image.Image):
        raise InputError(f"X is one image ({type(samples).__name__}); give a list of images, such as [X]")
    if samples is None or not (hasattr(samples, "__len__") or hasattr(samples, "__iter__")):
        raise InputError(f"X is {type(samples).__name__}; give a list of paths, PIL images or arrays, or one array")
    if hasattr(samples, "tocsr"):
        raise InputError("X is a sparse matrix; images are dense: give an array [N, H, W], or paths")
    if isinstance(samples, pd.DataFrame | pd.Series):
        samples = samples.to_numpy(dtype=object)
    shape = getattr(samples, "shape", None)
    if shape is not None and _is_text_or_object(samples):
        if len(shape) == 2 and shape[1] == 1:
            samples = samples[:, 0]
        elif len(shape) != 1:
            raise InputError(f"X has shape {list(shape)}; give one column of paths or images")
    elif shape is not None:
        return _of_array(samples)
    return _of_sequence(list(samples))


def _is_text_or_object(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "OUS"


def _of_array(samples: Any) -> list[Item]:
    """The pictures of an array or tensor of numbers."""
    from contrastive_cxr.retrieval.image_inputs import items

    shape = list(samples.shape)
    if len(shape) < 3:
        cure = "Reshape your data" + (", one image to X[None]" if len(shape) == 2 else "")
        raise InputError(f"X has shape {shape}, and images have [N, H, W] or [N, 1, H, W]. {cure}")
    if 0 in shape:
        raise InputError(f"X has shape {shape}, which is no image (minimum of 1 is required); give at least one")
    values = np.asarray(samples)
    known = np.isfinite(values.reshape(len(values), -1)).all(axis=1) if values.dtype.kind == "f" else True
    unknown = np.flatnonzero(~np.broadcast_to(known, len(values)))
    if len(unknown):
        raise InputError(f"X holds NaN or inf in {len(unknown)} of {len(values)} images, first X[{unknown[0]}]")
    with as_input_errors():
        return items(samples)


def _of_sequence(samples: list[Any]) -> list[Item]:
    """The pictures of a sequence, a sample each."""
    from PIL import Image

    from contrastive_cxr.retrieval.image_inputs import items

    if not samples:
        raise InputError("X holds 0 samples, a minimum of 1 is required; give at least one image")
    found: list[Item] = []
    faults: list[str] = []
    for place, sample in enumerate(samples):
        if not isinstance(sample, str | os.PathLike | Image.Image) and not hasattr(sample, "shape"):
            faults.append(f"X[{place}] is {sample!r:.60}, which is no path, PIL image or array [H, W]")
            continue
        try:
            one = items(sample)
        except RequestError as error:
            faults += [f"X[{place}]: {fault}" for fault in error.faults]
            continue
        if len(one) == 1:
            found += one
        else:
            faults.append(f"X[{place}] is an array of {len(one)} images; give one image [H, W] a sample")
    with as_input_errors():
        raise_faults(faults)
    return found


def names_of_groups(groups: Any, count: int, what: str = "groups") -> list[str]:
    """A name for each sample's group, as text; '' where it is None, NaN or '' (not known).

    Raises
    ------
    InputError
        There are more or fewer than `count`.
    """
    found = list(groups)
    if len(found) != count:
        raise InputError(f"{what} has {len(found)} entries and X {count} samples; give one a sample")
    return ["" if each is None or each != each else str(each) for each in found]


def labels_of(labels: Any, count: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The classes, sorted, and each sample's class number, int64 [N].

    Raises
    ------
    ValueError
        There are no labels, not as many as samples, unknown ones (NaN), or numbers that are no classes.
    """
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import column_or_1d

    if labels is None:
        raise InputError("fit requires y to be passed, but the target y is None; give one label a sample")
    known = column_or_1d(labels, warn=True)
    if len(known) != count:
        raise InputError(f"y has {len(known)} labels and X {count} samples; give one a sample")
    unknown = np.flatnonzero(pd.isna(known))
    if len(unknown):
        raise InputError(
            f"y holds no label (NaN or None) in {len(unknown)} places, first y[{unknown[0]}]; leave them out"
        )
    check_classification_targets(known)
    classes, numbers = np.unique(known, return_inverse=True)
    return classes, numbers.astype(np.int64)
