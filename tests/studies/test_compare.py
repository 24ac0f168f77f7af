"""One table of several runs: its numbers worked out again, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from contrastive_cxr.errors import RequestError
from contrastive_cxr.report.pages import compare_page
from contrastive_cxr.studies.compare import compare, short_names
from contrastive_cxr.studies.settings import differing
from tests.report import robust
from tests.run_folder.scored_runs import (
    CLASSES,
    a_recipe,
    drawn,
    edit,
    rows_of,
    write_cascade,
    write_pool,
    write_run,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs over the same images, the second with its rows in another order and its images in another folder."""
    good, labels = drawn(seed=1)
    bad, _ = drawn(seed=2, skill=0.2)
    first = write_run(tmp_path / "good", a_recipe("name=good"), good, labels)
    order = np.random.default_rng(5).permutation(len(labels))
    rows = rows_of(labels, CLASSES, root="/elsewhere").iloc[order]
    second = write_run(
        tmp_path / "bad",
        a_recipe("name=bad", "pretrain.optimiser.lr=0.5", "seed=4"),
        bad[order],
        labels[order],
        rows=rows,
    )
    return first, second


def test_differences_are_paired_by_image(two: tuple[Path, Path]) -> None:
    good, labels = drawn(seed=1)
    bad, _ = drawn(seed=2, skill=0.2)
    facts = compare(two)
    assert facts["against"] == "good"
    first, second = facts["runs"]
    assert first["against"] is None
    paired, tests = second["against"]["paired"], second["against"]
    said = {"good": good.argmax(1), "bad": bad.argmax(1)}
    want = balanced_accuracy_score(labels, said["bad"]) - balanced_accuracy_score(labels, said["good"])
    assert paired["balanced_accuracy"]["difference"] == pytest.approx(want)
    want = roc_auc_score(labels, bad, multi_class="ovr") - roc_auc_score(labels, good, multi_class="ovr")
    assert paired["auc"]["difference"] == pytest.approx(want, abs=1e-6)
    assert paired["auc"]["low"] < want < paired["auc"]["high"]
    alone = sum(b == y != g for g, b, y in zip(said["good"], said["bad"], labels, strict=True))
    other = sum(g == y != b for g, b, y in zip(said["good"], said["bad"], labels, strict=True))
    assert (tests["mcnemar"]["only_first"], tests["mcnemar"]["only_second"]) == (alone, other)
    truth = labels == 2  # opacity is the positive class
    want = roc_auc_score(truth, bad[:, 2]) - roc_auc_score(truth, good[:, 2])
    assert tests["delong"]["difference"] == pytest.approx(want, abs=1e-6)
    assert any("independent" in note for note in facts["notes"]), "patients have several images here"


def test_the_interval_draws_whole_patients(tmp_path: Path) -> None:
    """Each patient's images are alike: drawn one by one, the interval would be narrower."""
    rng, people = np.random.default_rng(0), 20
    labels = np.repeat(np.arange(people) % 3, 3)
    right = np.repeat(rng.random((2, people)) < [[0.9], [0.5]], 3, axis=1)
    said = [np.eye(3)[np.where(flags, labels, (labels + 1) % 3)].astype(np.float32) for flags in right]
    rows = rows_of(labels, CLASSES)
    alone = rows.assign(patient=[f"q{i}" for i in range(len(rows))])
    widths = []
    for number, table in enumerate((rows, alone)):
        runs = [write_run(tmp_path / f"{number}{k}", a_recipe(), said[k], labels, rows=table) for k in (0, 1)]
        entry = compare(runs)["runs"][1]["against"]["paired"]["accuracy"]
        widths.append(entry["high"] - entry["low"])
    assert widths[0] > 1.3 * widths[1]


