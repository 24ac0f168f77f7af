"""Plain words for an embedding that has stopped learning."""

from __future__ import annotations

from collections.abc import Mapping

from contrastive_cxr.recipe.schema import Embed

COLLAPSED_SPREAD = 0.05
NEAR_MARGIN = 0.1


def words(epoch: Mapping[str, float], embed: Embed) -> str | None:
    """Say in one sentence what is wrong with an epoch of training, or None.

    Parameters
    ----------
    epoch : mapping of str to float
        Means over the epoch's steps: `loss`, `mined` and `spread`; other keys are left alone.
    embed : Embed
        The phase's settings; the margin is looked at where the loss is `triplet`.

    Returns
    -------
    str or None
        Collapse (spread near 0, and the triplet loss at the margin or nothing mined), or an epoch without triplets.

    Examples
    --------
    >>> words({"loss": 0.5, "mined": 64.0, "spread": 0.001}, Embed(margin=0.5))[:8]
    'collapse'
    >>> words({"loss": 0.1, "mined": 64.0, "spread": 0.9}, Embed(margin=0.5)) is None
    True
    """
    loss, mined, spread = epoch["loss"], epoch["mined"], epoch["spread"]
    triplet = embed.loss == "triplet"
    at_margin = abs(loss - embed.margin) <= NEAR_MARGIN * embed.margin
    if spread < COLLAPSED_SPREAD and (at_margin or mined == 0 or not triplet):
        level = f", the loss {loss:.3g} at a margin of {embed.margin:.3g}" if triplet else ""
        easier = ", or use mining 'random' or 'semihard'" if embed.mining in ("hard", "batch-hard") and triplet else ""
        return (
            f"collapse: all images get nearly the same embedding (spread {spread:.3g}{level}); "
            f"lower the learning rate{easier}"
        )
    if mined == 0:
        return (
            f"nothing was learned: no anchor had a positive and a negative that {'mining' if triplet else 'loss'} "
            f"'{embed.mining if triplet else embed.loss}' can use; make the batches larger, "
            f"{'use another mining, or ' if triplet else ''}check that each holds more than one class and patient"
        )
    return None
