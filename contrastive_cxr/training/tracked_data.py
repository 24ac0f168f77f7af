"""The images of a run as its trackers name them: by content, without names and patients."""

from __future__ import annotations

import hashlib
from collections import Counter

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.run.tracked import DataFacts


def of(data: Dataset) -> DataFacts:
    """Digest, class and part of each image, sorted, and one digest over all of them."""
    table = data.manifest_table()
    digests = table["digest"] if "digest" in table else [""] * len(table)
    rows = sorted(zip(map(str, digests), table["class"], table["split"], strict=True))
    counts: dict[str, dict[str, int]] = {}
    for (part, name), number in sorted(Counter((part, name) for _, name, part in rows).items()):
        counts.setdefault(part, {})[name] = number
    text = "\n".join("\t".join(row) for row in rows)
    return DataFacts(hashlib.sha256(text.encode()).hexdigest(), counts, rows)