def test_settings_cost_and_scores_stand_in_the_table(two: tuple[Path, Path], tmp_path: Path) -> None:
    facts = compare(two, out=tmp_path / "table")
    assert facts["settings"] == {
        "seed": {"good": 0, "bad": 4},
        "pretrain.optimiser.lr": {"good": a_recipe().pretrain.optimiser.lr, "bad": 0.5},  # type: ignore[union-attr]
    }
    assert facts["runs"][0]["scores"] == json.loads((two[0] / "report.json").read_text())["scores"]
    assert facts["runs"][0]["cost"] == {
        "minutes": 1.5, "images": 160, "steps": 10, "trainable": 100, "parameters": 200, "peak_memory_mib": None,
        "device": "cpu",
    }  # fmt: skip
    assert json.loads((tmp_path / "table" / "compare.json").read_text()) == facts
    text = (tmp_path / "table" / "compare.md").read_text()
    assert "| good | 0 | 0.001 |" in text
    assert f"{facts['runs'][1]['scores']['auc']['value']:.3f}" in text
    page = (tmp_path / "table" / "compare.html").read_text()
    assert "pretrain.optimiser.lr" in page
    assert "data:image/svg+xml" in page
    assert "http" not in page.replace("http-equiv", "")


def test_against_another_run(two: tuple[Path, Path], tmp_path: Path) -> None:
    facts = compare(two, against=two[1])
    assert [line["name"] for line in facts["runs"]] == ["bad", "good"]
    forth = compare(two)["runs"][1]["against"]["paired"]["auc"]["difference"]
    assert facts["runs"][1]["against"]["paired"]["auc"]["difference"] == pytest.approx(-forth)
    third = write_run(tmp_path / "third", a_recipe(), *drawn(seed=3))
    assert [line["name"] for line in compare(two, against=third)["runs"]] == ["third", "good", "bad"]


def test_other_images_are_refused_with_their_number_and_names(two: tuple[Path, Path], tmp_path: Path) -> None:
    said, labels = drawn(seed=3)
    rows = rows_of(labels, CLASSES, start=2)
    third = write_run(tmp_path / "third", a_recipe(), said, labels, rows=rows)
    with pytest.raises(RequestError) as caught:
        compare([*two, third])
    (fault, *more) = caught.value.faults
    assert (
        "2 images (such as 000.png, 001.png) only in good, 2 images (such as 060.png, 061.png) only in third" in fault
    )
    assert all("another label" in each for each in more)


def test_other_labels_classes_and_maps_are_refused_together(two: tuple[Path, Path], tmp_path: Path) -> None:
    said, labels = drawn(seed=3)
    other = labels.copy()
    other[7] = (other[7] + 1) % 3
    wrong = write_run(tmp_path / "wrong", a_recipe(), said, other)
    lesion = a_recipe("task=phantom/lesion")
    binary = write_run(tmp_path / "binary", lesion, *drawn(classes=2))
    positive = write_run(tmp_path / "positive", a_recipe("task.positive=nodule"), said, labels)
    mapped = write_run(tmp_path / "mapped", a_recipe("task.classes.opacity=[opacity, haze]"), said, labels)
    with pytest.raises(RequestError) as caught:
        compare([two[0], wrong, binary, positive, mapped])
    faults = caught.value.faults
    assert any(f"007.png ({CLASSES[labels[7]]}, {CLASSES[other[7]]})" in fault for fault in faults)
    assert any("its classes are normal, lesion (task phantom/lesion)" in fault for fault in faults)
    assert any("another positive class than good: nodule, not opacity" in fault for fault in faults)
    assert any("task.classes is" in fault and "haze" in fault for fault in faults)
    assert len(faults) == 4


