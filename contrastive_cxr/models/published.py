"""Published weights as they lie in the libraries' caches: each file against the digest that its name carries.

torchvision and timm check a file while they download it, or not at all, and never again; and torchvision unpickles what
it finds. Here a file is checked at every use, a second a gigabyte, and only plain tensors are unpickled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contrastive_cxr import files
from contrastive_cxr.errors import RequestError

# torch's word: no torch.load of this process runs code of a pickle, whatever its caller asks for
_PLAIN = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


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
