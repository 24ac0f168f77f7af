"""What the commands print."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.alerts import Alert, wrapped
from contrastive_cxr.errors import visible
from contrastive_cxr.run import processes
from contrastive_cxr.run_layout import CLASSIFIERS, STAGES, phases_with_model
from contrastive_cxr.status_line import has_styles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from contrastive_cxr.training.dry_run import Plan


def say(text: str) -> None:
    """Text to the terminal, what would steer it as escapes; of several processes (torchrun) the first one speaks."""
    if processes.is_first():
        typer.echo("\n".join(visible(line) for line in text.split("\n")))


def tell(text: str) -> None:
    """As `say`, of what is no result: --quiet leaves it out."""
    if not terminal.is_quiet():
        say(text)


def print_next(*steps: tuple[str, str]) -> None:
    """What may be done next: (what for, command), the commands whole so that they can be copied; not with --quiet."""
    if steps and not terminal.is_quiet():
        say("Next:")
        width = max(len(what) for what, _ in steps)
        for what, command in steps:
            say(f"  {what:{width}}  {command}")


def look_at(page: Path) -> tuple[str, str]:
    """The step that opens a page; as `print_next` takes it."""
    return "look", f"open {shlex.quote(str(page))} in a browser"


def after_run(out: Path) -> list[tuple[str, str]]:
    """What a finished run can be used for, by the models that it has; of a cascade its flat run is used."""
    found, pool = phases_with_model(out), (out / "parts.json").is_file()
    if not found and not pool and phases_with_model(out / STAGES[0]):
        return after_run(out / STAGES[0])
    steps = [("predict", f"ccxr predict {shlex.quote(str(out))} IMAGES --out predictions.csv")]
    steps = steps if pool or set(found) & set(CLASSIFIERS) else []
    place = shlex.quote(str(out))
    uses = [
        ("explore", f"ccxr explore {place}"),
        ("export", f"ccxr export {place} --to onnx --out {shlex.quote(f'{out}-onnx')}"),
    ]
    return [*steps, *([*to_similar(out, "train"), *uses] if found else [])]


def to_similar(run: Path, source: str, image: str = "IMAGE", options: str = "") -> list[tuple[str, str]]:
    """The steps to similar cases: a gallery of `source` in the run, where it has none yet, and a search for `image`."""
    gallery = run / "gallery"
    place = shlex.quote(str(gallery))
    make = ("gallery", f"ccxr index {shlex.quote(str(run))} {shlex.quote(source)}{options} --out {place}")
    search = ("search", f"ccxr search {place} {image}")
    return [search] if gallery.is_dir() else [make, search]


def prose(text: str, under: int | None = None) -> None:
    """A sentence to the terminal, broken between words where it is longer than a line (`alerts.wrapped`)."""
    say(wrapped(text, sys.stdout, under))


def clipped(line: str) -> str:
    """A line cut to the terminal's width, `...` in the place of what does not fit; whole where it goes to a file."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()):
        return line
    width = shutil.get_terminal_size().columns
    return line if len(line) <= width else f"{line[: width - 3].rpartition(' ')[0].rstrip(' ,;:')}..."


def _console() -> Console:
    """The terminal as rich writes to it, without bold and colours where `status_line.has_styles` says no."""
    from rich.console import Console

    return Console(color_system="auto" if has_styles() else None)


