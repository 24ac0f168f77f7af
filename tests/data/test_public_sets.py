"""The public sets whose real tables the package torchxrayvision ships, against counts by pandas alone.

A sample of each table is read over painted images that lie as the set's own do; marked slow, the whole tables, with
the folders written down and no image.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.data import manifest as manifests
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.sources import read
from contrastive_cxr.data.tables import split_lists, table_rows
from contrastive_cxr.recipe import public_sets
from contrastive_cxr.recipe.schema import Source
from contrastive_cxr.tasks import Task

FOUND = importlib.util.find_spec("torchxrayvision")
SHIPPED = Path(FOUND.origin).parent / "data" if FOUND is not None and FOUND.origin else None
pytestmark = pytest.mark.skipif(SHIPPED is None, reason="torchxrayvision is not installed")
Table = pd.DataFrame


@dataclass(frozen=True)
class Real:
    """A real table: its file, the column that a sample keeps whole, each row's file, its patient, and its class."""

    file: str
    by: str
    place: Callable[[pd.Series[Any]], str]
    patient: Callable[[Table], pd.Series[Any]] | None
    task: str = ""
    classes: Callable[[Table], pd.Series[Any]] | None = None
    image: str = ""
    lists: Callable[[Table], dict[str, list[str]]] = lambda table: {}


def nih_lists(table: Table) -> dict[str, list[str]]:
    """Lists as the official ones are: a patient's images in one of them, here by the last digit of the number."""
    test = table["Patient ID"].str[-1].isin(["0", "7"])
    return {"train": list(table["Image Index"][~test]), "test": list(table["Image Index"][test])}


def by_image(column: str, positive: Callable[[pd.Series[Any]], pd.Series[Any]]) -> Callable[[Table], pd.Series[Any]]:
    """1 where any row of an image is positive."""
    return lambda table: positive(table[column]).groupby(table.iloc[:, 0]).any().astype(int)


def chexpert(table: Table) -> pd.Series[Any]:
    cells = pd.to_numeric(table["Pneumonia"]).fillna(0)
    return cells[cells >= 0].astype(int)


def padchest(table: Table) -> pd.Series[Any]:
    lists = table["Labels"].dropna().map(lambda cell: {each.strip() for each in ast.literal_eval(cell)} - {""})
    mixed = lists.map(lambda found: "normal" in found and len(found) > 1)
    return lists[~mixed].map(lambda found: int(bool(found - {"normal"})))


def vinbigdata(table: Table) -> pd.Series[Any]:
    normal = (table["class_name"] == "No finding").groupby(table["image_id"]).agg(["all", "any"])
    return (~normal["all"])[normal["all"] == normal["any"]].astype(int)


SETS = {
    "nih": Real(
        "Data_Entry_2017_v2020.csv.gz", "Patient ID",
        lambda row: f"images_{1 + int(row['Patient ID']) % 12:03d}/images/{row['Image Index']}",
        lambda table: table["Patient ID"], "normal-against-any",
        lambda table: (table["Finding Labels"] != "No Finding").astype(int), lists=nih_lists,
    ),
    "chexpert": Real(
        "chexpert_train.csv.gz", "Path", lambda row: row["Path"],
        lambda table: table["Path"].str.split("/").str[2], "pneumonia", chexpert,
    ),
    "padchest": Real(
        "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", "PatientID",
        lambda row: f"{row['ImageDir']}/{row['ImageID']}",
        lambda table: table["PatientID"][table["Labels"].notna()], "normal-against-any", padchest,
    ),
    "vinbigdata": Real(
        "vinbigdata-train.csv.gz", "image_id", lambda row: f"train/{row['image_id']}.dicom", None,
        "normal-against-any", vinbigdata, "image_id",
    ),
    "rsna": Real(
        "kaggle_stage_2_train_labels.csv.zip", "patientId",
        lambda row: f"stage_2_train_images/{row['patientId']}.dcm", None, "opacity",
        by_image("Target", lambda cells: cells == "1"), "patientId",
    ),
    "siim": Real(
        "siim-pneumothorax-train-rle.csv.gz", "ImageId",
        lambda row: f"dicom-images-train/{row['ImageId'][::-1]}/1/{row['ImageId']}.dcm", None, "pneumothorax",
        by_image(" EncodedPixels", lambda cells: cells.str.strip() != "-1"), "ImageId",
    ),
    "nlm": Real(
        "NLMCXR_reports.tgz", "report", lambda row: f"{row['image']}.png", lambda table: labelled(table)["report"],
        "normal-against-any", lambda table: (labelled(table)["findings"] != "normal").astype(int),
    ),
}  # fmt: skip


def labelled(table: Table) -> Table:
    return table[~table["findings"].isin(["", "No Indexing"])]


