"""Attributes of a DICOM file: an empty one is an absent one, and a value that is no number is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contrastive_cxr.data.decoding.intensity import DecodeError

CORRECT = "correct it in the file"
UNREAD = f"{CORRECT}, or set data.intensity.kind=min-max, which does not read it"


def named(keyword: str) -> str:
    """A keyword as the standard writes it.

    Examples
    --------
    >>> named("WindowWidth"), named("VOILUTFunction")
    ('Window Width', 'VOI LUT Function')
    """
    from pydicom.datadict import dictionary_description, tag_for_keyword

    tag = tag_for_keyword(keyword)
    return keyword if tag is None else dictionary_description(tag)


def numbers(data: Any, keyword: str, cure: str = UNREAD) -> list[float]:
    """The values of an attribute; empty where it is absent or has none.

    Raises
    ------
    DecodeError
        A value is no number; `cure` says what to do.
    """
    value = data.get(keyword)
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    found = []
    for one in several:
        if one is None or str(one).strip() == "":
            continue
        try:
            found.append(float(one))
        except (TypeError, ValueError) as error:
            raise DecodeError(f"has {named(keyword)} '{one}', which is no number; {cure}") from error
    return found


def number(data: Any, keyword: str, cure: str = UNREAD) -> float | None:
    """The first value of an attribute; None where it is absent or has none. Raises as `numbers` does."""
    found = numbers(data, keyword, cure)
    return found[0] if found else None


def whole(data: Any, keyword: str, otherwise: int) -> int:
    """The first value of an attribute as a whole number; `otherwise` where it is absent or has none."""
    found = number(data, keyword, CORRECT)
    return otherwise if found is None else int(found)


def word(data: Any, keyword: str) -> str:
    """A text in capitals, '' where it is absent or has none."""
    return str(data.get(keyword) or "").strip().upper()


def tables(data: Any, keyword: str) -> list[Any]:
    """The items of a sequence of lookup tables that hold one; an item without a table is an absent one."""
    return [item for item in data.get(keyword) or () if item.get("LUTDescriptor") and item.get("LUTData") is not None]


def group(data: Any, keyword: str, frame: int = 0) -> Any:
    """The functional group of a frame: its own, else the one that all frames share, else the file itself.

    Parameters
    ----------
    keyword : str
        The sequence that holds the group, such as `FrameVOILUTSequence`.
    frame : int
        From 0.
    """
    own, shared = data.get("PerFrameFunctionalGroupsSequence") or (), data.get("SharedFunctionalGroupsSequence") or ()
    for item in (*own[frame : frame + 1], *shared[:1]):
        found = item.get(keyword)
        if found:
            return found[0]
    return data
