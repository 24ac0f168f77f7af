"""The first look: layouts recognised, everything odd a line in the page, nothing a crash."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.datasets.layout_detection import recognise, tables_beside
from contrastive_cxr.datasets.look import look, settings
from contrastive_cxr.errors import RequestError
from tests.data.painted import picture, put, zipped
from tests.report.pages.test_page import Page

ROOT = Path(__file__).resolve().parents[2]


def paint(path: Path, shape: tuple[int, ...] = (20, 30), seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Class folders with a split, and everything that may be wrong with files and names."""
    root = tmp_path / "odd"
    for number in range(6):
        paint(root / "train" / "<b>sick$" / f"{number}.png", seed=number)
        paint(root / "val" / "well" / f"{number}.png", (30, 20, 3), seed=10 + number)
    shutil.copy(root / "train" / "<b>sick$" / "0.png", root / "val" / "well" / "copy.png")
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    Image.fromarray(deep).save(root / "val" / "well" / "deep.tif")
    (root / "train" / "<b>sick$" / "broken.png").write_bytes(b"\x89PNG and no more")
    (root / "train" / "<b>sick$" / "empty.png").touch()
    (root / "stray.png").write_bytes((root / "val" / "well" / "0.png").read_bytes())
    return root


def words(tmp_path: Path) -> list[str]:
    return [f"data.cache_dir={tmp_path / 'cache'}", "data.cache_size=32", "data.workers=1"]


def test_everything_odd_is_a_line(odd: Path, tmp_path: Path) -> None:
    facts = look([odd], tmp_path / "out", words(tmp_path))
    assert facts == json.loads((tmp_path / "out" / "data-look.json").read_text())
    assert (facts["version"], facts["layout"], facts["images"]) == (1, ["folders"], 16)
    labels = facts["counts"]["labels"]
    assert labels["<b>sick$"] == {
        "images": 8, "unreadable": 2, "by_split": {"train": 8, "val": 0}, "by_source": {"odd": 8},
    }  # fmt: skip
    assert {Path(each["path"]).name for each in facts["unreadable"]["listed"]} == {"broken.png", "empty.png"}
    assert (facts["copies"]["groups"], facts["copies"]["across_labels"], facts["copies"]["across_splits"]) == (1, 1, 1)
    assert facts["kinds"]["channels"] == {"1": {"<b>sick$": 6, "well": 2}, "3": {"well": 6}}
    assert any("stray.png" in fault for fault in facts["faults"])
    assert any("empty.png is empty" in fault for fault in facts["faults"])
    assert facts["shapes"]["by_label"]["<b>sick$"]["aspect"]["median"] == 1.5


def test_the_page_is_whole_escaped_and_shows_examples(odd: Path, tmp_path: Path) -> None:
    look([odd], tmp_path / "out", words(tmp_path))
    text = (tmp_path / "out" / "data-look.html").read_text()
    page = Page(text)
    assert {"faults", "unreadable", "examples", "figures", "squares", "copies"} <= set(page.ids)
    assert "<b>sick" not in text
    assert "&lt;b&gt;sick$" in text
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    pictures = [address for address in page.addresses if address.startswith("data:image/jpeg")]
    assert len(pictures) == 6 + 8 + 3 * 3, "examples of both labels, and three pictures made square in three ways"
    assert "broken.png" in text


def test_a_second_look_replaces_the_first(odd: Path, tmp_path: Path) -> None:
    first = look([odd], tmp_path / "out", words(tmp_path))
    page = (tmp_path / "out" / "data-look.html").read_bytes()
    assert look([odd], tmp_path / "out", words(tmp_path)) == first
    assert (tmp_path / "out" / "data-look.html").read_bytes() == page


