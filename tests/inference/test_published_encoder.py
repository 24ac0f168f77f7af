"""A frozen published encoder: a gallery, its neighbours and a linear probe, without a training run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from contrastive_cxr import augment
from contrastive_cxr.cli.app import app
from contrastive_cxr.data.decoding.decode import fit_square
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference import linear_probe
from contrastive_cxr.inference.published_encoder import index_encoder
from contrastive_cxr.inference.search import search
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.retrieval import Gallery

NAME = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of two classes, dark and light, two of each patient, in a table."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        label = "ab"[number // 2 % 2]
        grey = rng.integers(0, 120, (64, 64)) + (100 if label == "b" else 0)
        Image.fromarray(grey.astype("uint8")).save(root / f"{number}.png")
        rows.append((f"{number}.png", label, f"p{number // 2}"))
    pd.DataFrame(rows, columns=["file", "label", "patient"]).to_csv(root / "labels.csv", index=False)
    return root


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Lightning checkpoint of a network that is not named anywhere."""
    torch.manual_seed(0)
    net = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    path = tmp_path_factory.mktemp("file") / "last.ckpt"
    torch.save({"state_dict": {f"model.{name}": value for name, value in net.state_dict().items()}}, path)
    return path


def test_a_gallery_of_a_file_is_searched_with_its_own_encoder(images: Path, file: Path, tmp_path: Path) -> None:
    made = index_encoder(str(file), [str(images)], tmp_path / "gallery", image_size=64)
    assert len(made.gallery) == 24
    assert f"of {NAME} are loaded" in made.lines[0]
    assert hashlib.sha256(file.read_bytes()).hexdigest() in made.lines[0]
    assert made.lines[0].startswith(f"--encoder={file}")
    # the vectors are the network's own, of the grey image in three colours, with ImageNet's mean and deviation
    net = torchvision.models.shufflenet_v2_x0_5(num_classes=3)
    given = torch.load(file, weights_only=True)["state_dict"]
    net.load_state_dict({name.removeprefix("model."): value for name, value in given.items()})
    net.fc = nn.Identity()
    mean, std = catalogue.grey_statistics(NAME)
    square, _ = fit_square(np.array(Image.open(images / "3.png")), 256, "pad")
    pixels = augment.plain(torch.from_numpy(square)[None, None], 64)
    row = made.gallery.rows["path"].tolist().index("3.png")
    with torch.no_grad():
        theirs = nn.functional.normalize(net.eval()(((pixels - mean) / std).expand(-1, 3, -1, -1)))[0]
    torch.testing.assert_close(torch.from_numpy(made.gallery.vectors[row]), theirs, rtol=1e-5, atol=1e-5)

    facts = json.loads((tmp_path / "gallery" / "probe.json").read_text())
    assert facts["how"].startswith("each image from those of other patients")
    for scores, name in ((facts["knn"], "knn_accuracy"), (facts["linear"], "accuracy")):
        assert scores[name]["value"] > 0.9
        assert scores[name]["n"] == 24
        assert 0 < scores[name]["low"] <= scores[name]["value"]

    (tmp_path / "gallery").rename(tmp_path / "moved")  # its encoder moves with it
    found = search(tmp_path / "moved", [images / "0.png"], k=3)
    near = found["queries"][0]["neighbours"]
    assert len(near) == 3
    assert all(each["patient"] != "p0" for each in near)
    assert len(Gallery.load(tmp_path / "moved")) == 24


def test_the_command_prints_scores_with_intervals(images: Path, file: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["index", "--encoder", str(file), str(images), "--out", str(tmp_path / "g"), "--image-size", "64"]
    )
    assert done.exit_code == 0, done.output
    for words in (
        "are loaded",
        "Nearest neighbours: 24 images",
        "Linear probe: 24 images",
        "knn_accuracy",
        "Gallery: 24",
    ):
        assert words in done.output


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("densenet12", r"densenet12' is not known \(did you mean 'densenet121'\?\)"),
        ("cnn3", "--encoder cnn3: cnn3 has no published weights"),
        ("hf-hub:rad-dino", r"--encoder=hf-hub:rad-dino: a repository of the hub is hf-hub:ORG/NAME"),
    ],
)
def test_an_encoder_that_is_none_is_one_sentence_and_nothing_is_written(
    images: Path, tmp_path: Path, word: str, said: str
) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        index_encoder(word, [str(images)], tmp_path / "g")
    assert len(caught.value.faults) == 1
    assert not (tmp_path / "g").exists()


def test_every_fault_comes_at_once(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"")
    with pytest.raises(RequestError) as caught:
        index_encoder(str(tmp_path / "w.bin"), [str(tmp_path / "none")], tmp_path / "g", kind="tree")
    assert len(caught.value.faults) == 3


def rows_of(labels: list[str], **more: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"label": labels, **more})


def test_the_probe_never_learns_from_the_patient_it_scores() -> None:
    """Vectors that tell patients and nothing else: each of two images of a patient finds the other at once."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 2)
    vectors = np.eye(60, dtype=np.float32)[patients] + rng.normal(0, 0.01, (120, 60)).astype(np.float32)
    labels = rng.permutation(np.repeat(["a", "b"], 30))[patients].tolist()
    facts = linear_probe.probe(vectors, rows_of(labels, patient=[str(each) for each in patients]), resamples=100)
    assert facts["linear"]["auc"]["value"] < 0.7
    assert facts["knn"]["recall_at_1"]["value"] < 0.7
    known = linear_probe.probe(vectors, rows_of(labels), resamples=100)  # no patients: the twin gives it away
    assert known["knn"]["recall_at_1"]["value"] == 1


def test_a_split_is_kept_to() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(80, 4)).astype(np.float32)
    labels = np.where(vectors[:, 0] > 0, "x", "y")
    split = np.array(["train"] * 60 + ["test"] * 20)
    facts = linear_probe.probe(vectors, rows_of(labels.tolist(), split=split.tolist()), resamples=100)
    assert (facts["how"], facts["n"]) == ("test from train", 20)
    found, _ = neighbours.search(vectors[:60], vectors[60:], 1)
    right = np.mean(labels[:60][found[:, 0]] == labels[60:])
    assert facts["knn"]["recall_at_1"]["value"] == pytest.approx(right)


def test_what_cannot_be_scored_is_said() -> None:
    vectors = np.eye(6, dtype=np.float32)
    assert "fewer than two labels" in linear_probe.probe(vectors, rows_of(["a"] * 5 + [""]))["notes"][0]
    one = linear_probe.probe(vectors, rows_of(["a"] * 5 + ["b"]), resamples=100)
    assert one["linear"] is None
    assert "fewer than two patients" in one["notes"][1]
