"""Commands that tell: the shipped recipes, and how this machine is equipped."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from contrastive_cxr import shipped
from contrastive_cxr.cli.show import checklist, clipped, print_next, prose, say
from contrastive_cxr.errors import RequestError, nearest

ACTIONS = {
    "list": "all shipped recipes",
    "show": "print one",
    "copy": "make your own of one",
    "fields": "every field with its type, unit and default",
    "schema": "JSON schema of recipes, for editors",
}
GROUPS = {
    "": "Without data",
    "chest": "Chest X-rays and CT slices together",
    "ct": "CT slices",
    "own": "Your own images",
    "systems": "Five published systems, rebuilt",
    "xray": "Chest X-rays",
}


def recipe_names(incomplete: str) -> list[tuple[str, str]]:
    """The shipped recipes whose name begins so, for the shell's completion; without any it offers files."""
    return [(name, shipped.sentence(name)) for name in shipped.names() if name.startswith(incomplete)]


def recipe_actions(incomplete: str) -> list[tuple[str, str]]:
    """The actions of `ccxr recipes` that begin so, for the shell's completion."""
    return [(word, words) for word, words in ACTIONS.items() if word.startswith(incomplete)]


def recipes(
    action: Annotated[
        str,
        typer.Argument(metavar="[ACTION]", help="list, show, copy, fields or schema.", autocompletion=recipe_actions),
    ] = "list",
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A shipped recipe (show, copy); a section or field such as embed.optimiser (fields).",
            autocompletion=recipe_names,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write (copy, schema); default of copy: NAME.yaml here.")
    ] = None,
) -> None:
    """List the shipped recipes, show or copy one, or list all fields.

    `ccxr recipes fields pretrain` prints each field of a section with its meaning, type, allowed words, unit and
    default. `ccxr init FOLDER` writes a recipe for your own images.

    `ccxr recipes schema` prints the JSON schema of recipes. An editor with a YAML language server completes and checks
    the keys of a recipe that has the line `# yaml-language-server: $schema=recipe.schema.json`; copy writes that line,
    and the schema beside the copy.
    """
    if action in shipped.names() and name is None:
        action, name = "show", action
    if action == "fields":
        return list_fields(name or "")
    if action not in ACTIONS or (action in ("show", "copy")) != (name is not None):
        raise RequestError(
            f"ccxr recipes {action}{nearest(action, ACTIONS) if action not in ACTIONS else ''}: "
            "use 'list', 'show NAME', 'copy NAME', 'fields [SECTION]' or 'schema'"
        )
    if name is not None:
        text = shipped.path(name).read_text(encoding="utf-8")
        return say(text) if action == "show" else copy(name, text, out)
    return list_recipes() if action == "list" else write_schema(out)


def list_recipes() -> None:
    """The names in groups, each with its sentence, which ends with the terminal's line."""
    width = max(map(len, shipped.names()))
    for folder, names in shipped.groups().items():
        title = GROUPS.get(folder, "")
        say(f"{folder}: {title}" if folder and title else title or folder)
        for name in names:
            say(clipped(f"  {name:{width}}  {shipped.sentence(name)}"))
    prose(
        "ccxr recipes show NAME prints one, ccxr recipes copy NAME makes your own of it, ccxr recipes fields SECTION "
        "explains settings, ccxr init FOLDER writes a recipe for your images."
    )


def list_fields(place: str) -> None:
    """Each field of a section, or of all, and what it means."""
    from contrastive_cxr.recipe.text import field_words

    for section in field_words.some_sections(place) if place else field_words.every_section():
        say(f"{section.path or 'recipe'}: {section.meaning}")
        for field in section.fields:
            unit = "" if field.unit == "-" else f", {field.unit}"
            default = {"-": "", "must be given": "; must be given"}.get(field.default, f"; default {field.default}")
            prose(f"  {field.path}  {field.type}{unit}{default}".replace("`", ""))
            prose(f"      {field.meaning}")
    if not place:
        say("ccxr recipes fields SECTION prints one section, such as pretrain or data.columns, or one field.")


def copy(name: str, text: str, out: Path | None) -> None:
    """Write a recipe to a new file, and the schema for editors beside it."""
    from contrastive_cxr.files import write_bytes
    from contrastive_cxr.recipe.text.json_schema import FILE, LINE

    target = out or Path(f"{name.replace('/', '-')}.yaml")
    if target.exists():
        raise RequestError(f"{target} exists; name another file with --out")
    schema = target.parent / FILE
    write_bytes(target, f"{LINE}\n{text}".encode())
    if not schema.exists():
        write_schema(schema)
    say(f"Copied to {target}")
    print_next(("check", shlex.join(["ccxr", "run", str(target), *roots_to_give(text), "--dry-run"])))


def roots_to_give(text: str) -> list[str]:
    """The settings that a recipe leaves to its user: the folder of each source that has none.

    Examples
    --------
    >>> roots_to_give("data: {join: [{source: csv}, {source: folders, root: a}]}")
    ['data.join.0.root=FOLDER']
    >>> roots_to_give("data: {source: folders}"), roots_to_give("data: {source: phantom}")
    (['data.root=FOLDER'], [])
    """
    from contrastive_cxr.recipe.text import yaml_text

    tree = yaml_text.parse(text)
    data = tree.get("data", {}) if isinstance(tree, dict) else {}
    joined = {f"data.join.{number}": each for number, each in enumerate(data.get("join", []))}
    return [
        f"{place}.root=FOLDER"
        for place, source in (joined or {"data": data}).items()
        if "root" not in source and source.get("source", "folders") != "phantom"
    ]


def write_schema(out: Path | None) -> None:
    """Print the JSON schema of recipes, or write it to a file."""
    import json

    from contrastive_cxr.files import write_bytes
    from contrastive_cxr.recipe import json_schema

    text = json.dumps(json_schema(), indent=1, ensure_ascii=False)
    if out is None:
        return say(text)
    write_bytes(out, f"{text}\n".encode())
    return say(f"Schema: {out}")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the raw facts instead of sentences.")] = False,
    speed: Annotated[bool, typer.Option("--speed/--no-speed", help="Train a small network for ten seconds.")] = True,
) -> None:
    """Look at this machine: device, memory, weights, extras, speed.

    What is missing stands beside the command that installs it. The exit code is 0 unless something has to be put right
    before training. `--json` is what to send with a bug report.
    """
    import json

    from contrastive_cxr.doctor import examine, lines

    facts = examine(seconds=10.0 if speed else 0.0)
    found = lines(facts)
    if as_json:
        say(json.dumps(facts, indent=2))
    else:
        checklist([(line.state, line.what, line.words, line.advice) for line in found])
    raise typer.Exit(1 if any(line.state == "fault" for line in found) else 0)
