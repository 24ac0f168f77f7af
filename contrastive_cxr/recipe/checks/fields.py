"""What the fields of a recipe have to be to each other; needs neither data nor torch."""

from __future__ import annotations

from collections.abc import Iterator

import contrastive_cxr.recipe.checks.augmentation as augmentation
import contrastive_cxr.recipe.checks.data as data
import contrastive_cxr.recipe.checks.shards as shards
import contrastive_cxr.recipe.checks.tuning as tuning
from contrastive_cxr.errors import nearest
from contrastive_cxr.recipe.schema import (
    Cascade,
    Embed,
    Evaluation,
    Model,
    Phase,
    Recipe,
    Split,
    Supervised,
)
from contrastive_cxr.tasks import Task

# Their miners choose among the images of one batch; the embeddings of past batches never reach them.
_MINING_WITHOUT_MEMORY = ("batch-hard", "distance-weighted")


def faults(recipe: Recipe) -> list[str]:
    """All contradictions within a recipe, one sentence each; empty where there are none."""
    return [
        *_phases(recipe),
        *_model(recipe.model),
        *data.faults(recipe.data),
        *_split(recipe),
        *(_embed(recipe.embed, recipe.task) if recipe.embed else ()),
        *_classes(recipe),
        *_losses(recipe),
        *tuning.faults(recipe),
        *_costs(recipe.evaluation, recipe.task),
        *_robustness(recipe),
        *(_cascade(recipe.cascade, recipe.task) if recipe.cascade else ()),
        *_machine(recipe),
        *shards.faults(recipe),
    ]


def _named_phases(recipe: Recipe) -> list[tuple[str, Phase]]:
    phases = {"pretrain": recipe.pretrain, "embed": recipe.embed, "finetune": recipe.finetune}
    return [(name, phase) for name, phase in phases.items() if phase is not None]


def _phases(recipe: Recipe) -> Iterator[str]:
    named = _named_phases(recipe)
    if not named:
        yield "the recipe has no phase; give it at least one of the sections pretrain, embed and finetune"
    for name, phase in named:
        if phase.initial_image_size is not None and phase.initial_image_size > recipe.model.image_size:
            yield (
                f"`{name}.initial_image_size`: {phase.initial_image_size} is above model.image_size "
                f"({recipe.model.image_size}); images grow to that size, so start at or below it"
            )
        warmup = phase.schedule.warmup_epochs
        if phase.schedule.name == "one-cycle" and warmup > 0:
            yield (
                f"`{name}.schedule.warmup_epochs`: {warmup:g} is not used with one-cycle, which warms up by itself; "
                "set it to 0"
            )
        elif warmup > phase.epochs:
            yield (
                f"`{name}.schedule.warmup_epochs`: {warmup:g} is above {name}.epochs ({phase.epochs}), so the rate "
                "would never reach its peak; set it to at most that"
            )
        if phase.trainable is not None and not phase.trainable:
            yield f"`{name}.trainable`: the list is empty, so nothing would be trained; name blocks, or null for all"
        size = phase.initial_image_size or recipe.model.image_size
        yield from augmentation.faults(f"{name}.augment", phase.augment, size)
        if isinstance(phase, Embed):
            yield from augmentation.faults(f"{name}.positive_augment", phase.positive_augment, size)


def _model(model: Model) -> Iterator[str]:
    if model.init != "default" and model.weights != "none":
        yield (
            f"`model.init`: {model.init} draws the weights that model.weights={model.weights} would replace; set "
            "model.init=default or model.weights=none"
        )
    if model.drop_rates is not None and model.dropout > 0:
        yield (
            f"`model.drop_rates`: {list(model.drop_rates)} stand in the place of model.dropout ({model.dropout:g}); "
            "set one of them, the other to null or 0"
        )


def _split(recipe: Recipe) -> Iterator[str]:
    split = recipe.data.split
    if split.kind == "folds" and split.fold >= split.folds:
        yield f"`data.split.fold`: {split.fold} is not one of the {split.folds} folds; they are 0 to {split.folds - 1}"
    if split.kind in ("within-train", "fractions") and split.val + split.test >= 1:
        yield f"`data.split`: val {split.val:g} and test {split.test:g} leave nothing to train on; their sum is below 1"
    yield from _choosing(recipe, split)


def _choosing(recipe: Recipe, split: Split) -> Iterator[str]:
    if split.kind == "official" or split.val > 0:
        return
    for name, phase in (("pretrain", recipe.pretrain), ("embed", recipe.embed), ("finetune", recipe.finetune)):
        if phase is not None and phase.choose_by != "last":
            yield (
                f"`{name}.choose_by`: {phase.choose_by} needs validation images and data.split.val is 0; "
                f"raise data.split.val or set {name}.choose_by=last"
            )


def _embed(embed: Embed, task: Task) -> Iterator[str]:
    if embed.positives == "augmented":
        if embed.choose_by in ("map_at_r", "knn_accuracy"):
            yield (
                f"`embed.choose_by`: {embed.choose_by} looks at labels and embed.positives=augmented uses none; "
                "set it to loss or last"
            )
    else:
        yield from _labelled_batch(embed, task)
    if embed.discard_projection and not embed.projection:
        yield (
            "`embed.discard_projection`: there is no projection to discard, as embed.projection is empty; give it a "
            "layer, or set discard_projection to false"
        )
    if embed.loss != "triplet":
        return
    if embed.mining == "distance-weighted" and embed.distance == "cosine":
        yield (
            "`embed.mining`: distance-weighted is defined for euclidean distances of unit vectors, not for cosine; "
            "set embed.distance=euclidean"
        )
    if embed.memory_bank_size and embed.mining in _MINING_WITHOUT_MEMORY:
        yield (
            f"`embed.memory_bank_size`: {embed.mining} mining stays within the batch and cannot use a memory; set "
            "embed.memory_bank_size=0, or embed.mining to random, all, easy, semihard or hard"
        )


