"""What every part of a recipe is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe: no unknown key, no change after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
