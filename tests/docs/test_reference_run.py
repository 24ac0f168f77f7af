"""The commands that reference pages show in short, with words in capitals: run, the words replaced by real things."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrastive_cxr import recipe as recipes
from contrastive_cxr import shipped
from tests.docs import world
from tests.docs.pages import DOCS, blocks, called, fenced_commands, synopses

# Words in capitals; `--out` writes beside what stands here for the same word.
HERE = {
    "RUN": "runs/mine", "OTHER": "runs/other", "RECIPE": "phantom", "IMAGES": "images", "FOLDER": "images",
    "DIR": "elsewhere", "SOURCE": "images", "label=covid": "label=ill", "RUN/test-gallery": "runs/mine/test-gallery",
    "GALLERY": "gallery", "IMAGE": "new/one.png", "NAME": "timm/tf_efficientnet_lite0", "POOL": "runs/pool",
    "VECTORS": "vectors", "FILE": "clean.csv", "COMPARISON": "comparison", "SWEEP": "sweep", "LOOK": "look",
    "systems/xray-small-cnn": "phantom", "cuda": "cpu",
}  # fmt: skip
# docs/reference/inputs.md, tables.md and weights.md have tests of their own.
PAGES = (
    "api", "audit", "augmentation", "card", "fine-tuning", "recipe", "reliability", "retrieval", "robustness", "scale",
    "studies", "systems",
)  # fmt: skip
# How a benchmark of a page is made short: a small size, or the table of no runs.
SHORT = {
    "benchmarks.scale": ["--quick", "--result", "result.json"],
    "benchmarks.scale_out": ["--quick", "--result", "result.json"],
    "benchmarks.studies.systems": ["--table-only", "--out", "runs/systems", "--result", "result.json"],
}


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
        found = [word for word in found if not word.startswith("data.root=")]
        found.append("model.image_size=64")
        found += ["embed=null", "finetune=null"] if "--out" in found else []
    if command[0] == "run" and "data.root=elsewhere" in found:  # enough of them for three parts
        found = ["data.root=images" if word == "data.root=elsewhere" else word for word in found]
        found.append("data.source=folders")
    if "data.root=elsewhere" in found and command[0] == "evaluate":
        found = [word for word in found if word not in ("--split", "test")] + ["data.source=folders"]
        if "runs/mine" in found:
            found.append("data.csv=null")
    return found


def prepared(words: list[str], root: Path, done: int) -> list[str]:
    """The words, with room made for what the command writes; a training without `--out` is only planned."""
    if words[0] == "index" and (root / words[-1]).exists():
        return [*words[:-1], f"gallery-{done}"]  # the first one is searched
    if words[0] in ("run", "encode") and "--out" in words:
        if done == 0 or words[0] == "encode":
            shutil.rmtree(root / words[words.index("--out") + 1], ignore_errors=True)
    elif words[0] in ("run", "sweep") and "--out" not in words and "--dry-run" not in words:
        return [*words, "--dry-run"]
    return words


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_reference_page_run(
    name: str, furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "user"
    shutil.copytree(furnished, root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    page, done = DOCS / "reference" / f"{name}.md", 0
    for command in [*fenced_commands(page), *synopses(page)]:
        words = called(command)
        if words is not None:
            start = command[: len(command) - len(words)]
            world.run([*start, *prepared(real(words), root, done)], root)
            done += 1
        elif command[0] == "python":
            world.module(command[2], [*(HERE.get(word, word) for word in command[3:]), *SHORT[command[2]]], root)
            assert json.loads((root / "result.json").read_text())
            done += 1
    done += snippets(page, root)
    assert done
    if name == "studies":
        check_fields(page.read_text(encoding="utf-8"), root)


def snippets(page: Path, root: Path) -> int:
    """Run the `python` blocks of a page and load its `yaml` blocks as parts of a recipe; how many there are."""
    count = 0
    for block in blocks(page):
        if block.kind == "python":
            text = re.sub(r"\b(RUN|VECTORS)(?=[/\"])", lambda word: HERE[word[1]], block.text)
            with contextlib.redirect_stdout(io.StringIO()) as shown:
                exec(compile(text, str(page), "exec"), {})
            if "sha256" in text:  # the digest of the test part, as the card has it
                assert shown.getvalue().strip() in (root / HERE["RUN"] / "model-card.md").read_text(encoding="utf-8")
        elif block.kind == "yaml":
            load_part(block.text, root / "part.yaml")
        count += block.kind in ("python", "yaml")
    return count


def load_part(text: str, file: Path) -> None:
    """Load a part of a recipe: what the page shows, over the shipped recipe `phantom`."""
    whole = yaml.safe_load(shipped.path("phantom").read_text()) | yaml.safe_load(text)
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    recipes.load(file)


def check_fields(text: str, root: Path) -> None:
    """The fields of the files that docs/reference/studies.md describes are those that the commands wrote."""
    comparison, sweep, look = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    table, _, row = comparison.partition("\nA row:\n")
    written: dict[str, Any] = {
        name: json.loads((root / HERE[folder] / f"{name}.json").read_text())
        for name, folder in (("compare", "COMPARISON"), ("sweep", "SWEEP"), ("data-look", "LOOK"))
    }
    assert documented(table) - {"failed"} == set(written["compare"]) - {"version"}, "failed: of a sweep alone"
    assert {field.partition(".")[0] for field in documented(row)} == set(written["compare"]["runs"][1])
    assert documented(sweep) == set(written["sweep"]) - {"version"}
    assert documented(look) == set(written["data-look"]) - {"version"}


def documented(text: str) -> set[str]:
    """The fields in the first column of the tables."""
    cells = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("name", ["augmentation", "card"])
def test_the_parts_of_a_recipe_load(name: str, tmp_path: Path) -> None:
    parts = [block.text for block in blocks(DOCS / "reference" / f"{name}.md") if block.kind == "yaml"]
    assert parts
    for text in parts:
        load_part(text, tmp_path / "part.yaml")


# Stand-ins that write what happens to them; `ccxr` lives until it gets a signal that it handles.
CCXR = """#!/usr/bin/env bash
trap 'echo saved >> events; exit 138' USR1
sleep 1  # until the job's shell waits
echo "ccxr $*" >> events
for try in $(seq 100); do sleep 0.1; done
"""
SCONTROL = '#!/bin/sh\necho "scontrol $*" >> events\n'


def test_the_slurm_job_saves_its_run_and_queues_itself_again(tmp_path: Path) -> None:
    """docs/reference/reliability.md; the signal is the one that Slurm sends to the job's shell."""
    (block,) = [each for each in blocks(DOCS / "reference" / "reliability.md") if each.kind == "bash"]
    for name, text in (("job.sh", block.text), ("ccxr", CCXR), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    assert subprocess.run(["bash", "-n", "job.sh"], cwd=tmp_path, check=False).returncode == 0
    assert "--signal=B:USR1@" in block.text, "the signal goes to the shell alone"
    events = tmp_path / "events"
    job = subprocess.Popen(
        ["bash", "job.sh"], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "7"}
    )
    limit = time.monotonic() + 60
    while not events.is_file() and time.monotonic() < limit:
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    job.wait(timeout=60)
    assert events.read_text().splitlines() == [
        "ccxr run RECIPE --out RUN --resume auto",
        "saved",
        "scontrol requeue 7",
    ]
