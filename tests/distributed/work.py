"""Work for the tests of a cluster; workers import this file, so it imports little."""

from __future__ import annotations

import os
import signal

from contrastive_cxr.errors import RequestError


def deadly(job: int) -> int:
    """Ends its process at job 2, however often it is begun."""
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


class Same:
    """A second step that changes nothing."""

    def __call__(self, value: int) -> int:
        return value


def refusing(job: int) -> int:
    """The negative; the fifth is refused."""
    if job == 5:
        raise RequestError("the fifth is wrong")
    return -job


def halves(job: int) -> tuple[int, int]:
    """Two parts."""
    return job, 10 * job


def total(*values: int) -> int:
    """Their sum."""
    return sum(values)
