"""Every machine of a cluster has the same version of this package as the command: others would write other vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contrastive_cxr import __version__
from contrastive_cxr.errors import raise_faults

WAIT_SECONDS = 60.0
"""For a worker process on each machine, which imports this package."""


def probe() -> Callable[[], str]:
    """A function that says which version a worker has; it is sent as it stands, as a worker may lack this package."""

    def version() -> str:
        try:
            from contrastive_cxr import __version__ as found
        except ImportError:
            return ""
        return str(found)

    return version


def faults(found: Mapping[str, str | None], wanted: str = __version__) -> list[str]:
    """One sentence for each machine that cannot work with this command.

    Parameters
    ----------
    found : {machine: version}
        '' where this package is missing, None where no worker answered.
    wanted : str
        The version of this command.

    Examples
    --------
    >>> faults({"node-1 (10.0.0.2)": "0.0.9", "node-2 (10.0.0.3)": "0.1.0"}, "0.1.0")[0][:75]
    'worker node-1 (10.0.0.2): has ccxr 0.0.9, and this command is ccxr 0.1.0; i'
    """
    said = []
    for machine, version in found.items():
        cure = f"install version {wanted} there, in the environment that Ray was started in"
        if version is None:
            said.append(f"worker {machine}: did not answer in {WAIT_SECONDS:.0f} s; look at `ray status`")
        elif not version:
            said.append(f"worker {machine}: has no ccxr, and this command is ccxr {wanted}; {cure}")
        elif version != wanted:
            said.append(f"worker {machine}: has ccxr {version}, and this command is ccxr {wanted}; {cure}")
    return said


def check(ray: Any) -> None:
    """Ask a worker on every machine that does work.

    Raises
    ------
    RequestError
        Every machine with another version, with none, or without an answer.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in ray.nodes():
        if not node["Alive"] or not {"CPU", "GPU"} & set(node["Resources"]):
            continue
        on = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
        remote = ray.remote(num_cpus=0, scheduling_strategy=on)(probe())
        asked[remote.remote()] = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=WAIT_SECONDS) if asked else ([], [])
    answered = set(ready)
    raise_faults(faults({name: ray.get(each) if each in answered else None for each, name in asked.items()}))
