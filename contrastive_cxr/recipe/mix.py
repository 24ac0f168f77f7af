"""Mixed training images: mixup and cutmix."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contrastive_cxr.recipe.section import Section


class Mix(Section):
    """Pairs of training images mixed into one; where both are set, each batch draws one of the two."""

    mixup: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="alpha of Beta(alpha, alpha), of which the share of the first image is drawn; 0: no mixup"
    )
    cutmix: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="alpha of Beta(alpha, alpha), of which the share left of an image is drawn; 0: no cutmix"
    )
    probability: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="share of the batches that are mixed, above 0 to 1"
    )

    @property
    def on(self) -> bool:
        """Whether any batch is mixed."""
        return self.mixup > 0 or self.cutmix > 0
