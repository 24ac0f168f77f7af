"""Keys and generators."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from contrastive_cxr.run import seeds


def test_key_is_the_hash_of_its_parts() -> None:
    digest = hashlib.blake2b(b"(3, 'embed', 7)", digest_size=8).digest()
    expected = sum(byte << 8 * place for place, byte in enumerate(reversed(digest))) // 2
    assert seeds.key(3, "embed", 7) == expected
    assert seeds.key(3, "embed", int(np.int64(7))) == seeds.key(3, "embed", np.int64(7))


def test_keys_do_not_meet() -> None:
    keys = {seeds.key(s, p, e, t) for s in range(3) for p in ("pretrain", "embed") for e in range(5) for t in range(50)}
    assert len(keys) == 3 * 2 * 5 * 50
    assert all(0 <= key < 2**63 for key in keys)
    assert seeds.key(1, "1") != seeds.key(1, 1)


def test_generators_repeat() -> None:
    assert torch.equal(
        torch.rand(3, generator=seeds.generator(0, "a")), torch.rand(3, generator=seeds.generator(0, "a"))
    )
    assert np.array_equal(seeds.numpy_generator(0, "a").random(3), seeds.numpy_generator(0, "a").random(3))


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_globals_are_seeded_and_put_back() -> None:
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = draw()
    with seeds.globals_from(0, "x"):
        inside = draw()
    assert [first, draw()] == expected
    with seeds.globals_from(0, "x"):
        assert draw() == inside
    with seeds.globals_from(0, "y"):
        assert draw() != inside
