from __future__ import annotations

import pytest

from contrastive_cxr.data.decoding.decode import LARGEST
from contrastive_cxr.errors import RequestError
from contrastive_cxr.server.limits import MOST_PIXELS, Limits


def test_every_wrong_limit_is_named_at_once() -> None:
    Limits(rate=0, batch_seconds=0).check()
    with pytest.raises(RequestError) as refused:
        Limits(files=0, rate=-1, answer_seconds=float("nan"), pixels=2**27, request_bytes=2**40).check()
    words = [fault.split()[0] for fault in refused.value.faults]
    assert words == ["files", "rate", "answer_seconds", "pixels", "request_bytes"]


def test_the_most_pixels_are_those_of_the_decoder() -> None:
    assert MOST_PIXELS == LARGEST
