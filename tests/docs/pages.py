"""The commands and snippets of the documentation pages, as the tests of this folder run them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its first word (`sh`, `python`, ...), the rest of that line, its text without indentation."""

    kind: str
    title: str
    text: str


def pages() -> list[Path]:
    """Every page of the site that is written by hand, and the README."""
    found = [page for page in sorted(DOCS.rglob("*.md")) if not {"_build", "_ext"} & set(page.parts)]
    return [ROOT / "README.md", *found]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for indent, head, text in FENCE.findall(page.read_text(encoding="utf-8")):
        kind, _, title = head.strip().partition(" ")
        found.append(Block(kind, title, re.sub(f"^{indent}", "", text, flags=re.MULTILINE)))
    return found


def lines(text: str) -> list[str]:
    """The commands of a shell block, continued lines joined; comments and empty lines left out."""
    joined = re.sub(r" *\\\n *", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def words(line: str) -> list[str]:
    """The words of a command, without a comment behind it."""
    return shlex.split(line, comments=True)


def fenced_commands(page: Path) -> list[list[str]]:
    """The commands in the `sh` blocks of a page."""
    return [words(line) for block in blocks(page) if block.kind == "sh" for line in lines(block.text)]


def synopses(page: Path) -> list[list[str]]:
    """The commands in indented blocks; what stands behind two spaces is a remark, brackets and dots go."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    indented = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    found = []
    for line in lines(indented):
        command = re.split(r"  +", line.strip())[0]
        if not re.match(r"(ccxr|torchrun|sbatch|kubectl|python) ", command):
            continue
        plain = re.sub(r"\[((?:-|SOURCE|data\.KEY)[^\]]*)\]", r"\1", command).replace(" & child=$!", "")
        for each in plain.split(";"):
            found.append([word.removesuffix("...") for word in words(each) if word.removesuffix("...")])
    return found


def called(command: list[str]) -> list[str] | None:
    """The words behind `ccxr`, also where torchrun calls it; None of another command."""
    if command[0] == "ccxr":
        return command[1:]
    if command[0] == "torchrun" and "contrastive_cxr" in command:
        return command[command.index("contrastive_cxr") + 1 :]
    return None
