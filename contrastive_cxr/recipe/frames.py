"""The choice of frames as a command's option gives it, where there is no recipe."""

from __future__ import annotations

import json

import yaml
from pydantic import TypeAdapter, ValidationError

import contrastive_cxr.recipe.text.yaml_text as yaml_text
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.source import FrameRange, FramesChoice


def frames_of(text: str | None) -> str | int | FrameRange | None:
    """The value of `--frames`, written as that of `data.frames`; None where it is not given.

    Raises
    ------
    RequestError
        It is no such choice.

    Examples
    --------
    >>> frames_of("middle"), frames_of("12"), frames_of("{start: 25, unit: percent}").unit
    ('middle', 12, 'percent')
    """
    if text is None:
        return None
    try:
        found: str | int | FrameRange = TypeAdapter(FramesChoice).validate_json(
            json.dumps(yaml_text.parse(text)), strict=True
        )
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise RequestError(
            f"--frames {text}: is no choice of frames; write all, middle, a number counted from 0, or "
            "'{start: 25, stop: 75, step: 2, unit: percent}'"
        ) from error
    return found
