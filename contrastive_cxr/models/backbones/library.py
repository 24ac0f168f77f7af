"""What a module that holds networks by name offers: torchvision's, timm's, our own small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor, nn


class BackboneLibrary(Protocol):
    """What a module that holds networks by name can tell and do; its functions say more."""

    def names(self) -> list[str]: ...

    def side(self, name: str) -> int: ...

    def sized(self, name: str) -> bool: ...

    def grey_statistics(self, name: str) -> tuple[float, float]: ...

    def weights_url(self, name: str) -> str | None: ...

    def cached(self, name: str) -> tuple[Path, str] | None: ...

    def fitted(self, name: str, state: dict[str, Tensor], body: nn.Module) -> dict[str, Tensor]: ...

    def build(
        self,
        name: str,
        *,
        dropout: float | tuple[float, ...] = ...,
        image_size: int | None = ...,
        grey: bool = ...,
        drop_path: float | None = ...,
        pretrained: bool = ...,
    ) -> nn.Module: ...
