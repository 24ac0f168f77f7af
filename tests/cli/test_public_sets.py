"""`ccxr data sets` lists the public sets, and `ccxr data sets show NAME` says all that a page holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contrastive_cxr.recipe import public_sets
from contrastive_cxr.recipe.text.yaml_text import parse


def test_every_set_is_listed(ccxr: Callable[..., tuple[int, str, str]]) -> None:
    code, out = ccxr("data", "sets")[:2]
    assert code == 0
    assert [name for name in public_sets.names() if f"\n{name} " not in out] == []


@pytest.mark.parametrize("name", public_sets.names())
def test_a_set_is_shown_with_the_settings_that_read_it(ccxr: Callable[..., tuple[int, str, str]], name: str) -> None:
    page = public_sets.page(name)
    code, out = ccxr("data", "sets", "show", name)[:2]
    assert code == 0
    for text in (page.title, page.where, page.terms, page.layout, page.checked, *page.traps):
        assert text in out
    shown = out.partition("may be given anew:\n")[2].partition("\n\n")[0].partition("\nTask:")[0]
    assert parse(shown) == page.data, "what is shown is what is read"
    assert [task for task in page.tasks if f"task={name}/{task}" not in out] == []