def reports(rows: int | None) -> Table:
    """The reports of Open-i by regular expressions, without an XML parser; headings as the page's task reads them."""
    found = []
    assert SHIPPED is not None
    with tarfile.open(SHIPPED / "NLMCXR_reports.tgz") as archive:
        for member in archive:
            if not member.name.endswith(".xml") or (rows is not None and len(found) >= rows):
                continue
            file = archive.extractfile(member)
            assert file is not None
            text = file.read().decode()
            heads = [each.split("/")[0].strip() for each in re.findall(r"<major>(.*?)</major>", text, re.DOTALL)]
            report = re.findall(r'<uId id="(.*?)"', text)[0]
            for image in re.findall(r'<parentImage id="(.*?)"', text):
                found.append({"image": image, "report": report, "findings": "|".join(dict.fromkeys(heads))})
    return pd.DataFrame(found)


def real_table(real: Real, rows: int | None) -> Table:
    assert SHIPPED is not None
    if real.file.endswith(".tgz"):
        return reports(rows)
    return pd.read_csv(SHIPPED / real.file, dtype=str, nrows=rows)


def compare(found: Manifest, table: Table, name: str) -> None:
    """Images, patients, and classes of the page's first task, against pandas."""
    real = SETS[name]
    kept = table[table["Labels"].notna()] if name == "padchest" else labelled(table) if name == "nlm" else table
    images = kept[real.image].nunique() if real.image else len(kept)
    assert len(found) == images
    patients = set(found.column("patient")) - {""}
    assert patients == (set() if real.patient is None else set(real.patient(table)))
    lists = real.lists(table)
    wanted = {part: len(names) for part, names in lists.items()}
    one = "train" if name == "chexpert" else ""
    assert Counter(found.column("split")) == (Counter(wanted) if lists else Counter({one: images}))
    for part, names in lists.items():
        rows = found.rows[found.rows["split"] == part]
        assert set(rows["path"].str.split("/").str[-1]) == set(names)
    if real.classes is None:
        return
    task = Task.model_validate(public_sets.page(name).tasks[real.task])
    _, numbers = manifests.select(found, task)
    assert Counter(numbers.tolist()) == Counter(real.classes(table).tolist())


def write(root: Path, csv: Path, table: Table, real: Real) -> None:
    """The table, of reports an archive of XML files, and the lists of the split."""
    if csv.suffix == ".tgz":
        with tarfile.open(csv, "w:gz") as archive:
            for report, rows in table.groupby("report"):
                heads = [f"<major>{each}/of a place</major>" for each in rows["findings"].iloc[0].split("|") if each]
                images = "".join(f'<parentImage id="{image}"/>' for image in rows["image"])
                text = f'<eCitation><uId id="{report}"/><MeSH>{"".join(heads)}</MeSH>{images}</eCitation>'.encode()
                member = tarfile.TarInfo(f"ecgen-radiology/{report}.xml")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
    else:
        table.to_csv(csv, index=False)
    for part, names in real.lists(table).items():
        (root / {"train": "train_val_list.txt", "test": "test_list.txt"}[part]).write_text("\n".join(names))


@pytest.mark.parametrize("name", SETS)
def test_a_sample_is_read_as_pandas_counts_it(name: str, tmp_path: Path) -> None:
    real, page = SETS[name], public_sets.page(name)
    table = real_table(real, 4000)
    groups = sorted(set(table[real.by]))
    chosen = np.random.default_rng(0).choice(groups, 60, replace=False)
    table = table[table[real.by].isin(chosen)].reset_index(drop=True)
    csv = tmp_path / page.data["csv"]
    csv.parent.mkdir(exist_ok=True)
    write(tmp_path, csv, table, real)
    picture = tmp_path / ".picture"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(picture, "PNG")
    for place in {tmp_path / real.place(row) for _, row in table.iterrows()}:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(picture, place)
    compare(read(Source.model_validate(page.data | {"root": tmp_path})), table, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_whole_table_is_read_as_pandas_counts_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, page = SETS[name], public_sets.page(name)
    table = real_table(real, None)
    csv = tmp_path / page.data["csv"]
    csv.parent.mkdir(exist_ok=True)
    assert SHIPPED is not None
    csv.write_bytes((SHIPPED / real.file).read_bytes())  # packed, under the plain name: known by its content
    held = tree(real.place(row) for row in table.to_dict("records"))
    monkeypatch.setattr(table_rows, "listing", lambda root: lambda folder: held.get(folder, {}))
    source = Source.model_validate(page.data | {"root": tmp_path})
    found = table_rows.read(str(tmp_path), source)
    assert not found.faults
    rows = found.rows.assign(root=str(tmp_path), source=name)
    if real.lists(table):
        for part, names in real.lists(table).items():
            (tmp_path / source.split_lists[part]).write_text("\n".join(names))
        rows, faults, _ = split_lists.divided(rows, source.split_lists, str(tmp_path))
        assert not faults
    compare(Manifest(rows.assign(**{each: "" for each in ("patient", "split") if each not in rows})), table, name)


def tree(files: Iterable[str]) -> Mapping[str, dict[str, bool]]:
    held: dict[str, dict[str, bool]] = {"": {}}
    for file in files:
        *parts, last = file.split("/")
        for depth, part in enumerate(parts):
            held["/".join(parts[:depth])][part] = True
            held.setdefault("/".join(parts[: depth + 1]), {})
        held["/".join(parts)][last] = False
    return held
