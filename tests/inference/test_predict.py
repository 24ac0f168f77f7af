"""Using a run: probabilities, vectors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.encode import encode
from contrastive_cxr.inference.given_images import images_of
from contrastive_cxr.inference.predict import predict


@pytest.fixture
def pictures(finished: Path) -> Path:
    """The folder of the painted phantoms."""
    root = pd.read_csv(finished / "manifest.csv", dtype=str)["root"].iloc[0]
    return Path(str(root))


def reached(run: Path) -> list[str]:
    """The columns of the thresholds that a run's report could choose."""
    lines = json.loads((run / "report.json").read_text())["thresholds"]
    return [f"opacity_at_{line['of']}_{line['wanted']:g}" for line in lines if line["threshold"] is not None]


def test_predictions_are_a_row_an_image(finished: Path, pictures: Path, tmp_path: Path) -> None:
    predict(finished, pictures, tmp_path / "new" / "said.csv")
    table = pd.read_csv(tmp_path / "new" / "said.csv")
    names = ("normal", "nodule", "opacity")
    fitted = [f"calibrated_{name}" for name in names] + reached(finished)
    assert list(table) == ["file", *(f"p_{name}" for name in names), "decision", *fitted]
    assert list(table["file"]) == [str(path) for path in sorted(pictures.rglob("*.png"))]
    columns = table[["p_normal", "p_nodule", "p_opacity"]].to_numpy()
    np.testing.assert_allclose(columns.sum(axis=1), 1, atol=1e-5)
    assert list(table["decision"]) == [["normal", "nodule", "opacity"][row] for row in columns.argmax(axis=1)]


def test_predictions_are_those_of_the_evaluation(finished: Path, pictures: Path, tmp_path: Path) -> None:
    table = predict(finished, pictures, tmp_path / "said.csv").set_index("file")
    rows = pd.read_csv(finished / "finetune" / "arrays" / "rows.csv", dtype=str)
    known = np.load(finished / "finetune" / "arrays" / "probabilities.npy")
    said = table.loc[[str(pictures / path) for path in rows["path"]], ["p_normal", "p_nodule", "p_opacity"]]
    np.testing.assert_allclose(said.to_numpy(), known, atol=1e-5)


def test_what_was_fitted_on_validation_stands_beside(finished: Path, pictures: Path, tmp_path: Path) -> None:
    table = predict(finished, pictures, tmp_path / "said.csv")
    report = json.loads((finished / "report.json").read_text())
    plain = table[["p_normal", "p_nodule", "p_opacity"]].to_numpy(dtype=np.float64)
    powers = plain ** (1 / report["calibration"]["temperature"])  # softmax(log p / T), by hand
    calibrated = table[["calibrated_normal", "calibrated_nodule", "calibrated_opacity"]].to_numpy()
    np.testing.assert_allclose(calibrated, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    lines = [line for line in report["thresholds"] if line["threshold"] is not None]
    assert lines, "a phantom run reaches at least one of the wanted rates"
    for name, line in zip(reached(finished), lines, strict=True):
        assert list(table[name]) == [value >= line["threshold"] for value in table["p_opacity"]]


def test_another_phase_has_no_thresholds_of_the_report(finished: Path, pictures: Path, tmp_path: Path) -> None:
    table = predict(finished / "pretrain", pictures, tmp_path / "said.csv")
    assert list(table) == ["file", "p_normal", "p_nodule", "p_opacity", "decision"]


def test_an_image_alone_is_a_source(finished: Path, pictures: Path, tmp_path: Path) -> None:
    one = sorted(pictures.rglob("*.png"))[0]
    assert images_of(one) == [one]
    assert len(predict(finished / "pretrain", one, tmp_path / "said.csv")) == 1


def test_several_sources_and_a_table_that_is_replaced_when_told(finished: Path, pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.rglob("*.png"))[:3]
    pd.DataFrame({"file": [str(files[2])], "label": ["any"]}).to_csv(tmp_path / "list.csv", index=False)
    out = tmp_path / "said.csv"
    one = predict(finished / "pretrain", files[0], out)
    with pytest.raises(RequestError, match="--overwrite"):
        predict(finished / "pretrain", files[0], out)
    table = predict(finished / "pretrain", [*files[:2], tmp_path / "list.csv"], out, overwrite=True, device="auto")
    assert list(table["file"]) == [str(path) for path in files]
    assert list(pd.read_csv(out)["file"]) == [str(path) for path in files]
    assert table["p_normal"][0] == pytest.approx(one["p_normal"][0], abs=1e-5)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RequestError, match="exists"):
        predict(finished / "pretrain", files[0], tmp_path / "folder.csv", overwrite=True)


def test_vectors_beside_an_existing_table_are_refused(finished: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "vectors.csv").write_text("mine")
    with pytest.raises(RequestError, match=r"vectors\.csv: exists"):
        encode(finished, pictures, tmp_path / "vectors.npy")
    assert (tmp_path / "vectors.csv").read_text() == "mine"


@pytest.mark.parametrize(("name", "words"), [("x.txt", "must end in .csv"), ("x", "must end in .csv")])
def test_another_ending_is_refused(finished: Path, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        predict(finished, tmp_path, tmp_path / name)


def test_a_name_that_is_a_formula_is_not_computed_by_a_spreadsheet(
    finished: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("=1+1").mkdir()
    Path("=1+1", "x.png").write_bytes(sorted(pictures.rglob("*.png"))[0].read_bytes())
    table = predict(finished / "pretrain", Path("=1+1"), tmp_path / "said.csv")
    assert table["file"].tolist() == ["=1+1/x.png"]
    assert pd.read_csv(tmp_path / "said.csv")["file"].tolist() == ["'=1+1/x.png"]


def test_a_name_that_no_table_can_hold_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(b"x")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system keeps names of its own kind only")
    with pytest.raises(RequestError, match="is not UTF-8"):
        images_of(tmp_path)
