"""People's own tables on their way through look, dry run, splits and recorded runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.datasets.audit import of_dataset
from contrastive_cxr.datasets.look import look
from contrastive_cxr.errors import RequestError
from contrastive_cxr.run_folder.recorded import recipe_of
from contrastive_cxr.training.dry_run import plan

TINY = """
name: tiny
data: {source: csv, csv: labels.csv, cache_size: 32, workers: 1, split: {kind: fractions, val: 0.25, test: 0.25}}
task: {name: t, classes: {neg: ["neg"], pos: ["pos"]}}
model: {backbone: cnn2, image_size: 32}
pretrain: {epochs: 1, batch_size: 8, augment: none}
tracking: {wandb: "off"}
"""


def paint(root: Path, patients: int, column: str) -> Path:
    """Two classes of 12 images each, and a table whose column of patients has another name; the recipe's file."""
    lines, rng = [f"{column},file,label"], np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    for number in range(12):
        for label in ("neg", "pos"):
            Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(root / f"images/{label}{number}.png")
            lines.append(f"{label}{number % patients},images/{label}{number}.png,{label}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    (root / "tiny.yaml").write_text(TINY)
    return root / "tiny.yaml"


def words(root: Path) -> list[str]:
    return [f"data.root={root}", f"data.cache_dir={root.parent / 'cache'}"]


def test_patients_by_another_name_stand_in_one_part(tmp_path: Path) -> None:
    recipe = recipes.load(paint(tmp_path / "six", 6, "patientid"), words(tmp_path / "six"))
    rows = open_dataset(recipe.data, recipe.task).manifest_table()
    parts = rows.groupby("patient")["split"].nunique()
    assert (len(parts), parts.max()) == (12, 1)
    assert set(rows["split"]) == {"train", "val", "test"}
    recipe = recipes.load(paint(tmp_path / "two", 2, "Subject ID"), words(tmp_path / "two"))
    with pytest.raises(RequestError, match="12 images of 2 patients, too few for each of 3 parts"):
        open_dataset(recipe.data, recipe.task)


def test_an_audit_claims_nothing_of_patients_who_are_not_known(tmp_path: Path) -> None:
    recipe = recipes.load(paint(tmp_path / "x", 6, "who"), words(tmp_path / "x"))
    verdict = of_dataset(open_dataset(recipe.data, recipe.task))["verdict"]
    (sentence,) = verdict["sentences"]
    assert (verdict["word"], verdict["findings"][0]["kind"]) == ("look", "unknown_patients")
    assert "No patient is known: one patient may be on both sides of the split" in sentence


def test_a_dry_run_and_the_page_of_a_look_say_what_was_repaired(tmp_path: Path) -> None:
    root = tmp_path / "x"
    reference = paint(root, 6, "patientid")
    table = pd.read_csv(root / "labels.csv")
    table["file"] = table["file"].str.removesuffix(".png")
    table.loc[0, "label"] = None
    table.to_csv(root / "labels.csv", index=False, sep=";")
    more = ["data.leave_out=['']"]
    said = " ".join(plan(recipes.load(reference, [*words(root), *more])).notes)
    facts = look([root / "labels.csv"], tmp_path / "out", [*words(root)[1:], "data.cache_size=32", *more])
    page = (tmp_path / "out" / "data-look.html").read_text()
    for part in ("separated by semicolons", "'patientid' is read as the patient", "1 rows without a label are left out",
                 "23 files are found with an ending that the table leaves out"):  # fmt: skip
        assert part in said
        assert any(part in note for note in facts["notes"])
        assert part.replace("'", "&#39;") in page
    assert facts["images"] == 23


def test_a_recipe_recorded_before_reads_its_table_as_it_did(tmp_path: Path) -> None:
    recipe = recipes.load(paint(tmp_path / "x", 2, "patientid"), words(tmp_path / "x"))
    run = tmp_path / "run"
    run.mkdir()
    text = recipes.record(recipe)
    (run / "recipe.yaml").write_text(text)
    assert recipe_of(run).data.columns.recognise, "recorded now"
    start, end = text.index("  columns:\n    file"), text.index("  where:")
    (run / "recipe.yaml").write_text(text[:start] + text[end:])
    assert not recipe_of(run).data.columns.recognise
    rows = open_dataset(recipe_of(run).data, recipe.task).manifest
    assert set(rows.column("patient")) == {""}
    assert "patientid" in rows.rows
