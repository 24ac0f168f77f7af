"""What `torch.save` wrote, read as plain tensors: no class that stands in a file is imported, and no code of it run.

torch's unpickler for plain tensors reads the file. Every other name in it stands for `Record`, which keeps what the
object held. So a network that was saved whole gives its tensors, whatever its class.
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from contrastive_cxr.errors import RequestError, visible
from contrastive_cxr.files import is_plain_zip, is_zip

# What of Python's own library may stand in a checkpoint beside its tensors. Other names of it (open, getattr, eval,
# subprocess) are there to run code; they would not be run, and such a file is refused.
_HARMLESS = (
    "_codecs.encode", "argparse.Namespace", "builtins.bool", "builtins.bytes", "builtins.complex", "builtins.dict",
    "builtins.float", "builtins.frozenset", "builtins.int", "builtins.list", "builtins.object", "builtins.range",
    "builtins.set", "builtins.slice", "builtins.str", "builtins.tuple", "collections.", "copyreg._reconstructor",
    "datetime.", "decimal.", "enum.", "fractions.", "functools.partial", "logging.", "pathlib.", "random.Random",
    "types.SimpleNamespace", "typing.", "uuid.",
)  # fmt: skip
_UNSAFE = re.compile(r"GLOBAL ([\w.]+)")
_MANY = 500  # names in a file of the old format, which is read anew for each


class Record:
    """Stands for an object in a file whose class is not imported: what it held is kept, nothing of it is run."""

    held: Any = None

    def __new__(cls, *_: Any) -> Record:
        return object.__new__(cls)

    def __init__(self, *_: Any) -> None:
        return

    def __setstate__(self, state: Any) -> None:
        self.held = state


class _Dictionary:
    """Stands for a class of dictionaries: an ordered one is made in its place, which torch lets be filled."""

    def __new__(cls, *_: Any) -> Any:
        return OrderedDict()


def _stand_in(name: str) -> tuple[Any, str]:
    """What a name in a file stands for, as torch's unpickler takes it."""
    return (_Dictionary if re.search(r"[Dd]ict$", name) and not name.startswith("torch.nn.") else Record), name


def unpickled(path: Path, what: str) -> tuple[Any, tuple[str, ...]]:
    """What `torch.save` wrote, read as plain tensors and `Record`s, and the names of the classes of these.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        Stands before the path in an error.

    Raises
    ------
    RequestError
        It is damaged or of another kind, or names functions of Python's own library.
    """
    if is_zip(path) and _is_script(path):
        raise RequestError(
            f"{what} {path} is a network that torch.jit.save wrote, which is code; where you trust the file, save its "
            "tensors alone: torch.save(torch.jit.load(FILE).state_dict(), 'tensors.pth')"
        )
    if is_zip(path) and not is_plain_zip(path):
        raise RequestError(f"{what} {path} is a compressed zip, or a damaged one; give the file as torch.save wrote it")
    classes: list[str] = []
    try:
        if is_zip(path):
            classes = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        while True:
            code = [name for name in classes if _is_code(name)]
            if code:
                raise RequestError(_of_code(path, what, code))
            try:
                with torch.serialization.safe_globals([_stand_in(name) for name in classes]):
                    return torch.load(path, map_location="cpu", weights_only=True), tuple(classes)
            except Exception as error:  # a made-up pickle makes the unpickler raise anything
                more = [name for name in _UNSAFE.findall(str(error)) if name not in classes]
                if not more or len(classes) > _MANY:
                    raise
                classes += more[:1]  # the old format names one at a time
    except RequestError:
        raise
    except Exception as error:  # a damaged pickle may make any call of it fail
        raise RequestError(_unreadable(path, what, classes, str(error))) from error


def _is_code(name: str) -> bool:
    """Whether a name is of Python's own library, and none that a checkpoint may hold; torch leaves `builtins.` out."""
    whole = name if "." in name else f"builtins.{name}"
    whole = re.sub(r"^__builtin__\.", "builtins.", whole)
    return whole.partition(".")[0] in sys.stdlib_module_names and not whole.startswith(_HARMLESS)


_CURE = "open it with its own library and save the tensors alone: torch.save(network.state_dict(), 'tensors.pth')"


def _of_code(path: Path, what: str, names: list[str]) -> str:
    named = ", ".join(visible(name) for name in names[:3])
    return (
        f"{what} {path} holds no readable plain tensors: it names code of Python ({named}), and code of a file is "
        f"never run; where you trust the file, {_CURE}"
    )


def _is_script(path: Path) -> bool:
    """Whether an archive holds a compiled network (TorchScript)."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # damaged, as is said where it is read
        return False
    return any(name.startswith("code/") or name == "constants.pkl" for name in inside)


def _unreadable(path: Path, what: str, classes: list[str], error: str) -> str:
    """Why a file cannot be read; `error` is the unpickler's, of which only what it is about is used."""
    if "persistent_load of storage" in error:
        return (
            f"{what} {path} holds no readable plain tensors: it is a whole network in torch's old format, with its "
            f"source code, and code of a file is never run; where you trust the file, {_CURE}"
        )
    if "Can only" in error and classes:
        named = ", ".join(visible(name) for name in classes[:3])
        return (
            f"{what} {path} holds no readable plain tensors: they stand inside lists or dictionaries of its own "
            f"classes ({named}), and code of a file is never run; where you trust the file, {_CURE}"
        )
    return (
        f"{what} {path} holds no readable plain tensors: it was cut short or damaged ({path.stat().st_size} bytes), or "
        "torch.save did not write it; copy or download it again"
    )


def network(record: Record, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """The state of a network that was saved whole, or what else an object held."""
    held = record.held if isinstance(record.held, Mapping) else {}
    if "_modules" not in held:
        return dict(held)
    found: dict[str, Any] = {}
    for kind in ("_parameters", "_buffers"):
        found |= {f"{prefix}{name}": value for name, value in (held.get(kind) or {}).items()}
    for name, child in (held.get("_modules") or {}).items():
        if isinstance(child, Record) and depth < 32:
            found |= network(child, f"{prefix}{name}.", depth + 1)
    return found
