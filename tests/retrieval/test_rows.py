"""Rows that somebody else wrote."""

from __future__ import annotations

import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval.rows import table


@pytest.mark.parametrize("number", ["9" * 30, "x", "1.5", "", -1, 2.0**70])
def test_ids_that_are_no_whole_numbers_of_64_bits_are_refused(number: object) -> None:
    with pytest.raises(RequestError, match="id"):
        table(pd.DataFrame({"id": [0, number], "label": "a"}))
