from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr.data.sources import read, read_data
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data, Source

SHARED = Path(__file__).parents[3] / "shared" / "data"


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(root / name, format="PNG")


def faults(source: Source) -> tuple[str, ...]:
    with pytest.raises(RequestError) as caught:
        read(source)
    return caught.value.faults


def test_folders_join_nested_names_and_skip_what_is_no_image(tmp_path: Path) -> None:
    put(tmp_path, "b/x.png", "a/deep/z.JPG", "a/y.jpeg", "a/.hidden.png", ".git/h.png")
    (tmp_path / "b" / "notes.txt").write_text("no image")
    rows = read(Source(root=tmp_path)).rows
    assert rows["path"].tolist() == ["a/deep/z.JPG", "a/y.jpeg", "b/x.png"], "sorted, images alone"
    assert rows["label"].tolist() == ["a/deep", "a", "b"], "nested names joined by /"
    assert set(rows["split"]) == {""}, "no split of its own"
    assert set(rows["source"]) == {tmp_path.name}, "named by the root folder"


def test_folders_read_the_split_from_the_first_level(tmp_path: Path) -> None:
    put(tmp_path, "Train/sick/covid/1.png", "Train/well/2.png", "validation/well/3.png", "TEST/well/4.png")
    rows = read(Source(root=tmp_path)).rows.set_index("path")
    assert rows["split"].to_dict() == {
        "Train/sick/covid/1.png": "train",
        "Train/well/2.png": "train",
        "validation/well/3.png": "val",
        "TEST/well/4.png": "test",
    }, "names of parts in any case"
    assert rows["label"].tolist() == ["well", "sick/covid", "well", "well"], "the label starts below the part"


def test_links_are_followed_and_a_loop_of_links_is_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(tmp_path, "elsewhere/a.png", "root/normal/b.png")
    (root / "covid").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert read(Source(root=root, outside=True)).rows["path"].tolist() == ["covid/a.png", "normal/b.png"]
    (root / "normal" / "again").symlink_to(root, target_is_directory=True)
    (fault,) = faults(Source(root=root, outside=True))
    assert "normal/again is a link to" in fault
    assert "remove the link" in fault


def test_roots_that_are_wrong_say_what_they_are(tmp_path: Path) -> None:
    assert "does not exist" in faults(Source(root=tmp_path / "none"))[0], "missing"
    assert "is empty" in faults(Source(root=tmp_path))[0], "empty"
    assert "not given" in faults(Source())[0], "no root"
    put(tmp_path, "1.png")
    assert "is a file" in faults(Source(root=tmp_path / "1.png"))[0], "a file"
    assert "no class folders" in faults(Source(root=tmp_path))[0], "images without a class"
    assert "1.png" in faults(Source(root=tmp_path))[0], "what was found"
    put(tmp_path, "a/2.png")
    assert "lie in no class folder (such as '1.png')" in faults(Source(root=tmp_path))[0], "a stray image"


def test_split_folders_without_classes_or_mixed_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/1.png", "val/2.png")
    assert "no class folders" in faults(Source(root=tmp_path))[0], "train/IMAGE has no class"
    put(tmp_path, "train/a/1.png", "other/2.png")
    assert "mixes split folders ['train', 'val'] and other folders ['other']" in faults(Source(root=tmp_path))[0], (
        "mixed"
    )


def test_csv_takes_aliases_and_keeps_strings(tmp_path: Path) -> None:
    put(tmp_path, "i/1.png", "i/2.png")
    (tmp_path / "labels.csv").write_text(
        "Filename, Label,PATIENT,Split,age\ni/2.png,b,007,Validation,061\n./i/1.png, a,,train,\n", encoding="utf-8-sig"
    )
    rows = read(Source(source="csv", root=tmp_path)).rows
    assert rows.drop(columns=["root", "source"]).values.tolist() == [
        ["i/1.png", "a", "", "train", ""],
        ["i/2.png", "b", "007", "val", "061"],
    ], "sorted by path, text unchanged"
    assert rows.columns[-1] == "age", "extra columns are kept"


