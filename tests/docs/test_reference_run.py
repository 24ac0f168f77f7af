"""The commands that reference pages show in short, with words in capitals: run, the words replaced by real things."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs import world
from tests.docs.pages import DOCS, called, synopses

# Words in capitals; `--out` writes beside what stands here for the same word.
HERE = {
    "RUN": "runs/mine", "RECIPE": "phantom", "IMAGES": "images", "FOLDER": "images", "DIR": "elsewhere",
    "SOURCE": "images", "label=covid": "label=ill", "RUN/test-gallery": "runs/mine/test-gallery",
    "GALLERY": "gallery", "IMAGE": "new/one.png", "NAME": "timm/tf_efficientnet_lite0", "POOL": "runs/pool",
    "VECTORS": "vectors", "FILE": "clean.csv",
}  # fmt: skip
# docs/reference/inputs.md, tables.md and weights.md have tests of their own.
PAGES = ("audit", "augmentation", "card", "fine-tuning", "retrieval", "robustness")


def real(command: list[str]) -> list[str]:
    """The command with real words, and with what these images need: class folders, two sources, larger pictures."""
    found = []
    for before, word in zip(["", *command], command, strict=False):
        key, equals, value = word.partition("=")
        new = HERE.get(word, f"{key}={HERE.get(value, value)}" if equals else word)
        found.append("audit-out" if before == "--out" and word == "DIR" else new)
    if command[0] == "audit":  # one line shows both kinds of use: several sources, or one with --recipe
        place = found.index("--recipe")
        return [*found[:2], "elsewhere", *(word for word in found[3:place] if word != "data.KEY=VALUE")]
    if command[0] == "sweep":
        found.append("model.image_size=64")
    if "data.root=elsewhere" in found and command[0] == "evaluate":
        found = [word for word in found if word not in ("--split", "test")] + ["data.source=folders"]
        if "runs/mine" in found:
            found.append("data.csv=null")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_reference_page_run(
    name: str, furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "user"
    shutil.copytree(furnished, root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = 0
    for command in synopses(DOCS / "reference" / f"{name}.md"):
        words = called(command)
        assert words is not None
        words = real(words)
        if words[0] == "index" and (root / words[-1]).exists():
            words[-1] = f"gallery-{done}"  # the first one is searched
        elif words[0] == "run" and "--out" in words:
            shutil.rmtree(root / words[words.index("--out") + 1], ignore_errors=True)
        elif words[0] in ("run", "sweep"):
            words.append("--dry-run")
        world.run(["ccxr", *words], root)
        done += 1
    assert done
