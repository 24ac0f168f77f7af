"""The file that a table's name means: the very one, or the one that differs as tables and folders usually differ."""

from __future__ import annotations

import posixpath
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from contrastive_cxr.data.files.addresses import split
from contrastive_cxr.data.tables.text_tables import at_most

# Endings that are taken for one, in a table or of a file.
ENDINGS = (
    ".nii.gz", ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".ima", ".webp",
    ".gif", ".jp2", ".j2k", ".pgm", ".pnm", ".nii", ".nrrd", ".npy",
)  # fmt: skip
SHOWN = 3
DEEPEST = 8  # folders below the root in which a bare name is looked for

Listing = Callable[[str], Mapping[str, bool]]
"""What a folder holds, given relative to the root with `/` ('' the root): {name: whether it is a folder}; empty where
there is no such folder."""


@dataclass(frozen=True)
class Resolved:
    """The files of N names, relative to the root; a name without a file stays as it is.

    Attributes
    ----------
    paths : list of str
    repairs : {kind: [(name, file)]}
        Names that are not the file's own.
    missing : list of int
        Numbers of the names without a file.
    faults : list of str
        Names that several files fit.
    """

    paths: list[str]
    repairs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def notes(self, place: str) -> list[str]:
        """One sentence for each kind of repair, with its count and first examples."""
        found = []
        for kind, pairs in self.repairs.items():
            shown = ", ".join(f"'{name}' is '{path}'" for name, path in pairs[:SHOWN])
            more = f" and {len(pairs) - SHOWN:,} more" if len(pairs) > SHOWN else ""
            found.append(f"{place}: {len(pairs):,} files are found {kind} ({shown}{more})")
        return found


def resolve(names: Sequence[str], listing: Listing) -> Resolved:
    """Find the file of each name.

    The name itself counts where there is such a file. Else exactly one file has to fit, by backslashes read as
    slashes, another case or Unicode form of a file or folder, a missing ending, another ending; for a name without a
    folder, the same in any folder below the root. In this order, and no file that another row names itself.

    Parameters
    ----------
    names : sequence of str
        Relative to the root, with `/`, as `posixpath.normpath` leaves them; of a frame or slice its address
        (`scan.dcm#frame=3`), of which the file is found.
    listing : callable
        What the folders hold, asked once a folder.
    """
    folders = _Folders(listing)
    parts = [split(name) for name in names]
    files = list(dict.fromkeys(file for file, _ in parts))
    lost = [name for name in files if not folders.has(name)]
    own, meant, gone = set(files).difference(lost), dict(zip(files, files, strict=True)), set()
    found = Resolved([])
    for name in lost:
        fitting, kinds = _fitting(name, folders, own)
        if not fitting and "/" not in name:
            fitting, kinds = _deeper(name, folders, own)
        if len(fitting) == 1:
            meant[name] = fitting[0]
            for kind in kinds:
                found.repairs.setdefault(kind, []).append((name, fitting[0]))
        elif fitting:
            found.faults.append(
                f"'{name}' is no file, and {len(fitting)} files fit it ({', '.join(fitting[:SHOWN])}"
                f"{' ...' if len(fitting) > SHOWN else ''}); write the whole name of the one that is meant"
            )
        else:
            gone.add(name)
    paths = [f"{meant[file]}{inside or ''}" for file, inside in parts]
    missing = [number for number, (file, _) in enumerate(parts) if file in gone]
    return Resolved(paths, found.repairs, missing, at_most(found.faults))


def below(names: Sequence[str], listing: Listing) -> str:
    """The beginning that all names have and that has to be taken off them so that the first is there; '' where none."""
    if not names:
        return ""
    folders = _Folders(listing)
    parts = split(names[0])[0].split("/")
    for depth in range(1, len(parts)):
        prefix = "/".join(parts[:depth]) + "/"
        if folders.has("/".join(parts[depth:])) and all(name.startswith(prefix) for name in names):
            return prefix
    return ""