def test_csv_faults_are_listed_at_once(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text(
        "file,label,split\n1.png,a,train\n1.png,a,val\n../x.png,a,train\n/etc/y.png,a,train\n2.png,,tran\nno.png,b,test\n"
    )
    found = faults(Source(source="csv", root=tmp_path, csv=Path("t.csv")))
    for word in (
        "'../x.png' is not inside",
        "'/etc/y.png' is not inside",
        "label of '2.png' is empty",
        "'tran' is not train",
        "did you mean 'train'",
        "'1.png' has 2 rows (a in train and a in val)",
        "no.png is missing",
    ):
        assert any(word in fault for fault in found), f"{word} is not in {found}"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (
            "picture,class\n1.png,a\n",
            r"no column that is known to name.*\['picture', 'class'\].*columns.file",
        ),
        ("file,label\n", "has no rows"),
    ],
)
def test_csv_of_another_kind_is_refused(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(RequestError, match=word):
        read(Source(source="csv", root=tmp_path))


def test_csv_that_is_missing_names_the_tables_there_are(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("file,label\n")
    assert "other.csv" in faults(Source(source="csv", root=tmp_path))[0], "names what is there"


def covid_ct(root: Path) -> None:
    put(root, "CT_COVID/a%0.png", "CT_COVID/b.png", "CT_COVID/left-out.png", "CT_NonCOVID/c.jpg")
    for part, text in (("train", "a%0.png \r\n \r\n"), ("test", "b.png\n")):
        path = root / "Data-split" / "COVID" / f"{part}CT_COVID.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (root / "Data-split" / "NonCOVID").mkdir(exist_ok=True)
    (root / "Data-split" / "NonCOVID" / "testCT_NonCOVID.txt").write_text("c.png")


def test_covid_ct_reads_the_lists_there_are(tmp_path: Path) -> None:
    covid_ct(tmp_path)
    (tmp_path / "patients.csv").write_text("file,patient\nCT_COVID/b.png,Patient 7\n")
    found = read(Source(source="covid-ct", root=tmp_path))
    rows = found.rows
    assert rows[["path", "label", "split", "patient"]].values.tolist() == [
        ["CT_COVID/a%0.png", "CT_COVID", "train", ""],
        ["CT_COVID/b.png", "CT_COVID", "test", "Patient 7"],
        ["CT_NonCOVID/c.jpg", "CT_NonCOVID", "test", ""],
    ], "spaces, CRLF and blank lines mean nothing, images in no list are left out"
    assert any("found with another ending ('CT_NonCOVID/c.png' is 'CT_NonCOVID/c.jpg')" in note for note in found.notes)


def test_covid_ct_faults(tmp_path: Path) -> None:
    covid_ct(tmp_path)
    (tmp_path / "Data-split" / "COVID" / "valCT_COVID.txt").write_text("b.png\ngone.png\n")
    found = faults(Source(source="covid-ct", root=tmp_path))
    assert any("gone.png is missing" in fault for fault in found), found
    assert any("'CT_COVID/b.png' has 2 rows (CT_COVID in val and CT_COVID in test)" in fault for fault in found), found
    assert "not laid out as COVID-CT" in faults(Source(source="covid-ct", root=tmp_path / "CT_COVID"))[0], "layout"


def test_join_names_sources_and_keeps_patients_apart(tmp_path: Path) -> None:
    for folder, split in (("one/x", "train"), ("two/x", "")):
        put(tmp_path / folder, "1.png")
        (tmp_path / folder / "labels.csv").write_text(f"file,label,patient,split\n1.png,a,p1,{split}\n")
    data = Data(join=(Source(source="csv", root=Path("one/x")), Source(source="csv", root=Path("two/x"))))
    rows = read_data(data, base=tmp_path).rows
    assert rows["source"].tolist() == ["x", "x-2"], "equal folder names are told apart"
    assert rows["patient"].tolist() == ["x/p1", "x-2/p1"], "p1 of two sources are two people"
    assert rows["split"].tolist() == ["train", "train"], "a source without a split trains beside one that has it"
    with pytest.raises(RequestError) as caught:
        read_data(Data(join=(Source(root=tmp_path / "no"), Source(root=tmp_path / "nor"))))
    assert len(caught.value.faults) == 2, "faults of all sources at once"


def test_phantoms_that_a_killed_process_left_half_painted_are_painted_anew(tmp_path: Path) -> None:
    left = tmp_path / "phantom" / ".painting-12-5-v1" / "images"
    left.mkdir(parents=True)
    (left / "00000.png").write_bytes(b"half")
    rows = read_data(Data(source="phantom", images=12, seed=5, cache_dir=tmp_path)).rows
    assert len(rows) == 12
    (folder,) = (tmp_path / "phantom").iterdir()
    assert str(folder.resolve()) == rows["root"][0]


def test_phantoms_are_painted_once_and_read_as_csv(tmp_path: Path) -> None:
    data = Data(source="phantom", images=12, seed=5, cache_dir=tmp_path)
    rows = read_data(data).rows
    assert len(rows) == 12, "as many as asked for"
    assert {"lesion_x0", "lesion_y1"} <= set(rows), "lesion places are kept"
    (folder,) = (tmp_path / "phantom").iterdir()
    before = (folder / "labels.csv").stat().st_mtime_ns
    pd.testing.assert_frame_equal(read_data(data).rows, rows)
    assert (folder / "labels.csv").stat().st_mtime_ns == before, "a second call paints nothing"
    assert (
        read_data(Data(source="phantom", images=12, seed=6, cache_dir=tmp_path)).rows["root"][0] != rows["root"][0]
    ), "seed"


@pytest.mark.parametrize(
    ("name", "kind", "counts"),
    [
        (
            "ct",
            "covid-ct",
            {
                ("train", "CT_COVID"): 191,
                ("train", "CT_NonCOVID"): 234,
                ("val", "CT_COVID"): 60,
                ("val", "CT_NonCOVID"): 58,
            },
        ),
        (
            "xray",
            "folders",
            {
                ("train", "normal"): 1341,
                ("train", "infected/covid"): 1345,
                ("train", "infected/non-covid"): 2530,
                ("val", "normal"): 8,
                ("val", "infected/covid"): 9,
                ("val", "infected/non-covid"): 8,
            },
        ),
        ("xray4", "csv", {("", "normal"): 240, ("", "bacterial"): 240, ("", "viral"): 240, ("", "covid"): 238}),
    ],
)
def test_real_images_have_the_known_counts(name: str, kind: str, counts: dict[tuple[str, str], int]) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"shared/data/{name} is not here")
    rows = read(Source.model_validate({"source": kind, "root": SHARED / name})).rows
    assert rows.groupby(["split", "label"]).size().to_dict() == counts, f"{name} has other counts than its README"
