"""A run's model in other formats: the same vectors and decisions, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from contrastive_cxr.errors import RequestError
from contrastive_cxr.export import check, onnx_file
from contrastive_cxr.export.export import export, words
from contrastive_cxr.export.graph import Graph, parts_of
from contrastive_cxr.files import digest
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.retrieval import EmbeddingModel
from tests.export.conftest import Made

CLASSES = ("normal", "nodule", "opacity")


def test_an_onnx_file_is_checked_and_says_what_it_is(onnx_export: Made, finished: Path) -> None:
    onnx = pytest.importorskip("onnx")
    out, facts = onnx_export
    held = json.loads((out / "check.json").read_text())
    assert facts["least_cosine"] >= 0.9999
    assert (facts["differing_decisions"], facts["differing_thresholds"], facts["images"]) == (0, 0, 12)
    assert held["files"] == {name: digest(out / name) for name in ("int8.json", "model-int8.onnx", "model.onnx")}
    assert (held["opset"], held["exporter"], held["part"]) == (18, "torch.export", "both")
    file = onnx.load(str(out / "model.onnx"))
    assert [each.version for each in file.opset_import if each.domain == ""] == [18]
    about = json.loads({each.key: each.value for each in file.metadata_props}["ccxr"])
    report = json.loads((finished / "report.json").read_text())
    assert about["temperature"] == report["calibration"]["temperature"]
    assert tuple(about["classes"]) == CLASSES
    assert str(Path(__file__).parents[2]).encode() not in (out / "model.onnx").read_bytes(), "no place on this machine"
    assert words(held).startswith("Checked on all 12 validation images of the run: least cosine 1.0000000")


def test_any_number_of_images_is_a_batch(onnx_export: Made, finished: Path) -> None:
    run = onnx_file.runner(onnx_export[0] / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 32, 32), dtype=np.uint8)
    wanted = EmbeddingModel.load(finished).embed(images)
    for count in (1, 2, 7):
        np.testing.assert_allclose(run(images[:count])[0], wanted[:count], atol=1e-5)


def test_what_8_bits_cost(onnx_export: Made, finished: Path) -> None:
    """The vote and the AUC again, from the two files, by scikit-learn."""
    from sklearn.metrics import roc_auc_score

    from contrastive_cxr.export.run_images import of_part, opened

    out, _ = onnx_export
    cost = json.loads((out / "int8.json").read_text())
    assert (out / "model-int8.onnx").stat().st_size < 0.6 * (out / "model.onnx").stat().st_size
    data = opened(finished, EmbeddingModel.load(finished).settings)
    parts = {name: of_part(data, (name,)).pictures for name in ("val", "train")}
    labels = {name: each.data.labels[each.chosen] for name, each in parts.items()}  # type: ignore[attr-defined]
    assert (cost["images"], cost["gallery"], cost["calibrated_on"]) == (len(labels["val"]), *[len(labels["train"])] * 2)
    for kind, name in (("float32", "model.onnx"), ("int8", "model-int8.onnx")):
        run = onnx_file.runner(out / name)
        found = {part: run(each.pixels(0, len(each)).numpy()) for part, each in parts.items()}
        auc = roc_auc_score(labels["val"], found["val"][1].astype(float), multi_class="ovr", labels=[0, 1, 2])
        assert cost["auc"][kind] == pytest.approx(auc, abs=0.02), "a batch of another size moves the last bits"
        near, _ = neighbours.search(found["train"][0], found["val"][0], k=20)
        assert near.shape == (12, 20)
    gap = cost["auc"]["difference"]
    assert gap["difference"] == pytest.approx(cost["auc"]["int8"] - cost["auc"]["float32"])
    assert gap["low"] is None or gap["low"] <= gap["difference"] <= gap["high"]
    assert cost["knn_accuracy"]["difference"]["n"] == 12


def test_a_program_of_torch_and_one_that_replaces_it(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    facts = export(finished, "torch", out)
    assert facts["least_cosine"] >= 0.9999
    extra = {"ccxr.json": ""}
    program = torch.export.load(out / "model.pt2", extra_files=extra).module()
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), dtype=np.uint8)
    found = dict(zip(json.loads(extra["ccxr.json"])["outputs"], program(torch.from_numpy(images)), strict=True))
    wanted = EmbeddingModel.load(finished)
    np.testing.assert_allclose(found["embedding"].numpy(), wanted.embed(images), atol=1e-5)
    np.testing.assert_allclose(found["probabilities"].numpy(), wanted.predict_proba(images), atol=1e-5)
    with pytest.raises(RequestError, match="--overwrite"):
        export(finished, "hf", out)
    (out / "notes.txt").write_text("mine")
    export(finished, "hf", out, overwrite=True)
    report = json.loads((finished / "report.json").read_text())
    fitted = EmbeddingModel.from_pretrained(out).card["fitted"]
    assert (fitted["positive"], fitted["temperature"]) == ("opacity", report["calibration"]["temperature"])
    assert list(fitted["thresholds"].values()) == [
        line["threshold"] for line in report["thresholds"] if line["threshold"] is not None
    ]
    names = ["README.md", "check.json", "classifier.safetensors", "config.json", "model.safetensors", "notes.txt"]
    assert sorted(path.name for path in out.iterdir()) == names, "the program is gone, what is not ours stays"
    assert (out / "README.md").read_text().endswith((finished / "model-card.md").read_text())


def test_an_encoder_alone_takes_no_classifier_along(finished: Path, tmp_path: Path) -> None:
    export(finished, "hf", tmp_path / "out", part="encoder")
    model = EmbeddingModel.from_pretrained(tmp_path / "out")
    assert model.classes == ()
    assert "fitted" not in model.card


def test_a_failed_check_leaves_nothing(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Graph.forward
    monkeypatch.setattr(
        Graph, "forward", lambda self, images: (-forward(self, images)[0], *forward(self, images)[1:])
    )  # an exporter that turns a sign
    with pytest.raises(RequestError, match=r"least cosine is -1\.0+ and 0\.9999 is needed; nothing was kept"):
        export(finished, "torch", tmp_path / "deep" / "out")
    assert not (tmp_path / "deep").exists()


def scaled(network: nn.Module, scale: Callable[[Tensor], Any]) -> RemovableHandle:
    """Multiply a backbone's features by something that hangs on its images."""
    return network.register_forward_hook(lambda module, given, said: said * scale(given[0]))


