"""The fuzzer's targets on their own seeds and on every input that once broke one; how findings are told and kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.verification import fuzz, fuzz_targets
from benchmarks.verification.fuzz_targets.__main__ import judged
from benchmarks.verification.fuzz_targets.ledger import Ledger, signature
from contrastive_cxr.errors import CcxrError, RequestError

KEPT = sorted((Path(__file__).parents[2] / "fuzzed").glob("*/*.bin"))
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", fuzz_targets.NAMES)
def test_seeds_keep_the_contract_and_some_are_read(name: str) -> None:
    target, read = fuzz_targets.target(name), 0
    for word, content in target.seeds().items():
        assert judged(target.run, content) is None, word
        try:
            target.run(content)
            read += 1
        except CcxrError:
            continue
    assert read >= 2, "valid files are where mutation begins"


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_once_broke_a_target_does_no_more(path: Path) -> None:
    assert judged(fuzz_targets.target(path.parent.name).run, path.read_bytes()) is None


def raises(error: Exception) -> object:
    def run(content: bytes) -> None:
        raise error

    return run


def test_errors_of_our_own_keep_the_contract_and_no_others() -> None:
    for kept in (CcxrError("a"), RequestError("b")):
        assert judged(raises(kept), b"") is None
    for broken in (ValueError("a"), RecursionError(), MemoryError(), AssertionError()):
        assert judged(raises(broken), b"") is broken


def test_findings_are_told_apart_by_type_and_place() -> None:
    found = judged(fuzz_targets.target("recipe").run, b"")
    assert found is None
    first = judged(raises(ValueError("one")), b"")
    second = judged(raises(ValueError("other")), b"")
    assert signature(first) == signature(second) == "ValueError at test_fuzz.py:run"
    assert signature(judged(raises(KeyError("one")), b"")) != signature(first)


def test_a_ledger_goes_on_where_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.start()
    ledger.state["executions"] = 7
    assert ledger.keep("ValueError at x", b"first", "a story")
    assert not ledger.keep("ValueError at x", b"second", "another")
    ledger.save()
    again = Ledger(tmp_path)
    assert again.state["executions"] == 7
    (found,) = again.state["findings"].values()
    assert found["times"] == 2
    assert (tmp_path / "findings" / found["input"]).read_bytes() == b"first"
    assert again.state["seconds"] >= 0


def test_results_run_each_finding_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "recipe")
    ledger.keep("ValueError at y", b"seed: [", "a story")
    (tmp_path / "recipe" / "corpus" / "seed-a").write_bytes(b"a")
    ledger.save()
    found = fuzz.of_target("recipe", tmp_path / "recipe")
    assert found["findings"] == [{"what": "ValueError at y", "after": 0, "times": 1, "now": "held"}]
    assert (found["seeds"], found["corpus"]) == (1, 1)


def test_without_atheris_the_way_to_it_is_said(tmp_path: Path) -> None:
    program = (
        "import importlib.util, sys; found = importlib.util.find_spec;"
        "importlib.util.find_spec = lambda name, *a: None if name == 'atheris' else found(name, *a);"
        f"sys.argv = ['fuzz', '--folder', {json.dumps(str(tmp_path / 'x'))}];"
        "import runpy; runpy.run_module('benchmarks.verification.fuzz', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'contrastive_cxr[fuzz]'" in done.stderr
    assert not (tmp_path / "x").exists()
