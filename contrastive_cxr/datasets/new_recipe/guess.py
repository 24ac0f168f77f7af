"""What the parts of `ccxr init` hand to each other: settings, and why they are what they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Tree = dict[str, Any]
WITHOUT_LABELS = "for images without labels, however their folders are: ccxr init FOLDER data.label_folders=0"
FEWEST_UNLABELLED = 10
"""Images without labels below which no recipe is written: so few train nothing."""


@dataclass
class Guess:
    """Settings of one section of a recipe, and the reasons for them.

    Attributes
    ----------
    settings : dict
        As a recipe writes them.
    reasons : {str: str}
        A sentence for a setting, by its name below the section; it becomes the comment above it.
    doubts : list of str
        What a person has to look at, because it may be guessed wrong.
    """

    settings: Tree = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    def set(self, name: str, value: object, reason: str = "") -> None:
        """Give a setting, and the reason for it."""
        self.settings[name] = value
        if reason:
            self.reasons[name] = reason


def some(words: object, most: int = 5) -> str:
    """The first of some words in quotes, and how many more there are.

    Examples
    --------
    >>> some(["a", "b"]), some("abcdef", 2)
    ("'a', 'b'", "'a', 'b' and 4 more")
    """
    listed = [str(word) for word in words]  # type: ignore[attr-defined]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(f"'{word}'" for word in listed[:most]) + more
