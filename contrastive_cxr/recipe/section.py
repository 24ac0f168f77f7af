"""What every part of a recipe is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

import contrastive_cxr.recipe.text.yaml_text as yaml_text


class Section(BaseModel):
    """A part of a recipe: no unknown key, no change after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook shows: the settings as they stand in a recipe file, not one line of thousands of letters."""
        printer.text(yaml_text.write(self.model_dump(mode="json")).rstrip())
