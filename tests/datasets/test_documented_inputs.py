"""The layouts of docs/reference/inputs.md: files are painted, the command reads them, and what is read stands there."""

from __future__ import annotations

import io
import re
import shlex
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.data import sources
from contrastive_cxr.datasets.look import settings, tables_beside
from tests.data.painted import dicom, nifti, picture, put, shades

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "inputs.md").read_text(encoding="utf-8")
LAYOUTS = PAGE.partition("## Layouts\n")[2].partition("\n## Cases\n")[0]
KINDS = ("files", "csv", "list", "sh", "rows", "said")


class Example(NamedTuple):
    """A layout: its name, and its blocks of each kind as (title, text)."""

    name: str
    blocks: dict[str, list[tuple[str, str]]]

    def lines(self, kind: str) -> list[str]:
        return [line for _, text in self.blocks.get(kind, []) for line in text.splitlines()]


def examples() -> list[Example]:
    found = []
    for section in LAYOUTS.split("\n### ")[1:]:
        name, _, text = section.partition("\n")
        blocks: dict[str, list[tuple[str, str]]] = {}
        for kind, title, content in re.findall(r"```(\w+) ?([^\n]*)\n(.*?)```", text, re.DOTALL):
            assert kind in KINDS, f"{name}: a block of {kind}"
            blocks.setdefault(kind, []).append((title, content))
        found.append(Example(name, blocks))
    return found


EXAMPLES = examples()


def content(name: str, what: str) -> bytes:
    """A painted file, by what the page says of it."""
    if series := re.fullmatch(r"DICOM slice (\d) of series (\d) of patient (\w+)", what):
        place = {"ImagePositionPatient": [0, 0, 5.0 * int(series[1])], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        uid = f"1.2.{series[2]}"
        return dicom(shades(int(series[1])), PatientID=series[3], SeriesInstanceUID=uid, StudyInstanceUID=uid, **place)
    if patient := re.fullmatch(r"DICOM of patient (\w+)", what):
        return dicom(shades(len(name)), PatientID=patient[1])
    if what == "DICOM without pixels":
        return dicom(None)
    if pages := re.fullmatch(r"TIFF of (\d) pages", what):
        first, *others = (Image.fromarray(shades(number)) for number in range(int(pages[1])))
        buffer = io.BytesIO()
        first.save(buffer, "TIFF", save_all=True, append_images=others)
        return buffer.getvalue()
    if slices := re.fullmatch(r"volume of (\d) slices", what):
        return nifti(np.zeros((4, 5, int(slices[1])), np.int16) + np.arange(int(slices[1]), dtype=np.int16))
    assert what in ("", "text"), f"{name}: {what}"
    return b"words\n" if what else picture(sum(map(ord, name)), "TIFF" if name.endswith(".tif") else "PNG")


def paint(root: Path, example: Example) -> None:
    texts = {title: text.encode() for kind in ("csv", "list") for title, text in example.blocks.get(kind, [])}
    files = {name: what for name, _, what in (line.partition(" ") for line in example.lines("files"))}
    all_files = {name: texts.get(name) or content(name, what.strip()) for name, what in files.items()} | texts
    for name, inside in all_files.items():
        archive, zipped, member = name.partition(".zip/")
        if zipped:
            with zipfile.ZipFile(root / f"{archive}.zip", "a") as file:
                file.writestr(member, inside)
        else:
            put(root / name, inside)


def test_the_page_has_these_layouts() -> None:
    assert len(EXAMPLES) == LAYOUTS.count("```sh") == LAYOUTS.count("```rows") == 16


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_layout_is_read_as_the_page_says(example: Example, tmp_path: Path) -> None:
    root = tmp_path / "IMAGES"
    root.mkdir()
    paint(root, example)
    command = shlex.split(example.blocks["sh"][0][1].replace("\\\n", " "))
    assert command[:3] == ["ccxr", "data", "look"]
    places = [root.parent / word for word in command[3:] if word.startswith("IMAGES")]
    words = [word for word in command[3:] if word.startswith("data.")]
    assert len(places) + len(words) == len(command) - 3
    data = settings(places, [*words, f"data.cache_dir={tmp_path / 'cache'}"], None)
    found, faults = sources.rows_of(data)
    assert faults == []
    got = zip(*(found.column(name) for name in ("path", "label", "patient", "split")), strict=True)
    assert [" | ".join(row) for row in got] == [spaced(line) for line in example.lines("rows")]
    said = "\n".join([*found.notes, *tables_beside(data)]).replace(str(root), "IMAGES")
    assert [line for line in example.lines("said") if line not in said] == [], said


def spaced(line: str) -> str:
    """A row as the page writes it, empty cells without a blank of their own."""
    return " | ".join(part.strip() for part in line.split("|"))
