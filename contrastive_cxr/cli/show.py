"""What the commands print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from contrastive_cxr.errors import visible
from contrastive_cxr.run import processes


def say(text: str) -> None:
    """Text to the terminal, what would steer it as escapes; of several processes (torchrun) the first one speaks."""
    if processes.is_first():
        typer.echo("\n".join(visible(line) for line in text.split("\n")))


def table(title: str, columns: list[str], rows: list[tuple[Any, ...]], whole: int = 0) -> None:
    """A table to the terminal; numbers to the right, the cells of the first `whole` columns on one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text  # a name in brackets is a name, not markup

    grid = Table()
    for number, column in enumerate(columns):
        right = bool(rows) and isinstance(rows[0][number], int | float)
        grid.add_column(Text(column), justify="right" if right else "left", no_wrap=number < whole)
    for row in rows:
        grid.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else visible(str(cell))) for cell in row))
    console = Console()
    console.print(Text(title, style="bold"))  # above the table: as its title it would be as narrow as the table
    console.print(grid)


def print_plan(plan: Any) -> None:
    """The resolved recipe, the split, the steps, the trainable parameters by block, and the disk."""
    from contrastive_cxr.recipe import dump
    from contrastive_cxr.space import size_words

    say(dump(plan.recipe))
    columns = list(plan.counts[0])
    table("Images", columns, [tuple(row[name] for name in columns) for row in plan.counts])
    say(f"Weights before the first phase: {plan.start}")
    for note in plan.notes:
        say(note)
    for phase in plan.phases:
        total = phase.epochs * phase.steps_per_epoch
        epochs = f"{phase.epochs} epochs x {phase.steps_per_epoch} steps"
        title = f"{phase.name}: {epochs} of {phase.batch} images = {total:,} steps"
        trainable, every = (sum(block[place] for block in phase.blocks) for place in (1, 2))
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
    if not path.is_file() or not processes.is_first():  # another process may be before the report
        return
    facts = json.loads(path.read_text())
    rows: list[tuple[Any, ...]] = []
    for name, entry in facts["scores"].items():
        blind = (line["scores"][name]["value"] for line in facts.get("baselines", []))  # their intervals: report.html
        rows.append((name, value_words(entry), *("" if value is None else f"{value:.3f}" for value in blind)))
    names = [line["name"] for line in facts.get("baselines", [])]
    table(
        f"{facts['experiment']}: {facts['split']} part, {facts['n']} images", ["score", "model", *names], rows, whole=2
    )
    if facts.get("adds"):
        say(facts["adds"]["sentence"])
    for sentence in (facts.get("advice") or {"sentences": []})["sentences"]:
        say(sentence)


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