def test_layouts_are_recognised(tmp_path: Path) -> None:
    ct = tmp_path / "ct"
    for label, name in (("CT_COVID", "COVID"), ("CT_NonCOVID", "NonCOVID")):
        paint(ct / label / "a.png", seed=len(label))
        (ct / "Data-split" / name).mkdir(parents=True)
        (ct / "Data-split" / name / f"train{label}.txt").write_text("a.png\n")
    (ct / "patients.csv").write_text("file,patient\nCT_COVID/a.png,p1\n")
    table = tmp_path / "table"
    paint(table / "images" / "1.png")
    (table / "labels.csv").write_text("File,Label,Patient\nimages/1.png,normal,007\nimages/2.png,covid,\n")
    (table / "notes.csv").write_text("who,what\nme,this\n")
    assert recognise(ct)["source"] == "covid-ct"
    assert recognise(table) == {"source": "csv", "root": str(table), "csv": "labels.csv"}
    assert recognise(table / "labels.csv") == recognise(table)
    assert recognise(tmp_path)["source"] == "folders"
    facts = look([table], tmp_path / "out", words(tmp_path))
    assert facts["unreadable"]["listed"][0]["error"] == "does not exist"
    assert facts["patients"]["known"] == 1
    both = look([ct, table], tmp_path / "both", words(tmp_path))
    assert both["images"] == 4
    assert both["counts"]["labels"]["CT_COVID"]["by_source"] == {"ct": 1, "table": 0}
    assert both["patients"]["known"] == 2


def test_a_table_of_findings_beside_folders_is_named_and_not_passed_over(tmp_path: Path) -> None:
    for number in range(2):
        paint(tmp_path / f"train/patient{number}/study1/view1.jpg")
    rows = "".join(f"train/patient{number}/study1/view1.jpg,1.0\n" for number in range(2))
    (tmp_path / "train.csv").write_text("Path,Pneumonia\n" + rows)
    (tmp_path / "notes.csv").write_text("who,what\nme,this\n")
    (said,) = tables_beside(settings([tmp_path], [], None))
    assert said.startswith("train.csv names files and has no column that is known as the label")
    assert said.endswith(f"look at {tmp_path / 'train.csv'}")
    assert tables_beside(settings([tmp_path / "train.csv"], [], None)) == []


