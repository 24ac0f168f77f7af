"""Coverage-guided fuzzing of everything that reads a stranger's bytes: decode, manifest, recipe, model, gallery, api.

python -m benchmarks.verification.fuzz [--targets decode ...] [--minutes 10] [--folder runs/fuzz]
python -m benchmarks.verification.fuzz --properties [--folder runs/fuzz]
python -m benchmarks.verification.fuzz --record [--folder runs/fuzz]

Each target (`benchmarks/verification/fuzz_targets`) runs in a process of its own under atheris, from small
valid files made by code. Corpus, counts and findings stay in the folder, and the next call goes on from there. A
finding is any exception but `CcxrError`, a death of the process, an input of more than 30 s or 2 GiB.
`--properties` runs the property tests with many examples. `--record` runs every kept finding again on the code as it
is, and writes all of it to `benchmarks/results/fuzz.json`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.verification.fuzz_targets import NAMES
from benchmarks.verification.fuzz_targets.ledger import Ledger

RUNNER = [sys.executable, "-m", "benchmarks.verification.fuzz_targets"]
TREE = Path(__file__).resolve().parents[2]


def main() -> None:
    """Fuzz the targets in turn, or write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--minutes", type=float, default=10, help="of each target, beside what it has already")
    parser.add_argument("--folder", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--properties", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.properties:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "properties.json").write_text(json.dumps(properties(), indent=2))
        return
    if options.record:
        from benchmarks import record

        record.write(options.result, "fuzz", results(folder))
        return
    if importlib.util.find_spec("atheris") is None:
        sys.exit(
            "atheris is not installed: pip install 'contrastive_cxr[fuzz]'; it has wheels for Linux and Python 3.11 to "
            "3.13 (the kept findings are run without it: pytest tests/benchmarks/verification/test_fuzz.py)"
        )
    for name in options.targets:
        fuzz(name, folder / name, options.minutes * 60)


def fuzz(name: str, folder: Path, seconds: float) -> None:
    """Fuzz one target for so long, again and again where an input ends the process."""
    end = time.monotonic() + seconds
    folder.mkdir(parents=True, exist_ok=True)
    while (left := end - time.monotonic()) > 1:
        before = artifacts(folder)
        with (folder.parent / f"{name}.log").open("ab") as log:
            command = [*RUNNER, "fuzz", name, str(folder), str(left)]
            code = subprocess.run(command, cwd=TREE, stdout=log, stderr=log, check=False).returncode
        ledger = Ledger(folder)
        deaths = sorted(artifacts(folder) - before)
        for path in deaths:  # crash-..., timeout-..., oom-...: written by the fuzzer itself
            ledger.keep(f"{path.name.partition('-')[0]} {path.name[-12:]}", path.read_bytes(), f"exit code {code}")
        if code and not deaths:
            sys.exit(f"fuzzing {name} ended with {code} and left no input; see {folder.parent / name}.log")


def artifacts(folder: Path) -> set[Path]:
    """Inputs that ended the process."""
    return {path for word in ("crash", "timeout", "oom") for path in (folder / "findings").glob(f"{word}-*")}


def results(folder: Path) -> dict[str, Any]:
    """Counts of each target, its findings with what they do now, and the property tests."""
    tests = folder / "properties.json"
    known = [name for name in NAMES if (folder / name / "state.json").is_file()]
    return {
        "atheris": version("atheris"),
        "hypothesis": version("hypothesis"),
        "targets": {name: of_target(name, folder / name) for name in known},
        "properties": json.loads(tests.read_text()) if tests.is_file() else None,
    }


def version(package: str) -> str | None:
    """Version of a package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_target(name: str, folder: Path) -> dict[str, Any]:
    """One target: time, executions, inputs of the corpus, and each finding."""
    state = Ledger(folder).state
    found = state["findings"]
    now = replayed(name, [folder / "findings" / each["input"] for each in found.values()])
    corpus = [path.name for path in (folder / "corpus").iterdir()]
    return {
        "seconds": round(state["seconds"]),
        "cpu_seconds": round(state["cpu_seconds"]),
        "executions": state["executions"],
        "seeds": sum(each.startswith("seed-") for each in corpus),
        "corpus": len(corpus),
        "findings": [
            {"what": what, "after": each["after"], "times": each["times"], "now": now[each["input"]]}
            for what, each in sorted(found.items(), key=lambda pair: pair[1]["after"])
        ],
    }


def replayed(name: str, paths: list[Path]) -> dict[str, str]:
    """What each input does on the code as it is: `held`, what it raises, or how it ends the process."""
    command, seconds = [*RUNNER, "replay", name, *map(str, paths)], 120 + 30 * len(paths)
    try:
        done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, timeout=seconds, check=False)
        end, output = f"the process ends with {done.returncode}", done.stdout
    except subprocess.TimeoutExpired as late:
        end, output = f"more than {seconds} s", (late.stdout or b"").decode()
    words = [line.partition(" ") for line in output.splitlines()]
    found = {file: word for file, _, word in words if file in {path.name for path in paths}}
    if len(found) == len(paths):
        return found
    rest = paths[len(found) :]
    found[rest[0].name] = end
    return found | (replayed(name, rest[1:]) if rest[1:] else {})


def properties() -> dict[str, Any]:
    """The property tests with many examples: how many there are, how many examples they held for, and the time."""
    words = ["-q", "-m", "not slow", "-p", "no:xdist", "--hypothesis-show-statistics", "tests/properties"]
    begun = time.monotonic()
    environment = {**os.environ, "CCXR_PROPERTIES": "many"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=TREE, capture_output=True, text=True, env=environment, check=False
    )
    counts = re.findall(r"(\d+) passing, (\d+) failing", done.stdout)
    return {
        "tests": len(re.findall(r"^tests/properties/.*::", done.stdout, re.MULTILINE)),
        "examples": sum(int(passing) for passing, _ in counts),
        "failing_examples": sum(int(failing) for _, failing in counts),
        "seconds": round(time.monotonic() - begun),
        "outcome": done.stdout.strip().splitlines()[-1],
    }


if __name__ == "__main__":
    main()