def test_folders_that_are_no_finished_runs_are_refused_together(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cut = write_run(tmp_path / "cut", a_recipe(), *drawn(seed=3))
    edit(cut / "report.json", n=61)
    old = write_run(tmp_path / "old", a_recipe(), *drawn(seed=3))
    edit(old / "report.json", version=9)
    broken = write_run(tmp_path / "broken", a_recipe(), *drawn(seed=3))
    (broken / "pretrain" / "arrays" / "probabilities.npy").write_bytes(b"nothing")
    with pytest.raises(RequestError) as caught:
        compare([two[0], tmp_path / "empty", tmp_path / "nowhere", cut, old, broken])
    text = "\n".join(caught.value.faults)
    for words in (
        "is no run folder",
        "nowhere does not exist",
        "60 rows, its report.json has 61",
        "is a report of version 9",
        "cannot be read",
    ):
        assert words in text
    assert len(caught.value.faults) == 5


def test_lists_of_runs_that_make_no_table_are_refused(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError) as caught:
        compare([two[0], two[0] / ".." / "good"], out=tmp_path / "file")
    assert "twice" in caught.value.faults[0]
    assert "is a file" in caught.value.faults[1]
    with pytest.raises(RequestError, match="needs two"):
        compare([two[0]])
    with pytest.raises(RequestError, match=r"on the test part, not on val.*ccxr evaluate"):
        compare(two, split="val")
    with pytest.raises(RequestError, match="external-test"):
        compare(two, split="external-test")


def test_an_external_test_is_compared(two: tuple[Path, Path]) -> None:
    said, labels = drawn(30, seed=8)
    for run in two:
        write_run(run / "external-test", a_recipe(), said, labels)
        (run / "external-test" / "recipe.yaml").unlink()
    facts = compare(two, split="external-test")
    assert facts["n"] == 30
    assert facts["runs"][1]["against"]["paired"]["auc"]["difference"] == 0
    assert facts["settings"]["seed"] == {"good": 0, "bad": 4}, "the recipe is that of the run around it"


def test_pooled_runs_are_the_mean_of_their_parts(tmp_path: Path) -> None:
    (one, labels), (two, _) = drawn(seed=1), drawn(seed=2)
    rows = rows_of(labels, CLASSES)
    order = np.argsort(np.random.default_rng(1).random(len(labels)))
    parts = {"seed0": (one, labels, rows), "seed1": (two[order], labels[order], rows.iloc[order])}
    pooled = write_pool(tmp_path / "pooled", a_recipe(), parts)
    single = write_run(tmp_path / "single", a_recipe(), one, labels)
    facts = compare([single, pooled])
    line = facts["runs"][1]
    mean = (one.astype(float) + two) / 2
    want = (mean.argmax(1) == labels).mean() - (one.argmax(1) == labels).mean()
    assert line["against"]["paired"]["accuracy"]["difference"] == pytest.approx(want)
    assert line["pooled"]["scores"]["image"]["accuracy"]["values"][0] == pytest.approx((one.argmax(1) == labels).mean())
    assert (line["cost"]["minutes"], line["cost"]["images"], line["cost"]["trainable"]) == (3.0, 320, 100)


def test_folds_cover_the_images_once(tmp_path: Path) -> None:
    said, labels = drawn(seed=1)
    rows = rows_of(labels, CLASSES)
    halves = {"fold0": np.arange(0, 60, 2), "fold1": np.arange(1, 60, 2)}
    parts = {name: (said[half], labels[half], rows.iloc[half]) for name, half in halves.items()}
    pooled = write_pool(tmp_path / "folds", a_recipe(), parts)
    single = write_run(tmp_path / "single", a_recipe(), said, labels)
    facts = compare([single, pooled])
    assert facts["runs"][1]["against"]["paired"]["auc"]["difference"] == pytest.approx(0)
    assert facts["runs"][1]["against"]["mcnemar"]["p"] == 1


def test_a_cascade_stands_beside_a_flat_run_by_both_of_its_decisions(tmp_path: Path) -> None:
    (flat, labels), (joined, _) = drawn(seed=1), drawn(seed=2)
    words = "cascade={stage1: phantom/lesion, stage2: phantom/opacity}"
    cascade = write_cascade(tmp_path / "cascade", a_recipe(words), flat, joined.copy(), labels)
    single = write_run(tmp_path / "single", a_recipe(), flat, labels)
    facts = compare([single, cascade])
    assert [line["name"] for line in facts["runs"]] == ["single", "cascade (joined)", "cascade (by stages)"]
    verdicts = np.load(cascade / "arrays" / "verdicts.npy")
    for line, said in zip(facts["runs"][1:], (joined.argmax(1), verdicts), strict=True):
        want = (said == labels).mean() - (flat.argmax(1) == labels).mean()
        assert line["against"]["paired"]["accuracy"]["difference"] == pytest.approx(want)
        assert line["scores"]["accuracy"]["value"] == pytest.approx((said == labels).mean())
    assert "auc" not in facts["runs"][2]["against"]["paired"]
    assert facts["runs"][2]["against"]["delong"] is None
    assert facts["runs"][1]["cost"]["minutes"] == 3.0, "two stages; the flat network is not part of it"
    assert facts["runs"][1]["cost"]["trainable"] == 200
    assert facts["settings"]["cascade"] == {"single": None, "cascade": "given"}
    inside = compare([cascade / "flat", cascade])
    assert [line["name"] for line in inside["runs"]][:2] == ["cascade/flat", "cascade (joined)"]


def test_copies_of_an_image_are_paired_one_by_one(tmp_path: Path) -> None:
    said, labels = drawn(12, seed=1)
    labels[5] = labels[4]
    rows = rows_of(labels, CLASSES)
    rows.loc[5, "digest"] = rows.loc[4, "digest"]
    runs = [write_run(tmp_path / name, a_recipe(), said, labels, rows=rows) for name in ("a", "b")]
    assert compare(runs)["n"] == 12


def test_without_contents_images_are_known_by_their_paths(tmp_path: Path) -> None:
    said, labels = drawn(12, seed=1)
    rows = rows_of(labels, CLASSES)
    runs = [
        write_run(tmp_path / "a", a_recipe(), said, labels, rows=rows.drop(columns="digest")),
        write_run(tmp_path / "b", a_recipe(), said, labels, rows=rows.assign(digest="other")),
    ]
    assert compare(runs)["runs"][1]["against"]["paired"]["auc"]["difference"] == 0


def test_recipes_of_an_earlier_version_are_compared_as_they_are(two: tuple[Path, Path]) -> None:
    path = two[1] / "recipe.yaml"
    path.write_text(path.read_text() + "an_old_section: {word: 1}\n")
    facts = compare(two)
    assert facts["settings"]["seed"] == {"good": 0, "bad": 4}
    assert "an_old_section.word" not in facts["settings"]


def test_names_are_escaped(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / name, a_recipe(f"name='<b>{k}</b>'"), *drawn(30, seed=k))
        for k, name in enumerate(("<i>a|b$", "plain"))
    ]
    compare(runs, out=tmp_path / "out")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "<i>a" not in page
    assert "&lt;i&gt;a|b$" in page
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "&lt;i&gt;a\\|b$" in text


