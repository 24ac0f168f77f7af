"""Folders of archives are listed as those of a disk; names of tables find their members, and frames their file."""

from __future__ import annotations

import zipfile
from pathlib import Path

from contrastive_cxr.data.files.listings import listing
from contrastive_cxr.data.files.named_files import resolve


def test_names_find_members_of_archives_and_frames_their_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("Images/scan.dcm", b"x")
        archive.writestr("Images/one.png", b"x")
    (tmp_path / "IM0001").write_bytes(b"x")
    assert listing(str(tmp_path / "set.zip"))("") == {"Images": True}
    inside = resolve(["images/ONE.jpg", "scan#frame=3", "scan#frame=4"], listing(str(tmp_path / "set.zip")))
    assert inside.paths == ["Images/one.png", "Images/scan.dcm#frame=3", "Images/scan.dcm#frame=4"]
    beside = resolve(["set.zip/images/one", "IM0001", "im0001", "none.png#frame=1"], listing(str(tmp_path)))
    assert beside.paths == ["set.zip/Images/one.png", "IM0001", "im0001", "none.png#frame=1"]
    assert beside.missing == [2, 3], "a file that another row names itself is nobody else's"