def _labelled_batch(embed: Embed, task: Task) -> Iterator[str]:
    asked, known = embed.classes_per_batch, len(task.names)
    if asked is not None and asked > known:
        yield (
            f"`embed.classes_per_batch`: {asked} is more than the {known} classes of task '{task.name}' "
            f"({', '.join(task.names)}); set it to at most {known}, or null for all"
        )
    elif asked == 1 and known > 1:
        yield "`embed.classes_per_batch`: 1 gives a batch without negatives; set it to at least 2, or null for all"


def _classes(recipe: Recipe) -> Iterator[str]:
    """A task of one class has nothing to learn but label-free embeddings."""
    if len(recipe.task.names) > 1:
        return
    only = f"task '{recipe.task.name}' has one class ({recipe.task.names[0]})"
    for name in ("pretrain", "finetune"):
        if getattr(recipe, name) is not None:
            yield f"{only}, so `{name}` has nothing to tell apart; set {name}=null or give the task more classes"
    if recipe.embed is not None and recipe.embed.positives != "augmented":
        yield (
            f"{only}, so `embed.positives`: {recipe.embed.positives} gives no negatives; set embed.positives=augmented "
            "or give the task more classes"
        )


def _losses(recipe: Recipe) -> Iterator[str]:
    for name, phase in _named_phases(recipe):
        if isinstance(phase, Supervised) and phase.loss.endswith("hinge") and phase.label_smoothing > 0:
            yield (
                f"`{name}.label_smoothing`: {phase.label_smoothing:g} makes soft labels and loss {phase.loss} takes "
                f"hard ones, -1 or +1; set it to 0, or {name}.loss to cross-entropy or bce"
            )


def _costs(evaluation: Evaluation, task: Task) -> Iterator[str]:
    for true, row in evaluation.costs.items():
        if true not in task.names:
            yield _no_class("evaluation.costs", true, task)
        for decided, cost in row.items():
            place = f"evaluation.costs.{true}"
            if decided not in task.names:
                yield _no_class(place, decided, task)
            if cost < 0:
                yield f"`{place}.{decided}`: {cost:g} is below 0; a cost is 0 or more"
            elif decided == true and cost != 0:
                yield f"`{place}.{decided}`: {cost:g} is the cost of a right decision, which is 0; take it out"


def _robustness(recipe: Recipe) -> Iterator[str]:
    """Robustness needs classes; a phase that trains on ready vectors has no images to change."""
    if recipe.evaluation.robustness == "on" and len(recipe.task.names) < 2:
        yield (
            f"`evaluation.robustness`: task '{recipe.task.name}' has one class ({recipe.task.names[0]}), so there are "
            "no labels to score changed images by; leave out evaluation.robustness=on and --robustness, or give the "
            "task more classes"
        )
    phase = recipe.finetune
    if phase is None or phase.choose_by != "robust_auc":
        return
    if phase.on_vectors:
        yield (
            "`finetune.choose_by`: robust_auc needs changed images, and with finetune.trainable=[classifier] and "
            "finetune.augment=none the head learns on vectors that are computed once; set finetune.choose_by=auc, or "
            "thaw a block or augment"
        )


def _no_class(place: str, name: str, task: Task) -> str:
    return (
        f"`{place}`: '{name}' is not a class of task '{task.name}'{nearest(name, task.names)}; "
        f"its classes are {', '.join(task.names)}"
    )


def _cascade(cascade: Cascade, flat: Task) -> Iterator[str]:
    first, second = cascade.stage1, cascade.stage2
    if len(first.names) != 2:
        yield f"`cascade.stage1` has {len(first.names)} classes ({', '.join(first.names)}); a first stage has two"
    out = first.names[0]
    if out not in flat.names:
        yield (
            f"`cascade.stage1`: its first class '{out}' is not a class of task '{flat.name}' "
            f"({', '.join(flat.names)}); the first stage decides that class for good"
        )
        return
    rest = [name for name in flat.names if name != out]
    if set(second.names) != set(rest):
        yield (
            f"`cascade.stage2` has the classes {', '.join(second.names)}; with '{out}' decided by the first stage, "
            f"task '{flat.name}' leaves {', '.join(rest)}"
        )
    for place, stage in (("cascade.stage1", first), ("cascade.stage2", second)):
        for name in stage.names:
            if name in flat.names and set(stage.classes[name]) != set(flat.classes[name]):
                yield (
                    f"`{place}`: class '{name}' holds the labels {', '.join(stage.classes[name])}, and "
                    f"{', '.join(flat.classes[name])} in task '{flat.name}'; they are the same in both"
                )


def _machine(recipe: Recipe) -> Iterator[str]:
    if recipe.runtime.precision == "16-mixed" and recipe.runtime.device == "cpu":
        yield "`runtime.precision`: 16-mixed needs a GPU and runtime.device is cpu; set it to bf16-mixed or 32-true"
    if recipe.runtime.sync_batchnorm and recipe.runtime.device == "cpu":
        yield "`runtime.sync_batchnorm`: torch has it for GPUs alone and runtime.device is cpu; set it to false"