def table(title: str, columns: list[str], rows: list[tuple[Any, ...]], whole: int = 0) -> None:
    """A table to the terminal; numbers to the right, the cells of the first `whole` columns on one line.

    Where the columns do not fit beside each other they come in several tables, each with the first
    column; no cell is cut.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text  # a name in brackets is a name, not markup

    console = _console()
    console.print(Text(title, style="bold"))  # above the table: as its title it would be as narrow as the table
    cells = [[f"{cell:,}" if isinstance(cell, int) else visible(str(cell)) for cell in row] for row in rows]
    for part in beside(columns, cells, console.width, whole):
        grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for number, width in part.items():
            right = bool(rows) and isinstance(rows[0][number], int | float)
            grid.add_column(Text(columns[number]), justify="right" if right else "left", width=width, overflow="fold")
        for row in cells:
            grid.add_row(*(Text(_broken(row[number], width)) for number, width in part.items()))
        console.print(grid)


_NARROWEST = 24
"""A longer word, such as a path, is broken rather than given a table of its own."""


def _broken(cell: str, width: int) -> str:
    """A cell that is longer than its column, broken before its interval and not inside it."""
    return re.sub(r" (?=\([+\-\u2212]?\d)", "\n", cell) if len(cell) > width else cell


def beside(columns: list[str], cells: list[list[str]], width: int, whole: int = 0) -> list[dict[int, int]]:
    """The tables into which a table is divided for a width in letters: of each its columns and their widths.

    The first column is in all of them. A column is as wide as its cells, or at least as its longest word or interval.

    Examples
    --------
    >>> beside(["run", "accuracy", "auc"], [["a", "0.5 (0.4-0.6)", "0.7 (0.6-0.8)"]], 25)
    [{0: 3, 1: 9, 2: 9}]
    >>> beside(["run", "accuracy", "auc"], [["a", "0.5 (0.4-0.6)", "0.7 (0.6-0.8)"]], 24)
    [{0: 3, 1: 13}, {0: 3, 2: 13}]
    """
    least, most = [], []
    for number, column in enumerate(columns):
        every = [column, *(row[number] for row in cells)]
        most.append(max(map(len, every)))
        words = (len(word) for cell in every for word in re.findall(r"\([+\-\u2212]?\d[^)]*\)|\S+", cell))
        least.append(most[-1] if number < whole else min(max(words, default=0), _NARROWEST))
    parts = [[0]]
    for number in range(1, len(columns)):
        if _taken([least[each] for each in (*parts[-1], number)]) > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(number)
    return [_widened(part, least, most, width) for part in parts]


def _taken(widths: list[int]) -> int:
    """Letters of a line of a table: its cells, and two blanks between them."""
    return sum(each + 2 for each in widths) - 2


def _widened(part: list[int], least: list[int], most: list[int], width: int) -> dict[int, int]:
    """The widths of a table's columns: the room that is left goes to the columns in their order."""
    found = {number: least[number] for number in part}
    for number in part:
        spare = max(0, width - _taken(list(found.values())))
        found[number] += min(spare, most[number] - least[number])
    return found


def checklist(rows: list[tuple[str, str, str, str]]) -> None:
    """What was looked at: its state (ok, missing, fault), its name, what was found, and what to do."""
    from rich.table import Table
    from rich.text import Text

    console = _console()
    ticks = {"ok": ("\u2713", "ok", "green"), "missing": ("\u2212", "--", "yellow"), "fault": ("\u2717", "!!", "red")}
    plain = not (console.encoding or "").lower().startswith("utf")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for state, what, words, advice in rows:
        sign, letters, colour = ticks[state]
        found = Text(visible(words))
        if advice:
            found.append(f"\n{visible(advice)}", style=colour)
        grid.add_row(Text(letters if plain else sign, style=colour), Text(what), found)
    console.print(grid)


def print_findings(verdict: dict[str, Any], command: str = "") -> None:
    """The findings of an audit: leaks and warnings between coloured lines, the rest as sentences."""
    from contrastive_cxr.datasets.audit_words import alert_of, of_level

    print_alert(alert_of(verdict, command))
    notes = [each["sentence"] for each in of_level(verdict, "note")]
    for sentence in notes if verdict.get("findings") else verdict.get("sentences", ()):
        prose(f"- {sentence}")


def print_audit_of(audit: dict[str, Any] | None) -> None:
    """The leaks and warnings of a report; said again beside its scores, hours after the audit said them."""
    from contrastive_cxr.datasets.audit_words import alert_of

    if audit is not None:
        print_alert(alert_of(audit, audit["command"]))


def print_alert(found: Alert | None) -> None:
    """An alert to the terminal; its texts are without signs that would steer it."""
    if found is not None and processes.is_first():
        typer.echo(found.text(sys.stdout), color=True)


