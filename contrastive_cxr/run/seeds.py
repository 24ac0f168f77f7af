"""Randomness without a state: every draw comes from a key, hashed to a generator."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def key(seed: int, *parts: str | int) -> int:
    """Hash a seed and what the draw is for (phase, epoch, step, purpose) to a seed of its own.

    Returns
    -------
    int
        0 <= key < 2**63; the same on every machine.

    Examples
    --------
    >>> key(0, "pretrain", 3) == key(0, "pretrain", 3)
    True
    >>> key(0, "pretrain", 3) == key(0, "embed", 3)
    False
    """
    # int(): repr(numpy.int64(3)) is not repr(3)
    words = tuple(part if isinstance(part, str) else int(part) for part in (seed, *parts))
    digest = hashlib.blake2b(repr(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *parts: str | int) -> torch.Generator:
    """A torch generator on the CPU, seeded by the key."""
    return torch.Generator().manual_seed(key(seed, *parts))


def numpy_generator(seed: int, *parts: str | int) -> np.random.Generator:
    """A NumPy generator, seeded by the key."""
    return np.random.default_rng(key(seed, *parts))


@contextmanager
def globals_from(seed: int, *parts: str | int) -> Iterator[None]:
    """Seed the global generators by the key, then put them back as they were.

    Python's, NumPy's, torch's on the CPU and on the current CUDA device: for what knows no other, such as dropout.
    """
    number = key(seed, *parts)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # an uninitialised CUDA is left alone: forking would create its context for a run on the CPU
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number % 2**32)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