def test_a_section_that_one_recipe_lacks_is_one_difference() -> None:
    trees = [
        ("a", {"seed": 0, "embed": None, "model": {"backbone": "x", "stem": "fold"}}),
        ("b", {"seed": 0, "embed": {"epochs": 3, "optimiser": {"lr": 1}}, "model": {"backbone": "y"}}),
    ]
    assert differing(trees) == {"embed": {"a": None, "b": "given"}, "model.backbone": {"a": "x", "b": "y"}}


def test_names_are_as_short_as_they_may_be() -> None:
    assert short_names([Path("runs/a"), Path("runs/a/flat")]) == ["a", "a/flat"]
    assert short_names([Path("x/run"), Path("y/run")]) == ["x/run", "y/run"]


@pytest.mark.slow
def test_a_comparison_needs_no_torch(two: tuple[Path, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from contrastive_cxr.studies.compare import compare; "
        "compare([Path(p) for p in sys.argv[1:]]); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, two)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "False"


def test_rows_are_read_as_text(two: tuple[Path, Path]) -> None:
    """A patient '007' and a class 'NA' stay what they are."""
    path = two[0] / "pretrain" / "arrays" / "rows.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows["patient"] = "NA"
    rows.to_csv(path, index=False)
    assert compare(two)["n"] == 60


def test_an_augmentation_is_one_setting_in_either_form() -> None:
    mapping = {"set": "xray", "zoom": [0.7, 1.1]}
    trees = [("a", {"pretrain": {"augment": "xray"}}), ("b", {"pretrain": {"augment": mapping}})]
    assert differing(trees) == {"pretrain.augment": {"a": "xray", "b": mapping}}
    assert compare_page.setting(mapping) == "xray with zoom 0.7 to 1.1"


def test_robustness_stands_in_the_table_where_a_run_has_it(two: tuple[Path, Path], tmp_path: Path) -> None:
    assert "Robustness" not in [table.title for table in compare_page.tables(compare(two))]
    found = robust.facts()
    edit(two[1] / "report.json", robustness=found)
    facts = compare(two, out=tmp_path / "table")
    assert [line["robustness"] is None for line in facts["runs"]] == [True, False]
    assert facts["runs"][1]["robustness"]["worst"] == found["worst"]
    table = next(each for each in compare_page.tables(facts) if each.title == "Robustness")
    (row,) = table.rows
    drop = found["mean"]["difference"]["accuracy"]["difference"]
    assert row[0] == "bad"
    assert row[2].startswith(f"{drop:+.3f} (")
    assert (row[3], row[5]) == ("crop of all sides", "a 15 % crop of all sides")
    assert "Robustness" in (tmp_path / "table" / "compare.html").read_text()
