"""How a classifier's scores become probabilities: decided by the loss that it was trained with, stored in its card."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional

Link = Literal["softmax", "sigmoid", "margin"]
LINKS: tuple[str, ...] = get_args(Link)


def probabilities(scores: Tensor, link: str) -> Tensor:
    """Class probabilities of a classifier's scores; within a row they keep the order of the scores.

    `softmax` is cross-entropy's. `sigmoid`: one sigmoid a class, divided by their sum, as BCE learns each class against
    the rest. `margin`: the same of twice the score. Hinge losses give scores, not probabilities: -1 and +1, the two
    sides of the margin, become 0.12 and 0.88 before the division. That keeps the ranking, but it is not calibrated.

    Parameters
    ----------
    scores : float [B, C]
        The classifier's logits.
    link : str
        One of `LINKS`.

    Returns
    -------
    float32 [B, C]
        Rows add up to 1.

    Examples
    --------
    >>> import torch
    >>> probabilities(torch.tensor([[0.0, 0.0]]), "margin").tolist()
    [[0.5, 0.5]]
    """
    assert link in LINKS, f"link '{link}' is not one of {LINKS}"
    scores = scores.float()
    if link == "softmax":
        return scores.softmax(dim=1)
    # sigmoids divided by their sum, in logarithms: where all of them are tiny their sum is 0
    return functional.logsigmoid(scores if link == "sigmoid" else 2 * scores).softmax(dim=1)
