"""`model.json`: what a file of weights is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contrastive_cxr.models.links import Link
from contrastive_cxr.models.network import Network
from contrastive_cxr.models.spec import Spec

Width = Annotated[int, Field(ge=1, le=1 << 20)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]


class Card(BaseModel):
    """The record beside `model.safetensors`; keys of a caller's own are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    format: Literal[1] = Field(1, description="version of this record")
    version: str = Field(description="version of contrastive_cxr that wrote it")
    phase: str = Field(description="phase that made the weights")
    task: str | dict[str, Any] = Field(description="the task, or its name")
    backbone: str = Field(description="torchvision's name, timm/NAME, or one of ours")
    image_size: Annotated[int, Field(ge=32, le=2048)] = Field(description="side of the input, pixels")
    dropout: Rate | tuple[Rate, Rate, Rate] = Field(description="drop rate inside the backbone, or our own three")
    projection: tuple[Width, ...] = Field(description="widths of the projection; empty: none")
    classes: tuple[str, ...] = Field(description="names of the classes, in the order of the logits; empty: no head")
    hidden: tuple[Width, ...] = Field(description="widths of the head's hidden layers")
    link: Link = Field("softmax", description="how the logits become probabilities, a word of models.links")
    costs: dict[str, dict[str, float]] = Field({}, description="decision costs, as the recipe's evaluation.costs")
    tta: str = Field("none", description="test-time augmentation set of predictions")
    mean: Annotated[float, Field(ge=0.0, le=1.0)] = Field(description="input mean, in 0..1")
    std: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="input deviation, in 0..1")
    width: Width = Field(description="channels of the features")
    embedding_size: Width = Field(description="dimensions of the embedding")
    decode: dict[str, Any] = Field(description="the fields of schema.Data that decode a file the same way")
    channels_last: bool = Field(description="NHWC memory layout in training")
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(description="digest of model.safetensors")

    @model_validator(mode="after")
    def _one_class(self) -> Card:
        if len(self.classes) == 1:
            raise ValueError(f"classes {list(self.classes)}: a head needs at least two, or none")
        return self

    @classmethod
    def of(cls, network: Network, facts: dict[str, Any]) -> Card:
        """The card of a network: its shape, and `facts` that it does not know itself."""
        spec = network.spec
        shape = {
            "backbone": spec.backbone,
            "image_size": spec.image_size,
            "dropout": spec.dropout,
            "projection": spec.projection,
            "hidden": spec.hidden,
            "mean": spec.mean,
            "std": spec.std,
            "width": network.width,
            "embedding_size": network.embedding_size,
        }
        card = cls.model_validate(facts | shape)
        assert len(card.classes) == spec.classes, f"{len(card.classes)} class names for {spec.classes} logits"
        return card

    def spec(self) -> Spec:
        """The shape of the network."""
        return Spec(
            backbone=self.backbone,
            image_size=self.image_size,
            dropout=self.dropout,
            projection=self.projection,
            classes=len(self.classes),
            hidden=self.hidden,
            mean=self.mean,
            std=self.std,
        )
