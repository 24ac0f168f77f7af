"""What the settings of image shards have to be to a recipe's batches."""

from __future__ import annotations

from collections.abc import Iterator

from contrastive_cxr.recipe.schema import Recipe


def faults(recipe: Recipe) -> Iterator[str]:
    """A shuffle buffer that is below a batch, which is drawn from it."""
    if recipe.data.shards is None:
        return
    buffer = recipe.data.shuffle_buffer
    for name in recipe.phases:
        images = recipe.phase(name).batch_images(len(recipe.task.names))
        if images > buffer:
            yield (
                f"`data.shuffle_buffer`: {buffer} is below the {images} images of a batch of {name}; a batch is drawn "
                "from the buffer, so set it to that at least, better to ten times as much"
            )
