"""The loop of a phase: epochs, steps, validation, checkpoints. It knows no science; the step itself is in `step.py`."""

from __future__ import annotations

import time

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from contrastive_cxr.engine.fabric import gather, peak_memory_mib, report_lost_process, share
from contrastive_cxr.engine.health.memory import enough_memory
from contrastive_cxr.engine.health.watch import Watch
from contrastive_cxr.engine.progress import Display
from contrastive_cxr.engine.spec import Batch, FitResult, FitSpec, StepOutput
from contrastive_cxr.engine.state import EpochMetrics, TrainState
from contrastive_cxr.engine.step import TrainStep
from contrastive_cxr.engine.stop import Stop
from contrastive_cxr.engine.store import Store
from contrastive_cxr.errors import Interrupted, RequestError, Signalled
from contrastive_cxr.run.seeds import globals_from

# updates between two answers to a signal where several processes must agree
AGREE_EVERY = 10
SMALLER = "make the batch or model.image_size smaller (accumulate keeps the size of an update)"


def fit(fabric: Fabric, spec: FitSpec, *, resume: bool = False) -> FitResult:
    """Train a phase to its end and leave the chosen weights in `spec.network`.

    Parameters
    ----------
    fabric : Fabric
        From `engine.launch`.
    spec : FitSpec
        The phase.
    resume : bool
        Go on from `checkpoints/last.ckpt` where there is one. On the CPU, weights and `metrics.jsonl` then end bit for
        bit as those of an uninterrupted training.

    Raises
    ------
    RequestError
        A batch cannot be shared between the processes; the checkpoint is broken or of another recipe.
    Interrupted
        Ctrl-C, SIGTERM or SIGUSR1; the state is saved.
    CcxrError
        The loss became NaN or infinite; the device has too little memory; the disk is full; another process died or
        hangs.
    """
    loop = Loop(fabric, spec, resume)
    lost = f"{spec.name} is saved up to its last checkpoint; the same command with --resume goes on from there"
    with report_lost_process(fabric, lost), Stop() as stop, loop.display():
        while loop.progress.epoch < spec.epochs:
            loop.train_epoch(stop)
            loop.end_epoch(stop)
            loop.stop_if_requested(stop)
    return loop.finish()


class Loop:
    """The parts of the loop, which `fit` calls in order.

    Parameters
    ----------
    fabric, spec
        As in `fit`.
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
        self.parts = TrainState(fabric, spec)
        self.step = TrainStep(fabric, spec, self.parts, self.steps)
        self.store = Store(fabric, spec, self.steps)
        self.progress, self.tally = self.store.restore(self.parts) if resume else self.store.clear()
        self.clock = self.saved = time.monotonic()
        self.watch = Watch(fabric, spec, self.parts, self._batch, self.step.rate)

    def display(self) -> Display:
        """What is seen of the epochs."""
        images = sum(len(rows) for rows in self._drawn[1])
        spec, first = self.spec, self.fabric.is_global_zero
        self.shown = Display(spec.name, spec.epochs, images, self.progress.images, spec.choose_by, first, spec.place)
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
        self.step.wait(epoch)
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
        output = self.step.backward(batch, index)
        loss = self._note(output, batch, index)  # where it reads the loss, one that is not finite ends the run here
        if self.step.ends_update(index):
            self.step.update(batch.epoch, index)
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
            rate = self.spec.optimiser.lr * self.step.rate(batch.epoch, index)
            self.store.log("step", batch.epoch, batch.step + 1, {**row, "lr": rate})
        return row["loss"]

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
        self.store.choose(epoch, splits.get("val"), progress, self.parts)
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
        progress, spec = self.progress, self.spec
        self.fabric.barrier()
        self.store.load_chosen(progress, self.parts)
        self.parts.network.eval()
        return FitResult(
            best_epoch=progress.best_epoch or spec.epochs,
            best_value=progress.best_value,
            epochs=spec.epochs,
            steps=spec.epochs * self.steps,
            images_seen=progress.images,
            seconds=progress.seconds,
            peak_memory_mib=round(peak_memory_mib(self.fabric.device), 1),
        )
