"""One target in this process.

python -m benchmarks.verification.fuzz_targets fuzz TARGET FOLDER SECONDS
python -m benchmarks.verification.fuzz_targets replay TARGET FILE...

`benchmarks.verification.fuzz` starts this, and starts it again where an input has killed it.
"""

from __future__ import annotations

import logging
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmarks.verification import fuzz_targets
from benchmarks.verification.fuzz_targets.ledger import Ledger, signature

INSTRUMENTED = [
    "contrastive_cxr",
    "PIL",
    "pydicom",
    "python_multipart",
    "yaml",
    "numpy.lib._format_impl",
    "benchmarks.verification.fuzz_targets",
]
SAVED = 5.0  # seconds between two writings of the state
LIMITS = {"bytes": 8192, "seconds": 30, "gigabytes": 2}
"""Of one input: its length, the time it may take, and the memory it may take beside what the process has already."""


def main(words: list[str]) -> None:
    """Fuzz or replay."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if words[0] == "fuzz":
        fuzz(words[1], Path(words[2]), float(words[3]))
    else:
        replay(words[1], [Path(word) for word in words[2:]])


def fuzz(name: str, folder: Path, seconds: float) -> None:
    """Fuzz for so long, then leave the process; what the corpus holds is where it goes on."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        target = fuzz_targets.target(name)
        seeds = target.seeds()
    ledger = Ledger(folder)
    for word, content in seeds.items():
        (folder / "corpus" / f"seed-{word}").write_bytes(content)
    options = {
        "max_len": LIMITS["bytes"],
        "timeout": LIMITS["seconds"],
        "rss_limit_mb": 0,  # the limit of the system is set instead: it is one of an input
        "artifact_prefix": f"{folder / 'findings'}/",
        "print_final_stats": 1,
        "len_control": 0,
        "seed": ledger.state["starts"] + 1,
    }
    if (Path(__file__).parent / f"{name}.dict").is_file():
        options["dict"] = Path(__file__).parent / f"{name}.dict"
    for content in seeds.values():  # so that the limit of memory comes on top of what every input needs
        judged(target.run, content)
    limit_memory()
    ledger.start()
    one = counted(target.run, ledger, time.monotonic() + seconds)
    atheris.Setup([name, *(f"-{key}={value}" for key, value in options.items()), str(folder / "corpus")], one)
    atheris.Fuzz()


def counted(run: Callable[[bytes], None], ledger: Ledger, end: float) -> Callable[[bytes], None]:
    """What the fuzzer calls: an input is counted, what it breaks is kept, and at the `end` the process is left."""
    saved = time.monotonic()

    def one(content: bytes) -> None:
        nonlocal saved
        error = judged(run, content)
        ledger.state["executions"] += 1
        if error and ledger.keep(signature(error), content, "".join(traceback.format_exception(error))):
            sys.stderr.write(f"finding: {signature(error)}\n")
        now = time.monotonic()
        if now - saved > SAVED or now > end:
            ledger.save()
            saved = now
        if now > end:
            os._exit(0)  # the fuzzer's own way out skips Python's, too

    return one


def replay(name: str, files: list[Path]) -> None:
    """Print a line for each file: `held`, or the signature of what it raises."""
    target = fuzz_targets.target(name)
    for content in target.seeds().values():
        judged(target.run, content)
    limit_memory()
    for file in files:
        error = judged(target.run, file.read_bytes())
        sys.stdout.write(f"{file.name} {signature(error) if error else 'held'}\n")
        sys.stdout.flush()


def judged(run: Callable[[bytes], None], content: bytes) -> Exception | None:
    """What breaks the contract of a target, None where it is kept."""
    from contrastive_cxr.errors import CcxrError

    try:
        run(content)
    except CcxrError:
        return None
    except Exception as error:  # the contract is that there is no other
        return error
    return None


def limit_memory() -> None:
    """From now on the process may take so much more than it has; beyond, an allocation fails as MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + LIMITS["gigabytes"] * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main(sys.argv[1:])
