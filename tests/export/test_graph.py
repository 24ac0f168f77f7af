"""The graph that is exported, in PyTorch, beside the way that `ccxr predict` computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contrastive_cxr import models
from contrastive_cxr.augment import TTA_SETS, plain
from contrastive_cxr.export import check, onnx_file
from contrastive_cxr.export.graph import Graph, Parts, parts_of, same_encoder
from contrastive_cxr.inference.predict import Fitted
from contrastive_cxr.metrics import calibration, decisions
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema

CLASSES = ["no", "maybe", "yes"]
PICTURES = np.random.default_rng(0).integers(0, 256, (8, 1, 5, 5), dtype=np.uint8).repeat(8, axis=2).repeat(8, axis=3)


def phase(run: Path, name: str, classes: list[str], seed: int = 0, **facts: Any) -> None:
    model = schema.Model(backbone="timm/test_resnet", image_size=32)
    network = models.build(model, classes=len(classes), projection=(16,), mean=0.4, std=0.25, seed=seed)
    if network.classifier is not None:
        head = network.classifier[-1]
        torch.nn.init.normal_(head.weight, std=9.0, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():  # in the middle of the images, so that they are not all of one class
            head.bias -= network.eval().logits(plain(torch.from_numpy(PICTURES), 32)).mean(0)
    card = {"classes": classes, "decode": {"cache_size": 40}, "channels_last": False, "phase": name, "task": "t"}
    weights.save(network, run / name, {**card, **facts})


@pytest.fixture
def images() -> np.ndarray:
    return PICTURES


def said(parts: Parts, images: np.ndarray) -> dict[str, np.ndarray]:
    with torch.no_grad():
        found = Graph(parts).eval()(torch.from_numpy(images))
    return dict(zip(parts.outputs, (each.numpy() for each in found), strict=True))


@pytest.mark.parametrize(
    ("tta", "link"),
    [*((name, "softmax") for name in TTA_SETS), ("crops", "sigmoid"), ("none", "margin")],
)
def test_it_says_what_predict_says(tmp_path: Path, images: np.ndarray, tta: str, link: str) -> None:
    costs = {"yes": {"no": 1.5}}
    phase(tmp_path / "run", "embed", [])
    phase(tmp_path / "run", "finetune", CLASSES, tta=tta, link=link, costs=costs)
    parts = parts_of(tmp_path / "run", None)
    assert Graph(parts).shared
    found, wanted = said(parts, images), check.reference(parts, [images[:1], images[1:]])
    np.testing.assert_allclose(found["embedding"], wanted.vectors, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], wanted.probabilities, atol=1e-5)
    table = decisions.matrix(CLASSES, costs)
    assert found["decision"].tolist() == [int(np.argmin(row @ table)) for row in found["probabilities"].astype(float)]
    assert found["decision"].tolist() == wanted.decisions.tolist()
    assert len(set(found["decision"])) > 1, "a network that always says the same tells nothing"


def test_phases_of_other_weights_are_two_networks(tmp_path: Path, images: np.ndarray) -> None:
    phase(tmp_path / "run", "embed", [])
    phase(tmp_path / "run", "finetune", CLASSES, seed=3)
    parts = parts_of(tmp_path / "run", None)
    assert parts.encoder is not None
    assert parts.classifier is not None
    assert not same_encoder(parts.encoder, parts.classifier)
    found, wanted = said(parts, images), check.reference(parts, [images])
    np.testing.assert_allclose(found["embedding"], wanted.vectors, atol=1e-5)
    np.testing.assert_allclose(found["probabilities"], wanted.probabilities, atol=1e-5)
    assert found["decision"].tolist() == found["probabilities"].argmax(1).tolist()


def test_the_parts_and_their_outputs(tmp_path: Path, images: np.ndarray) -> None:
    phase(tmp_path / "run", "embed", [])
    phase(tmp_path / "run", "finetune", CLASSES)
    outputs = {"encoder": ("embedding",), "classifier": ("probabilities", "decision")}
    outputs["both"] = (*outputs["encoder"], *outputs["classifier"])
    for part, names in outputs.items():
        parts = parts_of(tmp_path / "run", part)
        assert (parts.part, parts.outputs) == (part, names)
        assert tuple(said(parts, images)) == names
    assert parts_of(tmp_path / "run" / "embed", None).part == "encoder"
    assert parts_of(tmp_path / "run" / "finetune", None).part == "both"
    facts = parts_of(tmp_path / "run", None).about()
    assert (facts["classes"], facts["run"]) == (CLASSES, "run")
    assert facts["input"]["shape"] == ["batch", 1, 40, 40]
    assert str(tmp_path) not in str(facts)


def test_the_calibrated_probabilities_are_those_of_the_report(tmp_path: Path, images: np.ndarray) -> None:
    phase(tmp_path / "run", "finetune", CLASSES)
    parts = parts_of(tmp_path / "run", None)
    warm = Parts(parts.encoder, parts.classifier, Fitted("yes", 2.5), "run")
    found = said(warm, images)
    wanted = calibration.scale(found["probabilities"].astype(np.float64), 2.5)
    np.testing.assert_allclose(found["calibrated"], wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("tta", "opset"), [*((name, 18) for name in TTA_SETS if name != "none"), ("wide", 21)])
def test_every_set_of_views_is_an_onnx_file(tmp_path: Path, images: np.ndarray, tta: str, opset: int) -> None:
    pytest.importorskip("onnxruntime")
    phase(tmp_path / "run", "finetune", CLASSES, tta=tta, link="sigmoid", costs={"yes": {"no": 1.5}})
    bare = parts_of(tmp_path / "run", None)
    parts = Parts(bare.encoder, bare.classifier, Fitted("yes", 1.7), "run")
    said_by = onnx_file.write(Graph(parts).eval(), parts, tmp_path / "a.onnx", opset)
    assert said_by == "torch.export"
    run = onnx_file.runner(tmp_path / "a.onnx")
    found = check.compare(parts, check.reference(parts, [images]), check.exported(parts, run, [images], len(images)))
    assert found["least_cosine"] > 0.99999
    assert found["differing_decisions"] == 0
    assert found["largest_probability_difference"] < 1e-5
    np.testing.assert_allclose(run(images)[3], said(parts, images)["calibrated"], atol=1e-5)


def test_what_a_check_counts_and_refuses(tmp_path: Path) -> None:
    phase(tmp_path / "run", "finetune", CLASSES)
    bare = parts_of(tmp_path / "run", None)
    parts = Parts(bare.encoder, bare.classifier, Fitted("yes", None, {"yes_at_sensitivity_0.9": 0.3}), "run")
    vectors = np.eye(3, 16, dtype=np.float32)
    first = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.2, 0.4, 0.4]], np.float32)
    second = np.array([[0.1, 0.6, 0.299999], [0.1, 0.2, 0.7], [0.2, 0.6, 0.2]], np.float32)
    turned = vectors.copy()
    turned[0, 1] = 0.1  # by hand: cosine 1 / sqrt(1.01)
    known = check.Outputs(vectors, first, first.argmax(1))
    facts = check.compare(parts, known, check.Outputs(turned, second, second.argmax(1)))
    assert facts["least_cosine"] == pytest.approx(1.01**-0.5)
    assert facts["differing_decisions"] == 1
    assert (facts["differing_thresholds"], facts["at_a_threshold"]) == (1, 2), "the first two lie at the threshold"
    assert facts["largest_probability_difference"] == pytest.approx(0.4)
    with pytest.raises(check.RequestError, match=r"least cosine is 0\.995037.* 1 decisions differ.* answers to thresh"):
        check.refuse(facts, "onnx", "net", 3)
    check.refuse(check.compare(parts, known, known), "onnx", "net", 3)
    broken = check.Outputs(vectors * np.nan, first * np.nan, first.argmax(1))
    with pytest.raises(check.RequestError, match=r"nan is|is nan.*no numbers"):
        check.refuse(check.compare(parts, known, broken), "onnx", "net", 3)
