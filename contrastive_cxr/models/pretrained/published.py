"""Published weights: where they come from, and files of the libraries' caches against the digest in their name.

torchvision and timm check a file while they download it, or not at all, and never again; and torchvision unpickles what
it finds. Here a file is checked at every use, a second a gigabyte, and only plain tensors are unpickled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contrastive_cxr import files
from contrastive_cxr.errors import RequestError

# torch's word: no torch.load of this process runs code of a pickle, whatever its caller asks for
_PLAIN = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@dataclass(frozen=True)
class Origin:
    """Where published weights come from.

    Parameters
    ----------
    kind : str
        `package`: an installed package of weights; `cache`: a file in the cache of torchvision or of the hub;
        `network`: a download.
    place : str
        Name and version of the package, path of the cached file, or the address.
    sha256 : str
        Digest of the file; '' where it is not on this machine.
    """

    kind: Literal["package", "cache", "network"]
    place: str
    sha256: str

    def words(self) -> str:
        """Place and digest.

        Examples
        --------
        >>> Origin("package", "some-weights 0.1.0", "57ab").words()
        'the installed package some-weights 0.1.0 (SHA-256 57ab)'
        """
        what = {"package": "the installed package", "cache": "the cached file", "network": "a download from"}
        digest = f"SHA-256 {self.sha256}" if self.sha256 else "they are not on this machine"
        return f"{what[self.kind]} {self.place} ({digest})"


def digest_of(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits; '' where there is no such file."""
    return files.digest(path) if path.is_file() else ""


def check(path: Path, digest: str) -> None:
    """Refuse a file that is not the published one.

    Parameters
    ----------
    path : Path
        A file of a cache; one that is not there is as good as checked, since it is downloaded.
    digest : str
        Its SHA-256, or the first digits of it; '' where it is not known.

    Raises
    ------
    RequestError
        The file is another: damaged, cut short or altered.
    """
    if not digest or not path.is_file():
        return
    found = files.digest(path)
    if not found.startswith(digest):
        raise RequestError(
            f"model.weights=imagenet: {path} is not the published file (digest {found[:12]}, published "
            f"{digest[:12]}): it was cut short or altered; remove it, and it is downloaded again"
        )


def named(file: str) -> str:
    """The digest in a file's name, as published weights carry it; '' where there is none.

    Examples
    --------
    >>> named("densenet169-b2777c0a.pth"), named("vit-224.pth")
    ('b2777c0a', '')
    """
    found = re.search(r"-([0-9a-f]{8,64})\.", file)
    return found[1] if found else ""


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Inside, `torch.load` reads plain tensors alone, also where a library asks it for more."""
    before = os.environ.get(_PLAIN)
    os.environ[_PLAIN] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PLAIN]
        else:
            os.environ[_PLAIN] = before
