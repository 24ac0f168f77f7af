"""Phase 3 with phase 2's loss as a second term: both terms worked out from one pass; a run; bad settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss
from torch.nn import functional

from contrastive_cxr import engine
from contrastive_cxr import recipe as recipes
from contrastive_cxr.engine import Batch
from contrastive_cxr.errors import RequestError
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.phases.context import Views
from contrastive_cxr.phases.joint import JointStep
from contrastive_cxr.phases.mixing import Mixing
from contrastive_cxr.phases.supervised import ClassStep
from contrastive_cxr.recipe import schema
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.training.run import run
from tests.phases import two
from tests.small import metrics, small_recipe, tensors

THAWED = ("finetune.trainable=[projection, classifier]", "finetune.augment=xray")


def test_the_loss_is_the_sum_of_both_terms(tmp_path: Path) -> None:
    embed = schema.Embed(loss="supcon", temperature=0.2, projection=(8,))
    phase = schema.Finetune(trainable=("projection", "classifier"), augment="xray", contrastive=0.3)
    recipe = two.recipe().model_copy(update={"embed": embed, "finetune": phase})
    setting = PhaseContext(recipe, two.data(), engine.launch(schema.Runtime(device="cpu")), tmp_path, None, Tracker())
    network = setting.build("finetune", projection=(8,), classes=("a", "b")).eval()
    mixing = Mixing(Views(setting, "finetune", phase, setting.images()), phase)
    of_classes = ClassStep(phase, setting.data, torch.device("cpu"), lambda model, batch: model(mixing.pictures(batch)))
    step = JointStep(setting, of_classes, mixing, phase.contrastive)
    rows = np.arange(16)
    batch = Batch(rows, rows, 0, 0, slice(0, 16))
    output = step(network, batch)

    pictures = mixing.pictures(batch)
    labels = torch.from_numpy(setting.data.labels[rows])
    vectors = network.embed(pictures)
    of_classes = functional.cross_entropy(network.head(vectors), labels)
    patients = torch.from_numpy(setting.data.patients[rows])
    pairs = [(i, j) for i in range(16) for j in range(16) if i != j]
    positive = [(i, j) for i, j in pairs if labels[i] == labels[j]]
    # two images of one patient are never each other's negatives
    negative = [(i, j) for i, j in pairs if labels[i] != labels[j] and patients[i] != patients[j]]
    chosen = tuple(torch.tensor(part) for side in (positive, negative) for part in zip(*side, strict=True))
    contrastive = SupConLoss(temperature=0.2)(vectors, indices_tuple=chosen)
    assert output.values["class_loss"] == pytest.approx(of_classes.item(), abs=1e-5)
    assert output.values["contrastive_loss"] == pytest.approx(contrastive.item(), abs=1e-5)
    assert output.loss.item() == pytest.approx((of_classes + 0.3 * contrastive).item(), abs=1e-5)
    assert output.keep["probabilities"].shape == (16, 2)


@pytest.mark.slow
def test_a_run_trains_the_embedding_with_both(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "cache", "pretrain=null", *THAWED, "finetune.contrastive=0.5")
    run(recipe, tmp_path / "run")
    row = next(row for row in metrics(tmp_path / "run" / "finetune") if row["split"] == "train")
    assert row["loss"] == pytest.approx(row["class_loss"] + 0.5 * row["contrastive_loss"], abs=1e-6)
    before, after = (tensors(tmp_path / "run" / name) for name in ("embed", "finetune"))
    moved = [name for name in before if name.startswith("projection") and not torch.equal(before[name], after[name])]
    assert moved


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*THAWED, "embed=null"), "weighs the loss of the section embed, which is not there"),
        ((*THAWED, "embed.positives=augmented", "embed.choose_by=last"), "needs positives of the same class"),
        (("finetune.trainable=[classifier]",), "the embedding is frozen; thaw blocks"),
        ((*THAWED, "finetune.mix.mixup=0.2"), "needs pictures of one class each"),
        ((*THAWED, "embed.positives=both"), "needs positives of the same class alone, and embed.positives is both"),
        ((*THAWED, "finetune.accumulate=2"), "which finetune.accumulate=2 does not enlarge"),
    ],
)
def test_what_a_second_term_needs(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(RequestError) as error:
        recipes.load("phantom", [*words, "finetune.contrastive=0.5"])
    assert len(error.value.faults) == 1
    assert said in error.value.faults[0]
