"""Bytes as each file of a gallery, with digests that fit, so that the digest hides nothing."""

from __future__ import annotations

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from contrastive_cxr.retrieval import Gallery

FILES = {
    b"v": "vectors.npy",
    b"r": "rows.csv",
    b"g": "gallery.json",
    b"i": "index.json",
    b"f": "index.faiss",
    b"k": "index-keys.npy",
    b"n": ".all.renames",
}
ROWS, WIDTH = 90, 4


def run(content: bytes) -> None:
    """Put the content in the place of one file, named by the first byte, load the gallery, and search in it."""
    name, rest = FILES.get(content[:1]), content[1:]
    if name is None:
        return
    folder, files = _scratch() / "gallery", dict(_saved())
    files[name] = rest
    if name in ("vectors.npy", "rows.csv"):
        files["gallery.json"] = _fitting(files["gallery.json"], name, rest)
    for path in folder.iterdir():
        path.unlink()
    for each, data in files.items():
        (folder / each).write_bytes(data)
    gallery = Gallery.load(folder)
    query = np.eye(1, gallery.vectors.shape[1], dtype=np.float32)
    found = gallery.search(query, 3, exclude_patients=["P1"])
    assert len(found) == 1, "one query has one answer"
    assert len(gallery.rows) == len(gallery.vectors), "a row without a vector"


def seeds() -> dict[str, bytes]:
    """Each file of a small gallery as it is written, and some that lie."""
    saved = _saved()
    found = {name: word + saved[name] for word, name in FILES.items() if name in saved}
    header = saved["vectors.npy"]
    found["vectors-lying"] = b"v" + header.replace(b"(89, 4)", b"(9000000000, 4)")
    found["vectors-objects"] = b"v" + header.replace(b"<f4", b"|O8")
    found["vectors-float64"] = b"v" + header.replace(b"<f4", b"<f8")
    found["keys"] = b"k" + header
    found["renames"] = b"n" + json.dumps({"rows.csv": "rows.csv", "../a": "/b"}).encode()
    record = json.loads(saved["gallery.json"])
    for kind in ("exact", "hnsw", "ivf-pq"):
        found[f"record-{kind}"] = b"g" + json.dumps(record | {"kind": kind}).encode()
    return found


def _fitting(record: bytes, name: str, data: bytes) -> bytes:
    digest = {f"{name.partition('.')[0]}_sha256": hashlib.sha256(data).hexdigest(), "stamps": {}}
    return json.dumps(json.loads(record) | digest).encode()


@cache
def _saved() -> dict[str, bytes]:
    """The files of a small gallery with an index."""
    vectors = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = pd.DataFrame({"label": ["a", "b", "c"] * 30, "patient": [f"P{row // 3}" for row in range(ROWS)]})
    rows["path"] = [f"{row}.png" for row in range(ROWS)]
    gallery = Gallery.build(vectors, rows, kind="ivf")
    gallery.remove([3])
    gallery.save(_scratch() / "gallery")
    return {path.name: path.read_bytes() for path in sorted((_scratch() / "gallery").iterdir())}


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-gallery-"))
