"""Mixed images in the step of a supervised phase, worked out image by image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contrastive_cxr import augment, engine
from contrastive_cxr.engine import Batch
from contrastive_cxr.objectives.classes import LOSSES
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.phases.context import Views
from contrastive_cxr.phases.mixing import Mixing
from contrastive_cxr.phases.supervised import ClassStep, class_weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.run import seeds
from contrastive_cxr.run.tracking import Tracker
from tests.phases import two


def made(folder: Path, **changes: object) -> tuple[Mixing, PhaseContext, schema.Pretrain]:
    phase = schema.Pretrain(augment="xray", label_smoothing=0.1, imbalance="class-weights", **changes)  # type: ignore[arg-type]
    recipe = two.recipe().model_copy(update={"pretrain": phase})
    setting = PhaseContext(recipe, two.data(), engine.launch(schema.Runtime(device="cpu")), folder, None, Tracker())
    return Mixing(Views(setting, "pretrain", phase, setting.images()), phase), setting, phase


def batch_of(step: int, mine: slice = slice(0, 8)) -> Batch:
    rows = np.random.default_rng(step).permutation(30)[:8]
    return Batch(rows[mine], rows, 0, step, mine)


MIXES = [schema.Mix(mixup=0.4), schema.Mix(cutmix=1.0), schema.Mix(mixup=0.4, cutmix=1.0, probability=0.6)]


@pytest.mark.parametrize("mix", MIXES)
def test_pictures_are_pairs_of_the_plain_views(tmp_path: Path, mix: schema.Mix) -> None:
    mixing, setting, phase = made(tmp_path, mix=mix)
    for step in range(6):
        batch = batch_of(step)
        views = Views(setting, "pretrain", phase, setting.images())(batch, "xray", "augment")
        drawn = mixing.draw(batch)
        found = mixing.pictures(batch)
        if drawn is None:
            assert torch.equal(found, views)
            continue
        rng = seeds.numpy_generator(3, "pretrain", step, "mix")
        again = augment.draw_mix(mix.mixup, mix.cutmix, mix.probability, 8, 32, rng)
        assert again is not None
        assert (again.share, again.box) == (drawn.share, drawn.box)
        for place, partner in enumerate(again.partner):
            one = augment.mix(views[place : place + 1], views[partner : partner + 1], again)
            assert torch.allclose(found[place : place + 1], one, atol=1e-6)


@pytest.mark.parametrize("mix", MIXES)
def test_two_halves_of_a_batch_see_what_the_whole_sees(tmp_path: Path, mix: schema.Mix) -> None:
    mixing, *_ = made(tmp_path, mix=mix)
    for step in range(4):
        whole = mixing.pictures(batch_of(step))
        halves = [mixing.pictures(batch_of(step, mine)) for mine in (slice(0, 4), slice(4, 8))]
        # a part of a batch may be blurred by another kernel than the whole: its last digits
        assert torch.allclose(torch.cat(halves), whole, atol=1e-6)


@pytest.mark.parametrize("loss", ["cross-entropy", "bce"])
def test_the_loss_is_the_share_weighted_sum_of_both_classes(tmp_path: Path, loss: str) -> None:
    mixing, setting, phase = made(tmp_path, mix=schema.Mix(mixup=0.4, cutmix=1.0), loss=loss)
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    data = setting.data
    weights = class_weights(data.labels[data.rows("train")], 2, "class-weights")

    def given(network: nn.Module, batch: Batch) -> Tensor:
        return logits[batch.rank_slice]

    step = ClassStep(phase, data, torch.device("cpu"), given, mixing.draw)
    shares = []
    for number in range(5):
        batch = batch_of(number)
        drawn = mixing.draw(batch)
        assert drawn is not None
        total = 0.0
        for place, row in enumerate(batch.rows):
            for share, other in ((drawn.share, row), (1 - drawn.share, batch.rows[drawn.partner[place]])):
                label = torch.tensor([data.labels[other]])
                total += share * float(LOSSES[loss].each(logits[place : place + 1], label, weights, 0.1).detach())
        output = step(nn.Identity(), batch)
        assert output.loss.item() == pytest.approx(total / 8, rel=1e-5)
        halves = [step(nn.Identity(), batch_of(number, mine)).loss.item() for mine in (slice(0, 4), slice(4, 8))]
        assert np.mean(halves) == pytest.approx(output.loss.item(), rel=1e-5)
        larger = batch.rows if drawn.share >= 0.5 else batch.rows[drawn.partner]
        assert output.keep["labels"].tolist() == data.labels[larger].tolist()
        shares.append(drawn.share >= 0.5)
    assert any(shares)
    assert not all(shares), "both cases are looked at"


def test_without_mix_the_step_is_the_old_one(tmp_path: Path) -> None:
    mixing, setting, phase = made(tmp_path)
    batch = batch_of(0)
    views = Views(setting, "pretrain", phase, setting.images())
    assert mixing.draw(batch) is None
    assert torch.equal(mixing.pictures(batch), views(batch, "xray", "augment"))
    other = replace(batch, step=1)
    assert not torch.equal(mixing.pictures(batch), mixing.pictures(other))