def test_two_tables_need_a_word(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("file,label\n1.png,x\n")
    with pytest.raises(RequestError, match=r"2 tables of images \(a\.csv, b\.csv\)"):
        recognise(tmp_path)
    assert recognise(tmp_path, ["data.csv=b.csv"]) == {"source": "csv", "root": str(tmp_path)}
    assert settings([tmp_path], ["data.csv=b.csv"], None).csv == Path("b.csv")
    packed = tmp_path / "both.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.write(tmp_path / name, name)
    assert recognise(packed, ["data.csv=b.csv"]) == {"source": "csv", "root": str(packed)}


def test_settings_are_those_of_a_data_section(odd: Path, tmp_path: Path) -> None:
    assert settings([odd], ["data.resize=crop"], None).resize == "crop"
    with pytest.raises(RequestError) as caught:
        settings([odd], ["data.resiz=crop", "data.cache_size=1"], None)
    assert any("did you mean 'resize'" in fault for fault in caught.value.faults)
    assert any("`data.cache_size`" in fault for fault in caught.value.faults)
    found = settings([odd], [], "xray/three-class-scratch")
    assert (found.root, found.cache_size) == (odd, settings([odd], [], "xray/three-class-scratch").cache_size)
    with pytest.raises(RequestError, match="one at a time"):
        settings([odd, odd], [], "xray/three-class-scratch")


def test_places_that_cannot_be_looked_at_are_refused_together(odd: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        look([tmp_path / "no", tmp_path / "where"], tmp_path / "out")
    assert len(caught.value.faults) == 2
    (tmp_path / "flat").mkdir()
    paint(tmp_path / "flat" / "1.png")
    with pytest.raises(RequestError, match="no class folders with images"):
        look([tmp_path / "flat"], tmp_path / "out")
    with pytest.raises(RequestError, match="is a file"):
        look([odd], odd / "stray.png")
    assert not (tmp_path / "out").exists()


def test_nothing_readable_is_still_a_page(tmp_path: Path) -> None:
    for number in range(2):
        path = tmp_path / "images" / "x" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"nothing")
    facts = look([tmp_path / "images"], tmp_path / "out", words(tmp_path))
    assert facts["unreadable"]["count"] == 2
    assert "figures" not in Page((tmp_path / "out" / "data-look.html").read_text()).ids


@pytest.mark.slow
def test_a_look_needs_no_torch(odd: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from contrastive_cxr.datasets.look import look; "
        "look([Path(sys.argv[1])], Path(sys.argv[2]), sys.argv[3:]); print('torch' in sys.modules)"
    )
    asked = [str(odd), str(tmp_path / "out"), *words(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


def test_the_real_images(shared_data: Path, tmp_path: Path) -> None:
    """Facts that the data's own README states."""
    facts = look([shared_data / "xray4"], tmp_path / "out", words(tmp_path))
    counts = {label: each["images"] for label, each in facts["counts"]["labels"].items()}
    assert counts == {"normal": 240, "bacterial": 240, "viral": 240, "covid": 238}
    assert facts["unreadable"]["count"] == 0
    assert facts["faults"] == []


def test_values_that_use_a_small_part_of_their_type_are_shown_and_warned_of(tmp_path: Path) -> None:
    """12 bits in 16: seen by `auto` in the range that they use; by their type nearly black, and said so."""
    for label in ("neg", "pos"):
        for number in range(3):
            values = np.random.default_rng(number).integers(0, 4096, (16, 16), dtype=np.uint16)
            (tmp_path / "deep" / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(tmp_path / "deep" / label / f"{number}{label}.png")
    grey = look([tmp_path / "deep"], tmp_path / "out", words(tmp_path))["grey"]
    assert (grey["words"], grey["warning"]) == (["deep, PNG: 0 to 4095 become 0 to 255 in 6 images"], "")
    told = look([tmp_path / "deep"], tmp_path / "out", [*words(tmp_path), "data.intensity=dtype"])["grey"]
    assert told["warning"].startswith("6 of 6 images keep fewer than 64 grey levels")
    assert "6 of 6 images keep fewer than 64" in (tmp_path / "out" / "data-look.html").read_text()


def test_a_table_in_an_archive_or_behind_a_url_is_recognised(tmp_path: Path) -> None:
    """An archive often holds one folder, with the table in it."""
    fsspec = pytest.importorskip("fsspec")
    members = {"set/a.png": picture(1), "set/b.png": picture(2), "set/notes.csv": b"who,what\nme,this\n"}
    members["set/list.csv"] = b"file,label,patient\na.png,ill,p1\nb.png,well,p2\n"
    root = put(tmp_path / "set.zip", zipped(members))
    assert recognise(root) == {"source": "csv", "root": str(root), "csv": "set/list.csv"}
    facts = look([root], tmp_path / "out", words(tmp_path))
    assert (facts["layout"], facts["patients"]["known"], facts["faults"]) == (["csv"], 2, [])
    assert sorted(facts["counts"]["labels"]) == ["ill", "well"]
    store = fsspec.filesystem("memory")
    for name, content in members.items():
        store.pipe(f"/looked/{name}", content)
    assert recognise("memory://looked")["csv"] == "set/list.csv"
    assert recognise("memory://looked/set/list.csv") == {
        "source": "csv",
        "root": "memory://looked/set",
        "csv": "list.csv",
    }
    store.pipe("/looked/set/labels2.csv", members["set/list.csv"])
    with pytest.raises(RequestError, match=r"has 2 tables of images \(set/labels2.csv, set/list.csv\)"):
        recognise("memory://looked")


def test_a_table_without_labels_is_said_to_be_one(tmp_path: Path) -> None:
    paint(tmp_path / "in" / "1.png")
    (tmp_path / "in" / "rows.csv").write_text("Path,Pneumonia,Edema\n1.png,1,0\n")
    facts = look([tmp_path / "in" / "rows.csv"], tmp_path / "out", words(tmp_path))
    assert facts["notes"][-1] == (
        "no image has a label: no column is known as one among ['Pneumonia', 'Edema']; name it with "
        "data.columns.label=COLUMN, or make classes from findings with task.findings in the recipe"
    )
