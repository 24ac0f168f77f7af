"""The lines below `Next:` at the end of a command."""

from __future__ import annotations

import shlex


def next_of(said: str) -> dict[str, list[str]]:
    """{what for: the command's words} of the last `Next:` of what a command printed; a command without `ccxr`."""
    assert "Next:\n" in said, said
    steps = [line.split(maxsplit=1) for line in said.rpartition("Next:\n")[2].splitlines()]
    found = {what: shlex.split(command) for what, command in steps}
    assert all(words[0] in ("ccxr", "open") for words in found.values()), said
    return {what: words[1:] for what, words in found.items()}
