"""A small report of robustness: three kinds of change, of which crops cost."""

from __future__ import annotations

from typing import Any

import numpy as np

from contrastive_cxr.metrics import robustness
from contrastive_cxr.metrics.robustness import Case
from contrastive_cxr.report.facts import robust_words
from contrastive_cxr.run.folder import plain

CASES = (
    *(
        Case("crop", n, 5.0 * n, "% of each side", "crop of all sides", f"a {5 * n} % crop of all sides")
        for n in (1, 2, 3)
    ),
    *(Case("noise", n, float(n), "% of the range", "Gaussian noise", f"Gaussian noise of {n} %") for n in (1, 2, 3)),
    Case("equalise", 1, None, "", "histogram equalisation", "histogram equalisation"),
)


def facts(n: int = 300) -> dict[str, Any]:
    """As the report's field `robustness`: crops turn 5, 20 and 40 % of the decisions, noise and equalisation none."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, n)
    clean = 0.1 + np.eye(3)[np.where(rng.random(n) < 0.9, labels, (labels + 1) % 3)]
    turned = [clean.copy() for _ in CASES]
    for number, share in enumerate((0.05, 0.2, 0.4)):
        rows = rng.random(n) < share
        turned[number][rows] = np.roll(clean[rows], 1, axis=1)
    found = robustness.report(clean, np.stack(turned), labels, CASES, resamples=200)
    return dict(plain({**found, "sentences": robust_words.sentences(found)}))
