"""Bytes as a table of images, as the names of a folder of images, as COVID-CT lists."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from contrastive_cxr.data import manifest
from contrastive_cxr.data.sources import read_data
from contrastive_cxr.recipe.schema import Data

IMAGES = ("a.png", "b.png", "deep/c.png", "deep/é d.png")
NAMES = 16  # entries of a listing that are made


def run(content: bytes) -> None:
    """Read one layout, named by the first byte; what is read is written and must come back as it was."""
    word, rest = content[:1], content[1:]
    if word == b"c":
        (_scratch() / "table" / "labels.csv").write_bytes(rest)
        found = read_data(Data(source="csv", root=_scratch() / "table"))
        assert {Path(path) for path in found.rows["path"]} <= set(map(Path, IMAGES)), "a row outside the root"
    elif word == b"f":
        found = read_data(Data(source="folders", root=_listed(rest)))
    elif word == b"l":
        lists = _scratch() / "lists"
        (lists / "Data-split" / "COVID" / "trainCT_COVID.txt").write_bytes(rest)
        found = read_data(Data(source="covid-ct", root=lists))
    elif word == b"p":
        lists = _scratch() / "patients"
        (lists / "patients.csv").write_bytes(rest)
        found = read_data(Data(source="covid-ct", root=lists))
    else:
        return
    again = _scratch() / "again.csv"
    manifest.write(found, again)
    assert manifest.read(again).rows.equals(found.rows), "written and read, the rows differ"


def seeds() -> dict[str, bytes]:
    """Tables, listings and lists as users write them."""
    tables = {
        "plain": "file,label\na.png,covid\nb.png,normal\n",
        "all": "path,label,patient,split,age\na.png,x,007,train,7\nb.png,y,,val,\ndeep/c.png,x,1,test,1e5\n",
        "quoted": 'image,label\n"deep/é d.png","a,b ""c"""\n',
        "bom": "\ufefffile,label\r\na.png,1\r\nb.png,NA\r\n",
        "climbs": "file,label\n../a.png,x\n/etc/passwd,y\n",
        "formula": "file,label\na.png,=1+1\nb.png,@x\n",
        "twice": "file,label\na.png,x\n./a.png,y\n",
    }
    listings = {
        "classes": "normal/1.png\nnormal/2.jpg\ncovid/3.dcm\n",
        "split": "train/a/1.png\ntrain/b/2.png\nval/a/3.png\ntest/b/4.PNG\n",
        "odd": "a b/1 .png\n<script>/é.png\n.hidden/1.png\nx/.h.png\n",
    }
    found = {f"table-{name}": b"c" + text.encode() for name, text in tables.items()}
    found |= {f"listing-{name}": b"f" + text.encode() for name, text in listings.items()}
    found["lists"] = b"l" + b"1.png\n2.png\r\n\n"
    found["patients"] = b"p" + b"file,patient\nCT_COVID/1.png,9\n"
    return found


@cache
def _scratch() -> Path:
    """A folder of images that stays, and beside it one that is made anew."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-manifest-"))
    for name in (*(f"table/{image}" for image in IMAGES), "lists/CT_COVID/1.png", "lists/CT_COVID/2.png"):
        _image(folder / name)
    (folder / "lists" / "Data-split" / "COVID").mkdir(parents=True)
    (folder / "lists" / "Data-split" / "COVID" / "trainCT_COVID.txt").write_text("1.png\n2.png\n")
    shutil.copytree(folder / "lists", folder / "patients")
    return folder


def _listed(names: bytes) -> Path:
    """A folder with files of these names (one a line), as far as the file system takes them."""
    root = _scratch() / "listed"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name in names.split(b"\n")[:NAMES]:
        parts = [part for part in name.split(b"/") if part not in (b"", b".", b"..")]
        if not parts or b"\0" in name:
            continue
        try:
            _image(root.joinpath(*(part.decode("utf-8", "surrogateescape") for part in parts)))
        except OSError:  # too long, or a file stands where a folder is wanted
            continue
    return root


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
