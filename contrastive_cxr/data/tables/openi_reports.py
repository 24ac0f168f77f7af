"""The reports of Open-i (Indiana University) as a table: an archive of XML files, one a report, with its images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree  # nosec B405  # declarations are refused before

import pandas as pd

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files.archives import Archive
from contrastive_cxr.data.tables.text_tables import at_most, open_regular
from contrastive_cxr.errors import RequestError

COLUMNS = ("image", "report", "findings", "MeSH", "automatic")
BETWEEN = "|"
LARGEST = 2**20  # bytes of a report; the set's own have some 10,000


def table(path: Path) -> pd.DataFrame:
    """A row an image: its name without ending, its report, and the report's headings, several joined by `|`.

    `MeSH` holds the headings that readers gave (`Opacity/lung/base/left`), `findings` what each begins with,
    `automatic` those that a program found.

    Parameters
    ----------
    path : Path
        A tar archive, packed or not.

    Raises
    ------
    RequestError
        No such archive, or a file in it that is no report.
    """
    faults: list[str] = []
    rows: list[tuple[str, ...]] = []
    try:
        with open_regular(path) as file:
            archive = Archive(file, path.stat().st_size)
            for name in sorted(archive.members):
                if name.lower().endswith(".xml"):
                    rows += _rows(f"{path}/{name}", archive.read(name, LARGEST + 1), faults)
    except DecodeError as error:
        raise RequestError(f"{path} {error.reason}") from None
    if faults:
        raise RequestError(*at_most(faults))
    if not rows:
        raise RequestError(f"{path} is an archive without reports of images (XML); name a table")
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=str)


def _rows(name: str, content: bytes, faults: list[str]) -> Iterator[tuple[str, ...]]:
    """The images of one report; what is no report goes to `faults`."""
    # A declaration may make entities of any size; in UTF-16, which has zero bytes, it would not be seen.
    if len(content) > LARGEST or b"\0" in content or b"<!" in content.replace(b"<!--", b""):
        faults.append(f"{name} is larger than {LARGEST} bytes or declares a document type; it is no report of Open-i")
        return
    try:
        report = ElementTree.fromstring(content)  # nosec B314  # as above
    except ElementTree.ParseError:
        faults.append(f"{name} is no XML, or cut short; fetch the reports again")
        return
    number = report.find("uId")
    major = _texts(report, "MeSH/major")
    heads = [heading.split("/")[0].strip() for heading in major]
    cells = [BETWEEN.join(dict.fromkeys(words)) for words in (heads, major, _texts(report, "MeSH/automatic"))]
    for image in report.iter("parentImage"):
        yield (image.get("id", ""), "" if number is None else number.get("id", ""), *cells)


def _texts(report: ElementTree.Element, place: str) -> list[str]:
    return [(each.text or "").strip() for each in report.findall(place)]
