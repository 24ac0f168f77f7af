"""One sitting of a phase: epochs, steps, updates."""

from __future__ import annotations

import logging
import math
import time

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

import contrastive_cxr.engine.optim as optim
from contrastive_cxr.engine.fabric import gather, peak_memory_mib, share
from contrastive_cxr.engine.health.memory import enough_memory
from contrastive_cxr.engine.health.watch import Watch
from contrastive_cxr.engine.progress import Display
from contrastive_cxr.engine.spec import Batch, FitResult, FitSpec, StepOutput
from contrastive_cxr.engine.state import EpochMetrics, TrainState
from contrastive_cxr.engine.stop import Stop
from contrastive_cxr.engine.store import Store
from contrastive_cxr.errors import CcxrError, Interrupted, RequestError, Signalled
from contrastive_cxr.run.seeds import globals_from

log = logging.getLogger(__name__)
# updates between two answers to a signal where several processes must agree
AGREE_EVERY = 10
SMALLER = "make the batch or model.image_size smaller (accumulate keeps the size of an update)"


class Loop:
    """The duties of the loop; `engine.fit` tells their order.

    Parameters
    ----------
    fabric, spec
        As in `engine.fit`.
    resume : bool
        Begin where `last.ckpt` is.
    """

    def __init__(self, fabric: Fabric, spec: FitSpec, resume: bool) -> None:
        self.fabric, self.spec = fabric, spec
        if fabric.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(fabric.device)  # the peak is this phase's own
        assert spec.choose_by == "last" or spec.validate is not None, "choose_by needs a validation"
        self._drawn = 0, spec.batches(0)
        self.steps = len(self._drawn[1])
        if self.steps == 0:
            raise RequestError(f"{spec.name}: an epoch has no batch; the batch is larger than the training part")
        self.updates = -(-self.steps // spec.accumulate)
        self.parts = TrainState(fabric, spec)
        self.store = Store(fabric, spec, self.steps)
        self.progress, self.tally = self.store.restore(self.parts) if resume else self.store.clear()
        self.clock = self.saved = time.monotonic()
        self.watch = Watch(fabric, spec, self.parts, self._batch, self._rate)

    def display(self) -> Display:
        """What is seen of the epochs."""
        images = sum(len(rows) for rows in self._drawn[1])
        spec, first = self.spec, self.fabric.is_global_zero
        self.shown = Display(spec.name, spec.epochs, images, self.progress.images, spec.choose_by, first)
        return self.shown

    def train_epoch(self, stop: Stop) -> None:
        """The rest of the epoch that the progress names."""
        epoch, spec = self.progress.epoch, self.spec
        self._drawn = epoch, spec.batches(epoch)
        count = len(self._drawn[1])
        assert count == self.steps, f"epoch {epoch} has {count} batches, the first had {self.steps}"
        if spec.prepare is not None:
            spec.prepare(epoch)
        self.parts.train()
        self._wait(epoch)
        self.clock = time.monotonic()
        for index in range(self.progress.step, self.steps):
            batch = self._batch(epoch, index)
            asked = f"{spec.name} with {len(batch.rows)} images a step on a process"
            with enough_memory(self.fabric.device, asked, spec.out_of_memory_hint or SMALLER):
                loss = self._step(batch, index)
            self.progress.step = index + 1
            self.progress.images += len(batch.global_rows)
            self.shown.step(len(batch.global_rows), loss)
            if (index + 1) % spec.accumulate == 0 and index + 1 < self.steps:
                self._between_updates(stop, (index + 1) // spec.accumulate)

    def _batch(self, epoch: int, index: int) -> Batch:
        """A step's batch, with this process's part of it."""
        if epoch != self._drawn[0]:
            self._drawn = epoch, self.spec.batches(epoch)
        rows = np.asarray(self._drawn[1][index], dtype=np.int64)
        mine = share(self.fabric, len(rows))
        return Batch(rows[mine], rows, epoch, epoch * self.steps + index, mine)

    def _step(self, batch: Batch, index: int) -> float | None:
        """One batch: forward, backward, perhaps an update; returns the loss where it was read."""
        spec, fabric = self.spec, self.fabric
        start = index - index % spec.accumulate
        group = min(spec.accumulate, self.steps - start)
        update = index + 1 == start + group
        with (
            globals_from(spec.seed, spec.name, batch.epoch, index, fabric.global_rank),
            fabric.no_backward_sync(self.parts.wrapped, enabled=not update),
        ):
            output = spec.step(self.parts.wrapped, batch)
            assert output.loss.requires_grad, "the loss has no gradient; a loss of nothing is embeddings.sum() * 0"
            fabric.backward(output.loss / group)
        loss = self._note(output, batch, index)
        if update:
            self._update(self._rate(batch.epoch, index), batch.epoch)
        return loss

    def _note(self, output: StepOutput, batch: Batch, index: int) -> float | None:
        """Add a step to the epoch's tally; log it, and look whether it is finite, when its turn comes."""
        values = {"loss": output.loss, **output.values}
        numbers = [torch.as_tensor(v, device=self.fabric.device).detach().double().reshape(()) for v in values.values()]
        stacked = self.fabric.all_reduce(torch.stack(numbers), reduce_op="mean")
        assert isinstance(stacked, Tensor), "a tensor stays one"
        keep = {name: gather(self.fabric, tensor.detach(), grads=False) for name, tensor in output.keep.items()}
        self.tally.add(list(values), stacked, keep, len(batch.global_rows))
        self.watch.note(stacked[:1], batch.step)
        logged = (batch.step + 1) % self.spec.log_every == 0
        # reading a value waits for the GPU, so there it is done when the step is logged, and at the epoch's end
        if not (logged or index + 1 == self.steps or self.fabric.device.type == "cpu"):
            return None
        row = self.watch.read(list(values), stacked, batch, index)
        if logged:
            rate = self.spec.optimiser.lr * self._rate(batch.epoch, index)
            self.store.log("step", batch.epoch, batch.step + 1, {**row, "lr": rate})
        return row["loss"]

    def _rate(self, epoch: int, index: int) -> float:
        """Share of the peak rate in the update that a step belongs to."""
        update = epoch * self.updates + index // self.spec.accumulate
        return optim.factor(self.spec.schedule, update, self.updates, self.spec.epochs)

    def _wait(self, epoch: int) -> None:
        """Compute no gradients for parameters that wait; with several processes DDP needs all that it was made with."""
        if self.fabric.world_size > 1:
            return
        for group in self.parts.optimiser.param_groups:
            if "from_epoch" in group:
                for parameter in group["params"]:
                    parameter.requires_grad_(not optim.waits(group, epoch))

    def _update(self, rate: float, epoch: int) -> None:
        """Step the optimiser at this share of its peak rates; parameters that wait keep weights and moments."""
        spec, optimiser = self.spec, self.parts.optimiser
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
            if optim.waits(group, epoch):
                for parameter in group["params"]:
                    parameter.grad = None  # the optimiser passes it by, and so does the clipping
        if spec.optimiser.clip_norm > 0:
            self.fabric.clip_gradients(
                self.parts.wrapped, optimiser, max_norm=spec.optimiser.clip_norm, error_if_nonfinite=False
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if self.parts.average is not None:
            self.parts.average.update_parameters(self.parts.network)

    def _between_updates(self, stop: Stop, update: int) -> None:
        """Save when it is time; answer signals."""
        minutes = self.spec.checkpoint_minutes
        if minutes > 0 and time.monotonic() - self.saved > 60 * minutes:
            self.save()
        if self.fabric.world_size == 1 or update % AGREE_EVERY == 0:
            self.stop_if_requested(stop)

    def stop_if_requested(self, stop: Stop) -> None:
        """Save and leave, if asked to."""
        number = stop.agreed(self.fabric)
        if number:
            self.save()
            done = self.progress.epoch * self.steps + self.progress.step
            raise Interrupted(
                f"{self.spec.name} interrupted after {done} of {self.spec.epochs * self.steps} steps; "
                "everything is saved, the same command with --resume goes on from there",
                number,
            )

    def end_epoch(self, stop: Stop) -> None:
        """Summarise, validate, choose, save; a signal is answered before the validation, and alone also inside it."""
        spec, progress = self.spec, self.progress
        epoch, step = progress.epoch, (progress.epoch + 1) * self.steps
        self.parts.share_buffers()
        splits = {"train": self.tally.means()}
        if spec.summarise is not None:
            splits["train"].update(spec.summarise(self.tally.arrays()))
        self._tick()
        trained = progress.epoch_seconds
        if spec.validate is not None and ((epoch + 1) % spec.validate_every == 0 or epoch + 1 == spec.epochs):
            self.stop_if_requested(stop)
            splits["val"] = self._validate(epoch, stop)
        for split, values in splits.items():
            self.store.log(split, epoch, step, values)
        images = sum(len(rows) for rows in self._drawn[1])
        self._tick()
        speed = images / max(trained, 1e-9)
        if self.fabric.is_global_zero:
            times = {"seconds": progress.epoch_seconds, "train_seconds": trained, "images_per_second": speed}
            self.store.timing.append({"epoch": epoch + 1, **times})
            if spec.on_epoch is not None:
                spec.on_epoch(epoch, splits)
        self._choose(epoch, splits.get("val"))
        self.shown.epoch(epoch, splits, speed, (progress.best_epoch, progress.best_value))
        self.tally = EpochMetrics()
        progress.epoch, progress.step, progress.epoch_seconds = epoch + 1, 0, 0.0
        self.save()

    def _validate(self, epoch: int, stop: Stop) -> dict[str, float]:
        """Scores of the network that would be kept, the same on every process."""
        assert self.spec.validate is not None, "called without a validation"
        network = self.parts.chosen.eval()
        name, device = self.spec.name, self.fabric.device
        values: dict[str, float] = {}
        try:
            with (
                stop.at_once(self.fabric),
                enough_memory(device, f"the validation of {name}", "set runtime.eval_batch_size lower"),
                globals_from(self.spec.seed, name, epoch, "validate"),
            ):
                values = self.fabric.broadcast(self.spec.validate(network, epoch))
        except Signalled:
            self.stop_if_requested(stop)
        return values

    def _choose(self, epoch: int, values: dict[str, float] | None) -> None:
        """Keep the weights if they are the best so far."""
        name, progress = self.spec.choose_by, self.progress
        if name == "last" or values is None:
            return
        if name not in values:
            raise CcxrError(f"choose_by '{name}' is not among the validation metrics {sorted(values)}")
        value, best = float(values[name]), progress.best_value
        better = best is None or (value < best if name == "loss" else value > best)
        if math.isfinite(value) and better:
            progress.best_epoch, progress.best_value = epoch + 1, value
            self.store.save_best(epoch + 1, self.parts)

    def save(self) -> None:
        """Write `last.ckpt`, unless the last update broke the weights: the last good checkpoint stays."""
        self._tick()
        self.watch.check_weights(*divmod(self.progress.epoch * self.steps + self.progress.step - 1, self.steps))
        self.store.save(self.parts, self.progress, self.tally)
        self.saved = time.monotonic()

    def _tick(self) -> None:
        """Add the time since the last tick."""
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.progress.epoch_seconds += now - self.clock
        self.clock = now

    def finish(self) -> FitResult:
        """Load the chosen weights into the network."""
        progress, network, spec = self.progress, self.parts.network, self.spec
        self.fabric.barrier()
        if progress.best_epoch:
            network.load_state_dict(self.store.load_best(progress.best_epoch))
        else:
            if spec.choose_by != "last":
                log.warning("%s: %s was never a number; the last weights are kept", spec.name, spec.choose_by)
            network.load_state_dict(self.parts.chosen.state_dict())
        network.eval()
        return FitResult(
            best_epoch=progress.best_epoch or spec.epochs,
            best_value=progress.best_value,
            epochs=spec.epochs,
            steps=spec.epochs * self.steps,
            images_seen=progress.images,
            seconds=progress.seconds,
            peak_memory_mib=round(peak_memory_mib(self.fabric.device), 1),
        )
