"""Make `benchmarks/README.md` of the files in `benchmarks/results`.

python -m benchmarks.page
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import record

PAGE = Path(__file__).parent / "README.md"
HEAD = """# Benchmarks

Made by `python -m benchmarks.page` from the files in `results/`; do not edit by hand. Each file has the command, the
machine, the versions and the commit. A benchmark is one module, run by `python -m benchmarks.NAME` (`--help` says what
it asks and how it measures); `make bench-quick` runs all of them small, `make bench` at full size. Values are medians,
with quartiles in brackets where something was measured several times. Rivals are measured in turn, on the same images.
"""


def main() -> None:
    """Read, write."""
    results = [read(path) for path in sorted(record.RESULTS.glob("*.json"))]
    parts = [HEAD, wanted(results), *(section(result) for result in results if result.figures), others(results)]
    PAGE.write_text("\n".join(part for part in parts if part))
    record.say(f"written: {PAGE.name}")


def read(path: Path) -> record.Result:
    """A result, checked against its schema."""
    return record.Result.model_validate(json.loads(path.read_text()))


def wanted(results: list[record.Result]) -> str:
    """Aims beside what was measured."""
    rows = [aim(result, line) for result in results for line in result.figures if line.wanted]
    if not rows:
        return ""
    return "\n".join(
        ["## Wanted and measured\n", "| what | wanted | measured | met | file |", "|---|---|---|---|---|", *rows, ""]
    )


def aim(result: record.Result, line: record.Figure) -> str:
    """A row of the table of aims."""
    met = "yes" if line.met else "**no**"
    return f"| {line.name} | {line.wanted} | {value(line)} | {met} | [{result.name}](results/{file(result)}) |"


def section(result: record.Result) -> str:
    """All figures of a file, its machine and remarks."""
    device = machine(result)
    rows = [f"| {line.name} | {value(line)} |" for line in result.figures]
    head = [f"## {result.question or result.name}\n", f"`{result.command}`, {result.date}, {device}.\n"]
    note = [f"{result.words}\n"] if result.words else []
    return "\n".join([*head, *note, "| what | measured |", "|---|---|", *rows, ""])


def others(results: list[record.Result]) -> str:
    """Files without figures: runs and tables with a form of their own."""
    rows = [f"- [{one.name}](results/{file(one)}): {one.words or one.command}" for one in results if not one.figures]
    return "\n".join(["## Runs and tables\n", *rows, ""]) if rows else ""


def value(line: record.Figure) -> str:
    """The median, its unit and quartiles."""
    unit = f" {line.unit}" if line.unit else ""
    return f"{line.value:g}{unit}" + ("" if line.low is None else f" ({line.low:g} to {line.high:g})")


def file(result: record.Result) -> str:
    """The name of a result's file."""
    return f"{result.name}.json"


def machine(result: record.Result) -> str:
    """Device, threads and cores, version of torch."""
    known = result.environment
    name = known.get("device") or "device not recorded"
    versions = known.get("versions", {})
    return f"{name}, {known.get('threads', '?')} of {known.get('cores', '?')} cores, torch {versions.get('torch', '?')}"


if __name__ == "__main__":
    main()