class _Folders:
    """What the folders of a tree hold, listed once each."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._held: dict[str, Mapping[str, bool]] = {}
        self._alike: dict[tuple[str, str], dict[str, list[str]]] = {}
        self._below: dict[str, list[str]] | None = None

    def held(self, folder: str) -> Mapping[str, bool]:
        if folder not in self._held:
            self._held[folder] = self._listing(folder)
        return self._held[folder]

    def has(self, name: str) -> bool:
        """Whether there is such a thing, as a file or a folder: the latter is refused later, by name."""
        folder, base = posixpath.split(name)
        return base in self.held(folder)

    def folders(self, name: str) -> list[str]:
        """The folders that a name means: itself, else those whose names differ in case or Unicode form alone."""
        places = [""]
        for part in name.split("/") if name else ():
            places = [posixpath.join(place, each) for place in places for each in self.inside(place, part)]
        return places

    def inside(self, folder: str, name: str) -> list[str]:
        """The folders in a folder that a name means."""
        held = self.held(folder)
        if held.get(name) or name in ("", ".."):
            return [name or "/"]
        if name in held and self.held(posixpath.join(folder, name)):  # an archive, which is a folder too
            return [name]
        return [each for each in self.alike(folder, "name").get(folded(name), []) if held[each]]

    def alike(self, folder: str, by: str) -> dict[str, list[str]]:
        """The names in a folder by what they come to without case, and (`stem`) without their ending."""
        if (folder, by) not in self._alike:
            found: dict[str, list[str]] = {}
            for name in self.held(folder):
                found.setdefault(folded(name if by == "name" else stem(name)), []).append(name)
            self._alike[folder, by] = found
        return self._alike[folder, by]

    def below(self) -> dict[str, list[str]]:
        """All files below the root that are not hidden, by their names without case and ending."""
        if self._below is None:
            self._below, waiting = {}, [""]
            while waiting:
                folder = waiting.pop()
                for name, is_folder in self.held(folder).items():
                    place = posixpath.join(folder, name)
                    if name.startswith((".", "__MACOSX")):
                        continue
                    if not is_folder:
                        self._below.setdefault(folded(stem(name)), []).append(place)
                    elif place.count("/") < DEEPEST:
                        waiting.append(place)
        return self._below


def folded(name: str) -> str:
    """A name without case, in one Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def stem(name: str) -> str:
    """A file's name without its ending, where that is one of an image.

    Examples
    --------
    >>> stem("a.nii.gz"), stem("1.2.840"), stem("x.JPG")
    ('a', '1.2.840', 'x')
    """
    ending = next((each for each in ENDINGS if name.lower().endswith(each)), "")
    return name[: len(name) - len(ending)] if len(ending) < len(name) else name


def _fitting(name: str, folders: _Folders, own: set[str]) -> tuple[list[str], list[str]]:
    """The files that fit a name in the closest way that any file does, and the kinds of repair."""
    straight = posixpath.normpath(name.replace("\\", "/")) if "\\" in name else name
    kinds = ["with / in the place of backslashes"] if straight != name else []
    if straight.startswith(("../", "/")):
        return [], kinds
    if straight != name and folders.has(straight):
        return [straight], kinds
    above, base = posixpath.split(straight)
    for how, key in (("name", folded(base)), ("stem", folded(stem(base)))):
        fitting = [
            posixpath.join(place, each)
            for place in folders.folders(above)
            for each in folders.alike(place, how).get(key, [])
            if not folders.held(place)[each] and posixpath.join(place, each) not in own
        ]
        if fitting:
            return sorted(fitting), [*kinds, *_kinds(straight, fitting[0])]
    return [], kinds


def _deeper(name: str, folders: _Folders, own: set[str]) -> tuple[list[str], list[str]]:
    """The files in any folder that a bare name fits, its very name before all that are alike; and the repairs."""
    alike = [path for path in folders.below().get(folded(stem(name)), []) if path not in own]
    exact = [path for path in alike if posixpath.basename(path) == name]
    fitting = sorted(exact or alike)
    said = "in a folder that the table leaves out"
    return fitting, [said, *_kinds(name, posixpath.basename(fitting[0]))] if fitting else []


def _kinds(name: str, path: str) -> list[str]:
    """In what a file's path differs from the name that a table gives it."""
    found = []
    bare, short = (posixpath.join(posixpath.dirname(each), stem(posixpath.basename(each))) for each in (name, path))
    endings = name[len(bare) :].lower(), path[len(short) :].lower()
    if endings[0] == endings[1]:
        bare, short = name, path
    else:
        found.append("with another ending" if endings[0] else "with an ending that the table leaves out")
    if unicodedata.normalize("NFC", bare) != unicodedata.normalize("NFC", short):
        found.append("in another case")
    if bare.casefold() != short.casefold():
        found.append("in another Unicode form")
    return found
