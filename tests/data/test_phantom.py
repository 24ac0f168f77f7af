from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from contrastive_cxr.data import phantom


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    phantom.paint(folder, 600, 0)
    return folder


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)


def test_pictures_are_grey_and_classes_even(painted: Path) -> None:
    rows = table(painted)
    assert len(rows) == 600, "one row a picture"
    assert rows["label"].value_counts().between(195, 205).all(), "classes are even"
    assert 1.4 < len(rows) / rows["patient"].nunique() < 1.65, "about 1.5 pictures a patient"
    assert (rows.groupby("patient")["label"].nunique() == 1).all(), "a patient has one class"
    with Image.open(painted / rows["file"][0]) as picture:
        assert (picture.mode, picture.size, picture.format) == ("L", (128, 128), "PNG"), "8-bit grey PNG of 128 pixels"


def test_same_seed_paints_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        phantom.paint(tmp_path / name, 12, seed)
    files = [path.relative_to(tmp_path / "a") for path in sorted((tmp_path / "a").rglob("*.*"))]
    assert len(files) == 13, "12 pictures and a table"
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files), "seed repeats"
    assert (tmp_path / "a" / files[0]).read_bytes() != (tmp_path / "c" / files[0]).read_bytes(), "seed matters"


def test_boxes_hold_the_fine_texture(painted: Path) -> None:
    rows = table(painted)
    boxes = phantom.lesion_boxes(rows)
    normal = (rows["label"] == "normal").to_numpy()
    assert np.isnan(boxes[normal]).all(), "no lesion, no box"
    assert np.isfinite(boxes[~normal]).all(), "each lesion has a box"
    for label in ("nodule", "opacity"):
        inside, mirrored = [], []
        for row in np.flatnonzero(rows["label"] == label)[:40]:
            pixels = np.asarray(Image.open(painted / rows["file"][row]), dtype=float)
            edges = np.abs(np.diff(pixels, axis=1))
            x0, y0, x1, y1 = boxes[row].astype(int)
            assert 0 <= x0 < x1 <= 128, f"box {boxes[row]} lies in the picture"
            assert 0 <= y0 < y1 <= 128, f"box {boxes[row]} lies in the picture"
            inside.append(edges[y0:y1, x0:x1].mean())
            mirrored.append(edges[:, ::-1][y0:y1, x0:x1].mean())  # the same place in the other lung
        assert np.mean(inside) > 1.15 * np.mean(mirrored), f"{label}: more edges in the box than in the other lung"


def test_blind_thumbnail_forest_reaches_060_to_080(painted: Path) -> None:
    rows = table(painted)
    pictures = [Image.open(painted / name).resize((32, 32), Image.Resampling.BILINEAR) for name in rows["file"]]
    thumbnails = np.stack([np.asarray(picture).ravel() for picture in pictures])
    labels = rows["label"].to_numpy()
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0).split(thumbnails, labels, rows["patient"])
    right = []
    for train, test in list(folds)[:1]:
        forest = RandomForestClassifier(300, random_state=0).fit(thumbnails[train], labels[train])
        right += list(forest.predict(thumbnails[test]) == labels[test])
    assert 0.60 <= np.mean(right) <= 0.80, f"thumbnail accuracy {np.mean(right):.3f} is not in 0.60 to 0.80"
