"""The file that a name in a table means, worked out over folders that are written down here."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import pytest

from contrastive_cxr.data.files.named_files import below, resolve

COMPOSED, TAKEN_APART = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))


def tree(*files: str) -> tuple[dict[str, dict[str, bool]], list[str]]:
    """The folders of some files, and a list of the folders that were asked for."""
    held: dict[str, dict[str, bool]] = {"": {}}
    for file in files:
        *parts, name = file.split("/")
        for depth, part in enumerate(parts):
            held["/".join(parts[:depth])][part] = True
            held.setdefault("/".join(parts[: depth + 1]), {})
        held["/".join(parts)][name] = False
    return held, []


def found(names: list[str], *files: str) -> tuple[list[str], dict[str, int], list[int], list[str]]:
    held, asked = tree(*files)

    def listing(folder: str) -> Mapping[str, bool]:
        asked.append(folder)
        return held.get(folder, {})

    each = resolve(names, listing)
    assert len(asked) == len(set(asked)), "a folder is listed once"
    return each.paths, {kind: len(pairs) for kind, pairs in each.repairs.items()}, each.missing, each.faults


@pytest.mark.parametrize(
    ("name", "file", "kinds"),
    [
        ("a/x.png", "a/x.png", []),
        ("a/x", "a/x.png", ["with an ending that the table leaves out"]),
        ("1.2.840.7", "1.2.840.7.dcm", ["with an ending that the table leaves out"]),
        ("a/x.png", "a/x.jpeg", ["with another ending"]),
        ("x.nii", "x.nii.gz", ["with another ending"]),
        ("x.dcm", "x", ["with another ending"]),
        ("a\\b\\x.png", "a/b/x.png", ["with / in the place of backslashes"]),
        ("A/X.PNG", "a/x.png", ["in another case"]),
        ("a/x.PNG", "a/x.png", ["in another case"]),
        (f"a/{COMPOSED}.png", f"a/{TAKEN_APART}.png", ["in another Unicode form"]),
        (f"{TAKEN_APART}/x.png", f"{COMPOSED}/x.png", ["in another Unicode form"]),
        ("A\\x", "a/X.jpg", ["with / in the place of backslashes", "with an ending that the table leaves out",
                             "in another case"]),
    ],
)  # fmt: skip
def test_a_file_that_fits_alone_is_found_and_the_repair_is_told(name: str, file: str, kinds: list[str]) -> None:
    assert found([name], file, "other/y.png") == ([file], dict.fromkeys(kinds, 1), [], [])


def test_the_very_name_counts_before_all_that_fit() -> None:
    assert found(["x", "y.png"], "x", "x.png", "y.png", "Y.png", "y.jpg") == (["x", "y.png"], {}, [], [])
    assert found(["y.PNG"], "y.png", "y.jpg")[:2] == (["y.png"], {"in another case": 1}), "case before ending"


def test_two_files_that_fit_are_named_and_neither_is_taken() -> None:
    paths, repairs, missing, faults = found(["x"], "x.png", "x.jpg")
    assert (paths, repairs, missing) == (["x"], {}, [])
    assert faults == [
        "'x' is no file, and 2 files fit it (x.jpg, x.png); write the whole name of the one that is meant"
    ]
    assert "2 files fit it" in found(["A/x.png"], "a/x.png", "á/y.png", "AA/x.png", "a/X.png")[3][0], "by case alone"


def test_a_file_that_another_row_names_is_not_taken_for_a_missing_one() -> None:
    assert found(["x.png", "x.jpg"], "x.png") == (["x.png", "x.jpg"], {}, [1], [])


def test_what_no_file_fits_is_missing() -> None:
    assert found(["z.png", "no/x.png", "..\\x.png", "a"], "x.png", "a/x.png")[2] == [0, 1, 2], "a folder is no file"


def test_a_bare_name_is_looked_for_in_all_folders() -> None:
    files = ("a/images/x.png", "b/images/y.png", "b/y.png", ".git/x.png", "__MACOSX/x.png", "z/Z.dcm")
    said = "in a folder that the table leaves out"
    assert found(["x.png"], *files)[:2] == (["a/images/x.png"], {said: 1})
    assert found(["z.dcm"], *files)[1] == {said: 1, "in another case": 1}
    assert found(["Z"], *files)[1] == {said: 1, "with an ending that the table leaves out": 1}
    assert "2 files fit it (b/images/y.png, b/y.png)" in found(["y.png"], *files)[3][0]
    assert found(["c/x.png"], *files)[2] == [0], "a name with a folder is of that folder"


def test_notes_count_and_show_three() -> None:
    held, _ = tree(*(f"{number}.jpg" for number in range(5)))
    (note,) = resolve([f"{number}" for number in range(5)], lambda folder: held.get(folder, {})).notes("t.csv")
    assert note == (
        "t.csv: 5 files are found with an ending that the table leaves out ('0' is '0.jpg', '1' is '1.jpg', '2' is "
        "'2.jpg' and 2 more)"
    )


def test_a_beginning_that_all_names_have_too_much() -> None:
    held, _ = tree("train/a.png", "train/b.png")
    listing = held.get
    assert below(["Set-v1/train/a.png", "Set-v1/train/c.png"], lambda folder: listing(folder, {})) == "Set-v1/"
    assert below(["Set-v1/train/a.png", "train/c.png"], lambda folder: listing(folder, {})) == ""
