"""Work that is cut into calls of one function: done here one after the other, or by the workers of a cluster.

What is cut (decoding, the search for copies) is written against `Spread` and knows nothing of the engine that runs it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from contrastive_cxr.errors import nearest

ENGINES = ("embedded", "ray")


class Spread(Protocol):
    """Calls of functions of this package; what they are given and give back can be pickled."""

    @property
    def workers(self) -> int:
        """How many calls run side by side."""

    def results(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """`function(*arguments)` of each call, in the order of the calls; a few calls at a time are under way.

        Arguments may be handles of `kept`: the function gets what they stand for.
        """

    def kept(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]], parts: int = 1) -> list[Any]:
        """A handle for the result of each call, which stays where it was made.

        With `parts` above 1 the function returns a tuple of so many parts, and a call has a list of as many handles.
        """


class Here:
    """Every call in this process, one after the other; a handle is the result itself."""

    workers = 1

    def results(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """As in `Spread`."""
        return (function(*arguments) for arguments in calls)

    def kept(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]], parts: int = 1) -> list[Any]:
        """As in `Spread`."""
        return [function(*arguments) if parts == 1 else list(function(*arguments)) for arguments in calls]


@dataclass(frozen=True)
class Engine:
    """The engine that a command is given.

    Attributes
    ----------
    name : str
        `embedded` (this process) or `ray`.
    address : str or None
        Of a running Ray cluster: `auto` (the one that this machine belongs to) or HOST:PORT. None: one that is started
        on this machine and ended with the command.
    """

    name: str = "embedded"
    address: str | None = None

    @property
    def is_ray(self) -> bool:
        """Whether workers of Ray do the work."""
        return self.name == "ray"

    def faults(self) -> list[str]:
        """What is wrong with the words, and whether Ray is installed; nothing is connected.

        Examples
        --------
        >>> Engine("rya").faults()
        ["--engine rya: is not one of embedded, ray (did you mean 'ray'?)"]
        >>> Engine(address="auto").faults()
        ['--address auto: belongs to --engine ray; give both, or leave it out']
        """
        if self.name not in ENGINES:
            return [f"--engine {self.name}: is not one of {', '.join(ENGINES)}{nearest(self.name, ENGINES)}"]
        if not self.is_ray:
            words = f"--address {self.address}: belongs to --engine ray; give both, or leave it out"
            return [] if self.address is None else [words]
        found = [] if self.address is None else _address_faults(self.address)
        if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
            found.append("--engine ray: Ray is not installed; pip install 'contrastive_cxr[ray]'")
        return found


def _address_faults(address: str) -> list[str]:
    """What is wrong with the word alone."""
    if address.startswith("ray://"):
        return [
            f"--address {address}: a Ray Client is not taken; call ccxr on a machine of the cluster: --address auto"
        ]
    host, colon, port = address.rpartition(":")
    if address != "auto" and not (host and colon and port.isdigit() and 0 < int(port) < 65536):
        return [f"--address {address}: must be auto, or HOST:PORT of the cluster's head, such as 10.0.0.1:6379"]
    return []
