"""An endless walk through the images of a class, as batches of P classes x K images take them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Walk:
    """An endless walk through the rows of one class, in an order that is drawn anew each time they are used up.

    Parameters
    ----------
    rows : int64 [n]
        The rows of the class.
    order : callable
        `order(rows) -> int64 [n]`: the rows in a new order.
    """

    def __init__(self, rows: Rows, order: Callable[[Rows], Rows]) -> None:
        self.rows = rows
        self.order = order
        self.ahead = order(rows)

    def take(self, count: int) -> Rows:
        """The next `count` rows, all distinct; `count` is at most n."""
        taken, self.ahead = self.ahead[:count], self.ahead[count:]
        missing = count - len(taken)
        if missing:
            order = self.order(self.rows)
            seen = np.isin(order, taken)
            order = np.concatenate([order[~seen], order[seen]])
            taken, self.ahead = np.concatenate([taken, order[:missing]]), order[missing:]
        return taken