def test_a_network_that_torch_export_cannot_trace(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    parts = parts_of(finished, "encoder")
    backbone = parts.model.network.backbone
    hook = scaled(backbone, lambda images: 2.0 if images.mean() > 1e9 else 1.0)
    said = onnx_file.write(Graph(parts).eval(), parts, tmp_path / "a.onnx", 18)
    assert said.startswith("TorchScript, as torch.export: ")
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 32, 32), dtype=np.uint8)
    found = check.exported(parts, onnx_file.runner(tmp_path / "a.onnx"), [images], 3)
    assert check.cosines(found.vectors, check.reference(parts, [images]).vectors).min() > 0.9999
    hook.remove()
    scaled(backbone, lambda images: torch.linalg.eigvals(images[:, 0]).real.sum())
    with pytest.raises(RequestError, match=r"test_resnet cannot be exported to opset 18 \(torch.export: .*--to hf"):
        onnx_file.write(Graph(parts).eval(), parts, tmp_path / "b.onnx", 18)


def test_a_model_folder_without_its_run_wants_images(finished: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("model.json", "model.safetensors"):
        (alone / name).write_bytes((finished / "finetune" / name).read_bytes())
    with pytest.raises(RequestError, match="name some with --images"):
        export(alone, "hf", tmp_path / "out")
    from PIL import Image

    Image.new("RGB", (50, 40), (9, 90, 200)).save(tmp_path / "one.png")
    facts = export(alone, "hf", tmp_path / "out", images=[tmp_path / "one.png"])
    assert facts["of"] == "all 1 images that were named"
