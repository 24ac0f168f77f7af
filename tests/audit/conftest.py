from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.audit import links
from contrastive_cxr.data import cache, phantom, sources, survey
from contrastive_cxr.recipe.schema import Data
from tests.audit.planted import KINDS


@dataclass(frozen=True)
class Planted:
    """Phantoms and copies of them, audited: the table, the links, and {(path of the original, of the copy): kind}."""

    table: pd.DataFrame
    images: np.ndarray
    slots: np.ndarray
    links: links.Links
    truth: dict[tuple[str, str], str]


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """60 phantoms, and two copies of each kind among them, each a file of its own."""
    root = tmp_path_factory.mktemp("planted")
    phantom.paint(root, 60, 0)
    rng = np.random.default_rng(0)
    rows = pd.read_csv(root / "labels.csv", dtype=str)[["file", "label", "patient"]]
    truth, more = {}, []
    for kind, change in KINDS.items():
        for number in rng.choice(60, 2, replace=False):
            name = f"images/{kind.replace(', ', '-').replace(' ', '-')}-{number}.png"
            Image.fromarray(change(np.asarray(Image.open(root / rows["file"][number])), rng)).save(root / name)
            truth[rows["file"][number], name] = kind
            more.append({"file": name, "label": rows["label"][number], "patient": ""})
    pd.concat([rows, pd.DataFrame(more)]).to_csv(root / "labels.csv", index=False)
    data = Data(source="csv", root=root, cache_size=128, cache_dir=Path(root / "cache"), workers=1)
    manifest = sources.read_data(data)
    cached = cache.build(manifest, data)
    table = survey.table_of(manifest, cached)
    return Planted(table, cached.images, cached.slots, links.find(cached.images, cached.slots, table), truth)
