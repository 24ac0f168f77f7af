"""Time and memory of mining and loss by batch size, beside pytorch-metric-learning's.

python -m benchmarks.mining [--quick] [--sizes 64 128 256 512 1024] [--repeats 5]

Three even classes, 128 numbers a vector; forward and backward of the loss. Theirs: TripletMarginLoss with
TripletMarginMiner (semihard: all triplets are listed), BatchHardMiner, DistanceWeightedMiner. Memory is the peak above
what was there before: of anonymous memory, each measurement a process of its own; on a GPU what torch allocated there,
all in one process. Where the two choose the same triplets (semihard, batch-hard) the losses are compared too.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning import losses, miners, reducers
from torch import Tensor

from benchmarks import record, timing
from contrastive_cxr import objectives
from contrastive_cxr.recipe.schema import Embed

WIDTH, MARGIN = 128, 0.2
KINDS = ("semihard", "batch-hard", "distance-weighted")
LARGEST_OF_THEIRS = {"semihard": 512}
"""Their list of triplets at 1,024 takes more than 10 GB."""


def main() -> None:
    """Measure each kind and size, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("WHO", "KIND"), help="one measurement, printed as JSON")
    options = parser.parse_args()
    kinds = KINDS[:1] if options.quick else KINDS
    if options.quick:
        options.sizes, options.repeats = [128], 2
    if options.one:
        torch.set_num_threads(options.threads)
        record.say(json.dumps(measured(options.one[0], options.one[1], options.sizes[0], options.repeats)))
        return
    table = [{"kind": kind, "batch": batch, **sides(kind, batch, options)} for kind in kinds for batch in options.sizes]
    figures = [line for row in table for line in compared(row)] + growth(table)
    what = {"question": "Mining and loss by batch size", "width": WIDTH, "classes": 3, "words": options.words}
    record.write(options.result, "mining", {**what, "table": table, "figures": figures})


def sides(kind: str, batch: int, options: Any) -> dict[str, Any]:
    """Both measurements of one kind and size."""
    who = ["ours", "theirs"] if batch <= LARGEST_OF_THEIRS.get(kind, batch) else ["ours"]
    if torch.cuda.is_available():  # torch counts what it allocates there, so one measurement is no burden to the next
        return {one: measured(one, kind, batch, options.repeats) for one in who}
    words = ["--sizes", str(batch), "--repeats", str(options.repeats)]
    return {one: timing.in_process("mining", ["--one", one, kind, *words], options.threads) for one in who}


def measured(who: str, kind: str, batch: int, repeats: int) -> dict[str, Any]:
    """Seconds of forward and backward, peak memory above the start, and the loss."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    work = (ours if who == "ours" else theirs)(kind)
    work(*vectors(16, device))  # threads are started and libraries loaded
    made = vectors(batch, device)
    with timing.peak(device) as peak:
        spent = [timing.seconds(lambda: work(*made), device) for _ in range(repeats)]
    return {"seconds": statistics.median(spent), "mib": peak.above, "loss": work(*made)}


def vectors(batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Overlapping classes: unit vectors float32 [B, 128] with gradient, labels int64 [B]."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(batch) % 3
    centres = torch.randn(3, WIDTH, generator=rng)
    points = 0.4 * centres[labels] + torch.randn(batch, WIDTH, generator=rng)
    return torch.nn.functional.normalize(points, dim=1).to(device).requires_grad_(), labels.to(device)


def ours(kind: str) -> Callable[[Tensor, Tensor], float]:
    """`objectives`, as phase 2 calls it."""
    objective = objectives.build(Embed(loss="triplet", mining=kind, margin=MARGIN, projection=(WIDTH,)))

    def work(points: Tensor, labels: Tensor) -> float:
        loss, _ = objective(points, labels, torch.full_like(labels, -1), seed=0)
        loss.backward()
        return float(loss.detach())

    return work


def theirs(kind: str) -> Callable[[Tensor, Tensor], float]:
    """pytorch-metric-learning's miner and loss."""
    miner = {
        "semihard": lambda: miners.TripletMarginMiner(margin=MARGIN, type_of_triplets="semihard"),
        "batch-hard": miners.BatchHardMiner,
        "distance-weighted": miners.DistanceWeightedMiner,
    }[kind]()
    loss_of = losses.TripletMarginLoss(margin=MARGIN, reducer=reducers.AvgNonZeroReducer())

    def work(points: Tensor, labels: Tensor) -> float:
        loss = loss_of(points, labels, miner(points, labels))
        loss.backward()
        return float(loss.detach())

    return work


def compared(row: dict[str, Any]) -> list[record.Figure]:
    """Ratios of one row of the table."""
    if "theirs" not in row:
        return []
    name, mine, other = f"{row['kind']}, {row['batch']} images", row["ours"], row["theirs"]
    lines = [record.figure(f"{name}: times faster", other["seconds"] / mine["seconds"])]
    if row["kind"] != "distance-weighted":  # whose draws differ
        apart = abs(mine["loss"] - other["loss"])
        lines.append(record.figure(f"{name}: difference of the losses", apart, wanted="<= 0.00001"))
    return lines


def growth(table: list[dict[str, Any]]) -> list[record.Figure]:
    """Memory of the largest batch over that of half of it: 4 where it grows with the square, 8 with the cube."""
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in table):
        sizes = {row["batch"]: row["ours"]["mib"] for row in table if row["kind"] == kind}
        most = max(sizes)
        lines.append(record.figure(f"{kind}: memory at {most} images", sizes[most], "MiB"))
        if sizes.get(most // 2, 0) >= 1:
            grown = sizes[most] / sizes[most // 2]
            lines.append(record.figure(f"{kind}: memory at {most} over {most // 2} images", grown, wanted="<= 5"))
    return lines


if __name__ == "__main__":
    main()
