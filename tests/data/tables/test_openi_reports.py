"""Reports of Open-i as a table, and archives that are none."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from contrastive_cxr.data.tables.table_files import open_table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.columns import TableForm

REPORT = (
    '<?xml version="1.0"?><!-- made --><eCitation><uId id="CXR7"/><MeSH><major>Opacity/lung/base</major>'
    "<major>Opacity/lung/apex</major><major>Spine/degenerative</major><automatic>opacity</automatic></MeSH>"
    '<parentImage id="CXR7_IM-1"/><parentImage id="CXR7_IM-2"/></eCitation>'
)


def archive(path: Path, members: dict[str, str | bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, text in members.items():
            content = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def test_an_image_has_its_reports_headings(tmp_path: Path) -> None:
    bare = '<eCitation><uId id="CXR8"/><parentImage id="CXR8_IM-1"/></eCitation>'
    path = archive(tmp_path / "r.tgz", {"ecgen/7.xml": REPORT, "ecgen/8.xml": bare, "readme.txt": "x"})
    opened = open_table(path, TableForm())
    headings = ["CXR7", "Opacity|Spine", "Opacity/lung/base|Opacity/lung/apex|Spine/degenerative", "opacity"]
    wanted = [["CXR7_IM-1", *headings], ["CXR7_IM-2", *headings], ["CXR8_IM-1", "CXR8", "", "", ""]]
    assert opened.rows.to_numpy().tolist() == wanted
    assert opened.notes == ("r.tgz is read as an archive of Open-i reports (XML)",)


def test_what_is_no_report_is_named_all_at_once(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "cc">]><eCitation>&b;</eCitation>'
    reports = {"1.xml": REPORT, "2.xml": REPORT[:-20], "3.xml": bomb, "4.xml": "x" * 2**20 + "xx"}
    path = archive(tmp_path / "r.tgz", reports | {"5.xml": bomb.encode("utf-16")})
    with pytest.raises(RequestError) as caught:
        open_table(path, TableForm())
    cut, entity, large, wide = caught.value.faults
    assert "r.tgz/2.xml is no XML, or cut short" in cut
    assert "3.xml is larger than 1048576 bytes or declares a document type" in entity
    assert "4.xml is larger" in large
    assert "5.xml is larger than 1048576 bytes or declares a document type" in wide
    with pytest.raises(RequestError, match=r"is an archive without reports of images \(XML\); name a table"):
        open_table(archive(tmp_path / "s.tgz", {"a.csv": "file,label\n"}), TableForm())
