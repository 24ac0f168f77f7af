"""The program of `test_two_processes`: one launch for the tests of all rooms, as starting a process takes seconds.

It forks: the environment is that of `torchrun --nproc-per-node 2`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from contrastive_cxr import engine
from contrastive_cxr.engine.fabric import report_lost_process
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.recipe import schema
from tests.engine import two as engines
from tests.phases import two as phases


def main(folder: Path) -> None:
    """Do as one of two processes what the rooms want; then the second one dies, and the first says what it meets."""
    child = os.fork()  # after the imports, which are most of the time
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if child else "1"
    fabric = engine.launch(schema.Runtime(device="cpu"))
    engines.work(fabric, folder)
    torch.save(phases.train(fabric, folder), folder / f"{fabric.global_rank}.pt")
    fabric.barrier()
    if not child:
        os._exit(3)
    assert os.waitpid(child, 0)[1] == 3 << 8, "the second process failed"
    try:
        with report_lost_process(fabric, "Go on with --resume"):
            engine.gather(fabric, torch.zeros(1))
    except CcxrError as error:
        (folder / "said").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