def print_plan(plan: Plan, runs: int = 1) -> None:
    """The lines, what was found of the data, and with --verbose all settings, counts, parameters and sizes.

    `runs`: of folds or seeds, how many runs like this one there will be.
    """
    from contrastive_cxr.training.plan_words import lines

    if terminal.is_verbose():
        print_details(plan)
    for name, words in lines(plan).items():
        prose(f"{name + ':':9}{words}", under=9)
    if runs > 1:
        prose(f"Runs:    {runs}; steps, time and disk above are those of one", under=9)
    for line in (*(line for line in plan.grey if line.startswith("warning: ")), *plan.notes):
        prose(line)
    print_audit(plan.audit)
    if not terminal.is_verbose():
        prose("Nothing was trained. All settings and the blocks of the network: ccxr --verbose run ... --dry-run")


def print_audit(audit: Mapping[str, Any] | None) -> None:
    """The audit's verdict and findings."""
    if audit is None:
        return prose(
            "Audit:   none within the run (evaluation.audit, or too many images); ccxr audit does one", under=9
        )
    if not audit["verdict"]["findings"]:
        return prose(f"Audit:   {audit['verdict']['sentences'][0]}", under=9)
    say(f"Audit:   {audit['verdict']['word']}")
    return print_findings(audit["verdict"], audit["command"])


def print_details(plan: Plan) -> None:
    """The resolved recipe, the counts, the trainable parameters by block, and the disk."""
    from contrastive_cxr.recipe import dump
    from contrastive_cxr.space import size_words

    say(dump(plan.recipe))
    columns = list(plan.counts[0])
    table("Images", columns, [tuple(row[name] for name in columns) for row in plan.counts])
    for line in plan.grey:
        prose(line)
    for phase in plan.phases:
        total = phase.epochs * phase.steps_per_epoch
        epochs = f"{phase.epochs} epochs x {phase.steps_per_epoch} steps"
        title = f"{phase.name}: {epochs} of {phase.batch} images = {total:,} steps"
        trainable, every = (sum(int(block[place]) for block in phase.blocks) for place in (1, 2))
        table(title, ["block", "trainable", "parameters"], [*phase.blocks, ("all", trainable, every)])
    needed = sum(plan.disk.values())
    title = f"Disk: up to {size_words(needed)} for the run folder, {size_words(plan.free)} free"
    folder, held = plan.cache
    rows = [*plan.disk.items(), ("all of the run folder", needed), (f"decoded images, in {folder}", held)]
    table(title, ["what", "size"], [(what, size_words(size)) for what, size in rows])


def print_batches(found: list[Any]) -> None:
    """The largest batch of each phase, and what a larger one met with."""
    columns = ["set", "images a step", "peak MiB", "a larger one"]
    rows = []
    for each in found:
        limit = f"there are no more than {each.most:,}" if each.limit == "images" else each.limit.split(";")[0]
        rows.append((f"{each.setting}={each.value}", each.images, round(each.peak_mib), limit))
    table("Largest batches that trained two steps here, of one process", columns, rows, whole=1)
    say("Several processes take that many each: multiply by their number. Nothing was trained or kept.")


def print_scores(folder: Path) -> None:
    """The scores of a report with intervals, the blind baselines beside, what the model adds to the best of them."""
    path = folder / "report.json"
    # another process may be before the report
    if terminal.is_quiet() or not path.is_file() or not processes.is_first():
        return
    facts = json.loads(path.read_text())
    print_audit_of(facts.get("audit"))
    rows: list[tuple[Any, ...]] = []
    for name, entry in facts["scores"].items():
        blind = (line["scores"][name]["value"] for line in facts.get("baselines", []))  # their intervals: report.html
        rows.append((name, value_words(entry), *("" if value is None else f"{value:.3f}" for value in blind)))
    names = [line["name"] for line in facts.get("baselines", [])]
    table(
        f"{facts['experiment']}: {facts['split']} part, {facts['n']} images", ["score", "model", *names], rows, whole=2
    )
    if facts.get("adds"):
        prose(facts["adds"]["sentence"])
    for sentence in (facts.get("advice") or {"sentences": []})["sentences"]:
        prose(sentence)


def value_words(entry: dict[str, Any]) -> str:
    """`0.893 (0.861-0.921)`, or why there is no value.

    Examples
    --------
    >>> value_words({"value": 0.5, "n": 4, "low": 0.25, "high": 0.75})
    '0.500 (0.250-0.750)'
    """
    if entry["value"] is None:
        return f"undefined: {entry.get('reason', 'no rows')}"
    if entry.get("low") is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} ({entry['low']:.3f}-{entry['high']:.3f})"
