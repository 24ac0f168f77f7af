"""The page's addresses, asked over a real port, and the script that was built from the committed sources."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import EmbeddingModel
from contrastive_cxr.errors import RequestError
from contrastive_cxr.explore import kept
from contrastive_cxr.explore.answers import Explorer
from contrastive_cxr.explore.opened import opened
from contrastive_cxr.explore.served import around, explorer
from contrastive_cxr.server.access import Access
from contrastive_cxr.server.limits import Limits
from tests.server.conftest import Running, running

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-of-this-test"


def test_the_script_is_built_from_the_committed_sources() -> None:
    source = ROOT / "contrastive_cxr" / "explore" / "page" / "source"
    parts = [*sorted((source / "src").iterdir()), source / "package.json"]
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    built = (ROOT / "contrastive_cxr" / "explore" / "page" / "explore.js").read_text()
    assert f"sources {digest}" in built[:200], "build it again: contrastive_cxr/explore/page/source/README.md"
    for word in ("http://", "https://", "new Function", "eval("):
        assert word not in built.replace("http://www.w3.org/", ""), word


def test_the_page_asks_no_other_place_for_anything(page: Running) -> None:
    answer = page.client.get("/")
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in answer.text
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert page.client.get("/explore.css").headers["content-type"].startswith("text/css")
    assert page.client.get("/explore.js").status_code == 200


def test_the_table_tells_the_cases_of_the_run(page: Running, explored: Explorer, finished: Path) -> None:
    told = page.client.get("/explore/table").json()
    rows = pd.read_csv(finished / "manifest.csv", dtype=str).fillna("")
    by = {column["name"]: column for column in told["columns"]}
    assert told["rows"] == len(explored.gallery) == int(rows["split"].isin(["train", "test"]).sum())
    named = dict(zip(rows["path"], rows["class"], strict=True))
    labels = [by["label"]["values"][code] for code in by["label"]["codes"]]
    assert labels == [named[path] for path in told["paths"]]
    places = np.frombuffer(page.client.get("/explore/places").content, "<f4").reshape(-1, 2)
    assert places.shape == (told["rows"], 2)
    assert np.isfinite(places).all()
    predicted = [by["predicted"]["values"][code] for code in by["predicted"]["codes"]]
    wrong = {row for row, said in enumerate(predicted) if said and said != labels[row]}
    assert set(told["lists"]["errors"]) == wrong
    assert sum(map(bool, predicted)) == int((rows["split"] == "test").sum())


def test_a_case_says_what_predict_says_and_its_nearest_of_other_patients(page: Running, explored: Explorer) -> None:
    row = len(explored.gallery) - 1
    told = page.client.get(f"/explore/case/{row}").json()
    file = Path(explored.pictures.files[row])
    sent = page.client.post("/predict", files=[("images", (file.name, file.read_bytes()))]).json()
    assert told["prediction"]["probabilities"] == pytest.approx(sent["images"][0]["probabilities"], abs=1e-5)
    vectors, rows = explored.gallery.vectors, explored.gallery.rows
    gaps = np.linalg.norm(vectors - vectors[row], axis=1)
    others = np.flatnonzero(rows["patient"] != rows["patient"].iloc[row])
    near = [each for each in told["near"] if not each["copy"]]
    assert [each["row"] for each in near] == others[np.argsort(gaps[others])][: len(near)].tolist()
    assert near[0]["distance"] == pytest.approx(gaps[others].min(), abs=1e-4)


def test_pictures_and_maps_are_pictures(page: Running, explored: Explorer) -> None:
    with Image.open(explored.pictures.files[0]) as original:
        wanted = original.size
    with Image.open(io.BytesIO(page.client.get("/explore/large/0").content)) as large:
        assert (large.format, large.size) == ("PNG", wanted)
    with Image.open(io.BytesIO(page.client.get("/explore/small/0").content)) as small:
        assert (small.format, max(small.size)) == ("JPEG", min(112, max(wanted)))
    maps = page.client.get("/explore/maps/0").json()
    assert maps["gradcam"]["target"] in explored.loaded.classes
    assert len(maps["similarity"]) == 2


def test_what_is_asked_wrongly_is_one_error(page: Running) -> None:
    for path in ("/explore/case/99999", "/explore/small/-1", "/explore/large/word", "/explore/maps/99999"):
        answer = page.client.get(path)
        assert answer.status_code == 422, path
        assert answer.json()["error"]["kind"] == "invalid-parameter"
    empty = page.client.post("/explore/marks.csv", json={"marks": []})
    assert empty.json()["error"]["faults"] == ["nothing is marked; mark a case first"]
    assert page.client.post("/explore/marks.csv", json={"marks": [{"row": 0, "more": 1}]}).status_code == 422
    told = page.client.post("/explore/marks.csv", json={"marks": [{"row": 0, "label": "x", "note": "n"}]})
    assert pd.read_csv(io.BytesIO(told.content))["label"].tolist() == ["x"]


def test_an_image_that_is_gone_is_said_and_the_rest_works(explored: Explorer, page: Running) -> None:
    kept_file = explored.pictures.files[1]
    explored.pictures.files[1] = "/nowhere/gone.png"
    try:
        assert page.client.get("/explore/large/1").status_code == 422
        told = page.client.get("/explore/case/1").json()
        assert told["prediction"] is None
        assert "cannot be read" in told["words"]
        assert told["near"]
    finally:
        explored.pictures.files[1] = kept_file


def test_a_token_guards_all_but_the_empty_page(explored: Explorer) -> None:
    with running(around(explored, Limits(rate=0), Access(TOKEN))) as found:
        for path in ("/", "/explore.js", "/explore.css"):
            assert found.client.get(path).status_code == 200
        for path in ("/explore/table", "/explore/places", "/explore/small/0", "/explore/case/0", "/about"):
            assert found.client.get(path).status_code == 401
        good = {"Authorization": f"Bearer {TOKEN}"}
        assert found.client.get("/explore/table", headers=good).status_code == 200


def test_the_second_start_reads_what_the_first_kept(finished: Path, tmp_path: Path) -> None:
    from contrastive_cxr.inference.gallery import index

    index(finished, "val", tmp_path / "gallery")
    first = explorer(tmp_path / "gallery", None, None, "cpu", True)
    assert (tmp_path / "gallery" / kept.NAME).is_file()
    stamp = (tmp_path / "gallery" / kept.NAME).stat().st_mtime_ns
    second = explorer(tmp_path / "gallery", None, None, "cpu", False)
    assert (tmp_path / "gallery" / kept.NAME).stat().st_mtime_ns == stamp
    assert second.places == first.places
    assert (second.cases["predicted"] != "").all(), "what --predict predicted is kept"


def test_a_run_without_vectors_and_a_gallery_of_another_model_are_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    from contrastive_cxr.inference.gallery import index

    bare = tmp_path / "bare"
    shutil.copytree(finished, bare, ignore=shutil.ignore_patterns("arrays"))
    with pytest.raises(RequestError, match="holds no vectors"):
        opened(bare)
    made = index(finished, "val", tmp_path / "gallery")
    model = EmbeddingModel.load(finished / "pretrain")
    assert made.model_digest != model.digest
    with pytest.raises(RequestError, match="of model"):
        opened(finished / "pretrain", gallery=tmp_path / "gallery")
