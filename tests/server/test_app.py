"""The addresses, asked over a real port: they say what the commands say."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pandas as pd
import pytest
from fastapi import APIRouter, Request
from PIL import Image

from contrastive_cxr import EmbeddingModel
from contrastive_cxr.inference.gallery import index
from contrastive_cxr.inference.loaded import LoadedModels
from contrastive_cxr.inference.predict import predict
from contrastive_cxr.inference.search import search
from contrastive_cxr.server.access import Access
from contrastive_cxr.server.app import build
from contrastive_cxr.server.limits import Limits
from tests.server.conftest import Running, Serve, form, running

TOKEN = "a-token-of-this-test"


def files_of(phantoms: pd.DataFrame, split: str, count: int) -> list[Path]:
    return [Path(file) for file in phantoms[phantoms["split"] == split]["file"][:count]]


def sent(files: list[Path]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (file.name, file.read_bytes())) for file in files]


def test_predict_says_what_the_command_writes(
    shared: Running, finished: Path, phantoms: pd.DataFrame, tmp_path: Path
) -> None:
    files = files_of(phantoms, "test", 5)
    table = predict(finished, files, tmp_path / "said.csv")
    answer = shared.client.post("/predict", files=sent(files)).json()
    assert answer["classes"] == ["normal", "nodule", "opacity"]
    for line, said in zip(table.to_dict("records"), answer["images"], strict=True):
        assert said["file"] == Path(line["file"]).name
        assert said["decision"] == line["decision"]
        for name in answer["classes"]:
            assert said["probabilities"][name] == pytest.approx(line[f"p_{name}"], abs=1e-5)
            assert said["calibrated"][name] == pytest.approx(line[f"calibrated_{name}"], abs=1e-5)
        assert said["thresholds"] == {name: line[name] for name in table if "_at_" in name}


def test_embed_gives_the_vectors_of_the_model(shared: Running, finished: Path, phantoms: pd.DataFrame) -> None:
    files = files_of(phantoms, "test", 3)
    answer = shared.client.post("/embed", files=sent(files)).json()
    model = EmbeddingModel.load(finished)
    assert (answer["model"], answer["size"]) == (model.digest, model.size)
    found = np.array([each["vector"] for each in answer["images"]], np.float32)
    np.testing.assert_allclose(found, model.embed(files), atol=1e-6)


def test_search_finds_what_the_command_finds(
    finished: Path, phantoms: pd.DataFrame, loaded: LoadedModels, shared: Running, tmp_path: Path
) -> None:
    index(finished, "train", tmp_path / "gallery")
    files = [*files_of(phantoms, "test", 2), *files_of(phantoms, "train", 2)]
    wanted = search(tmp_path / "gallery", files, k=4)["queries"]
    answer = shared.client.post("/search", params={"k": 4}, files=sent(files)).json()
    assert [each["inside"] for each in answer["images"]] == [False, False, True, True]
    for query, found in zip(wanted, answer["images"], strict=True):
        assert [near["id"] for near in found["neighbours"]] == [near["id"] for near in query["neighbours"]]
        assert found["agreement"] == query["agreement"]
        assert found["percentile"] == pytest.approx(query["percentile"], abs=0.1)
        assert found["unfamiliar"] == query["unfamiliar"]


def test_a_filter_and_a_patient_who_is_left_out(shared: Running, one: bytes, phantoms: pd.DataFrame) -> None:
    def ask(**params: Any) -> list[dict[str, Any]]:
        answer = shared.client.post("/search", params={"k": 50, **params}, files=form(one)).json()
        found: list[dict[str, Any]] = answer["images"][0]["neighbours"]
        return found

    rows = phantoms[phantoms["split"] == "train"]
    assert len(ask()) == len(rows)
    own = rows["patient"].iloc[0]
    assert {near["patient"] for near in ask(patient=own)} == set(rows["patient"]) - {own}
    chosen = ask(where=["label=normal", "label=nodule"])
    assert len(chosen) == int(rows["label"].isin(["normal", "nodule"]).sum())


def test_explain_draws_maps_of_the_image(shared: Running, one: bytes) -> None:
    answer = shared.client.post("/explain", params={"k": 3, "target": "opacity"}, files=form(one)).json()
    said = answer["images"][0]
    assert said["gradcam"]["target"] == "opacity"
    assert len(said["similarity"]) == 3
    assert said["prediction"] == {
        name: value
        for name, value in shared.client.post("/predict", files=form(one)).json()["images"][0].items()
        if name not in ("file", "squeezed")
    }
    size = Image.open(io.BytesIO(base64.b64decode(said["image"]))).size
    drawn = [each["png"] for each in (said["gradcam"], *said["similarity"]) if each["png"]]
    assert all(Image.open(io.BytesIO(base64.b64decode(png))).size == size for png in drawn)
    assert all(bool(each["words"]) == (each["png"] is None) for each in (said["gradcam"], *said["similarity"]))
    alone = shared.client.post("/explain", params={"k": 3, "target": "opacity", "format": "png"}, files=form(one))
    if drawn:
        assert alone.headers["content-type"] == "image/png"
        assert alone.content == base64.b64decode(drawn[0])
    else:
        assert alone.status_code == 404


def test_requests_at_the_same_time_share_batches(loaded: LoadedModels, one: bytes) -> None:
    import concurrent.futures

    with running(build(loaded, Limits(rate=0, batch_seconds=0.5))) as found:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda _: found.client.post("/predict", files=form(one)).json(), range(8)))
        assert all(
            each["images"][0]["probabilities"] == pytest.approx(told[0]["images"][0]["probabilities"], abs=1e-5)
            for each in told
        )
        assert found.metric("ccxr_batch_images_count") < 8
        assert found.metric("ccxr_batch_images_sum") == 8


def dicom(one: bytes) -> bytes:
    from benchmarks.verification.fuzz_targets.decode import _dicoms

    return _dicoms(np.asarray(Image.open(io.BytesIO(one)).convert("L")))["dicom"]


def test_dicom_and_every_other_kind_are_read_by_content(shared: Running, one: bytes) -> None:
    pytest.importorskip("pydicom")
    buffers = {"x.dcm": dicom(one)}
    for kind in ("PNG", "BMP", "TIFF"):
        buffer = io.BytesIO()
        Image.open(io.BytesIO(one)).convert("L").save(buffer, kind)
        buffers[f"x.{kind}"] = buffer.getvalue()
    files = [("images", (name, content)) for name, content in buffers.items()]
    told = shared.client.post("/predict", files=files).json()["images"]
    assert [each["file"] for each in told] == list(buffers)
    for each in told:  # the same pixels, so the same answer
        assert each["probabilities"] == pytest.approx(told[0]["probabilities"], abs=1e-5)


def test_a_frame_of_a_file_with_several(shared: Running, one: bytes) -> None:
    first = Image.open(io.BytesIO(one)).convert("L")
    buffer = io.BytesIO()
    Image.new("L", first.size).save(buffer, "TIFF", save_all=True, append_images=[first])
    refused = shared.client.post("/predict", files=form(buffer.getvalue()))
    assert refused.status_code == 422
    assert "name one by the parameter frame" in refused.json()["error"]["message"]
    found = shared.client.post("/predict", params={"frame": 1}, files=form(buffer.getvalue())).json()["images"][0]
    plain = shared.client.post("/predict", files=form(one)).json()["images"][0]
    assert found["probabilities"] == pytest.approx(plain["probabilities"], abs=1e-5)
    assert shared.client.post("/predict", params={"frame": 2}, files=form(buffer.getvalue())).status_code == 422


CASES: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("/predict", {"files": form(b"")}, 422, "unreadable-image", "is empty"),
    ("/predict", {"files": form(b"\x89PNG\r\n\x1a\nrest")}, 422, "unreadable-image", "truncated, damaged"),
    ("/predict", {"files": form(b"hello")}, 415, "unsupported-media-type", "is not an image"),
    ("/predict", {"files": form(b"%PDF-1.7")}, 415, "unsupported-media-type", "PDF"),
    ("/predict", {"content": b"x", "headers": {"Content-Type": "image/png"}}, 415, "unsupported-media-type", "form"),
    ("/predict", {"data": {"k": "5"}, "files": {"k2": (None, b"x")}}, 400, "malformed-request", "is no file"),
    ("/predict", {"content": b"--b--", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400,
     "malformed-request", ""),
    ("/predict", {"content": b"", "headers": {"Content-Type": "multipart/form-data"}}, 400, "malformed-request", ""),
    ("/explain?target=covid", {"files": form(b"x")}, 422, "invalid-parameter", "target=covid: is no class"),
    ("/explain?format=jpeg", {"files": form(b"x")}, 422, "invalid-parameter", "format=jpeg"),
    ("/search?k=0", {"files": form(b"x")}, 422, "invalid-parameter", "k=0"),
    ("/search?where=label", {"files": form(b"x")}, 422, "invalid-parameter", "COLUMN=VALUE"),
    ("/search?unfamiliar=nan", {"files": form(b"x")}, 422, "invalid-parameter", "unfamiliar"),
    ("/predict?frame=-1", {"files": form(b"x")}, 422, "invalid-parameter", "frame=-1"),
    ("/nowhere", {"files": form(b"x")}, 404, "not-found", ""),
]  # fmt: skip


@pytest.mark.parametrize(("path", "request_", "status", "kind", "words"), CASES)
def test_bad_input_has_one_shape(
    shared: Running, path: str, request_: dict[str, Any], status: int, kind: str, words: str
) -> None:
    answer = shared.client.post(path, **request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["status"], error["kind"]) == (status, status, kind)
    assert words in error["message"]
    assert error["request"] == answer.headers["x-request-id"]


def test_every_file_that_is_wrong_is_named(shared: Running, one: bytes) -> None:
    answer = shared.client.post("/predict", files=form(b"", one, b"\x89PNG"))
    assert answer.status_code == 422
    assert [fault.partition(":")[0] for fault in answer.json()["error"]["faults"]] == ["0.png", "2.png"]


def test_a_filter_that_fits_nothing_is_refused_with_what_there_is(shared: Running, one: bytes) -> None:
    answer = shared.client.post("/search", params={"where": "label=norml"}, files=form(one))
    assert answer.status_code == 422
    assert "did you mean 'normal'" in answer.json()["error"]["message"]


def test_every_answer_and_error_fits_the_openapi_schema(shared: Running, one: bytes) -> None:
    document = shared.client.get("/openapi.json").json()

    def check(path: str, status: str, body: Any, method: str = "post") -> None:
        schema = document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        jsonschema.validate(body, {**schema, "components": document["components"]})

    for path in ("/predict", "/embed", "/search", "/explain"):
        check(path, "200", shared.client.post(path, files=form(one)).json())
        check(path, "415", shared.client.post(path, files=form(b"hello")).json())
        body = document["paths"][path]["post"]["requestBody"]["content"]
        assert list(body) == ["multipart/form-data"]
    for path in ("/health", "/about"):
        check(path, "200", shared.client.get(path).json(), "get")
    with pytest.raises(jsonschema.ValidationError):
        check("/predict", "200", {"classes": 1})


def test_metrics_count_requests_by_address_and_status(serve: Serve, one: bytes) -> None:
    found = serve(Limits(rate=0))
    found.client.post("/predict", files=form(one, one))
    found.client.post("/predict", files=form(b"hello"))
    found.client.get("/a/path/of/some/stranger")
    assert found.metric('ccxr_requests_total{path="/predict",status="200"}') == 1
    assert found.metric('ccxr_requests_total{path="/predict",status="415"}') == 1
    assert found.metric('ccxr_requests_total{path="other",status="404"}') == 1
    assert found.metric("ccxr_images_total") == 3
    assert found.metric("ccxr_requests_inside") == found.metric("ccxr_upload_bytes_held") == 0


def test_a_token_is_wanted_by_all_but_health(serve: Serve, one: bytes) -> None:
    found = serve(Limits(rate=0), token=TOKEN, guarded=Access(TOKEN))
    with httpx.Client(base_url=str(found.client.base_url), trust_env=False) as bare:
        assert bare.get("/health").json() == {"status": "ok"}
        for path in ("/about", "/metrics", "/openapi.json", "/nowhere"):
            assert bare.get(path).status_code == 401
        for words in ("", "Bearer wrong", TOKEN, f"Basic {TOKEN}"):
            answer = bare.post("/predict", headers={"Authorization": words}, files=form(one))
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
    assert found.client.post("/predict", files=form(one)).status_code == 200


def test_another_host_name_and_a_page_of_another_origin_are_refused(serve: Serve, one: bytes) -> None:
    found = serve(Limits(rate=0), guarded=Access("", frozenset({"127.0.0.1", "localhost"})))
    assert found.client.get("/health", headers={"Host": "rebound.example"}).status_code == 400
    assert found.client.get("/health", headers={"Host": f"localhost:{found.port}"}).status_code == 200
    foreign = found.client.post("/predict", headers={"Origin": "http://evil.example"}, files=form(one))
    assert foreign.status_code == 403
    own = {"Origin": f"http://127.0.0.1:{found.port}"}
    assert found.client.post("/predict", headers=own, files=form(one)).status_code == 200


def test_further_addresses_pass_the_same_guard(loaded: LoadedModels) -> None:
    more = APIRouter()

    @more.get("/cases")
    async def cases(request: Request) -> dict[str, int]:
        return {"rows": len(request.app.state.service.loaded.gallery)}

    @more.get("/broken")
    async def broken() -> None:
        raise KeyError("secret of the inside")

    with running(build(loaded, Limits(), Access(TOKEN), [more]), TOKEN) as found:
        assert found.client.get("/cases").json() == {"rows": len(loaded.gallery)}  # type: ignore[arg-type]
        answer = found.client.get("/broken")
        assert answer.status_code == 500
        assert answer.json()["error"]["kind"] == "internal-error"
        assert "secret" not in answer.text
        with httpx.Client(base_url=str(found.client.base_url), trust_env=False) as bare:
            assert bare.get("/cases").status_code == 401
