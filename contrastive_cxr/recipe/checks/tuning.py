"""What the settings of fine-tuning have to be to each other: rates by layer, the head-first epochs, mixed images."""

from __future__ import annotations

from collections.abc import Iterator

from contrastive_cxr.recipe.schema import Embed, Finetune, Phase, Recipe, Supervised


def faults(recipe: Recipe) -> Iterator[str]:
    """Contradictions within the phases of a recipe, one sentence each."""
    phases: dict[str, Phase | None] = {
        "pretrain": recipe.pretrain, "embed": recipe.embed, "finetune": recipe.finetune,
    }  # fmt: skip
    for name, phase in phases.items():
        if phase is not None:
            yield from _rates(name, phase)
        if isinstance(phase, Supervised):
            yield from _head_first(name, phase)
            yield from _mix(name, phase)
    if recipe.finetune is not None and recipe.finetune.contrastive:
        yield from _contrastive(recipe.finetune, recipe.embed)


def head_alone(phase: Phase) -> bool:
    """Whether the phase trains its new layers and nothing else."""
    return phase.trainable is not None and set(phase.trainable) == {phase.head}


def _rates(name: str, phase: Phase) -> Iterator[str]:
    decay, rate, head = phase.optimiser.layer_decay, phase.optimiser.head_lr, phase.head
    if decay < 1 and head_alone(phase):
        yield (
            f"`{name}.optimiser.layer_decay`: {decay:g} changes nothing where {name}.trainable is "
            f"[{', '.join(phase.trainable or ())}] alone; set it to 1, or thaw blocks below"
        )
    if rate is None:
        return
    if phase.trainable is not None and head not in phase.trainable:
        yield (
            f"`{name}.optimiser.head_lr`: {rate:g} is the rate of {head}, which {name}.trainable lacks; add it, or set "
            "head_lr to null"
        )
    if isinstance(phase, Embed) and not phase.projection:
        yield (
            f"`{name}.optimiser.head_lr`: {rate:g} is the rate of the projection and {name}.projection is empty; set "
            "it to null"
        )
    if isinstance(phase, Finetune) and phase.backbone_lr is not None:
        yield (
            f"`{name}.backbone_lr`: {phase.backbone_lr:g} is the rate of the thawed blocks and "
            f"{name}.optimiser.head_lr={rate:g} that of the head, so no block would use "
            f"{name}.optimiser.lr={phase.optimiser.lr:g}; set {name}.optimiser.lr={phase.backbone_lr:g} and "
            f"{name}.backbone_lr=null"
        )


def _head_first(name: str, phase: Supervised) -> Iterator[str]:
    epochs, head = phase.head_epochs, phase.head
    if not epochs:
        return
    if epochs >= phase.epochs:
        yield (
            f"`{name}.head_epochs`: {epochs} is not below {name}.epochs ({phase.epochs}), so the other blocks would "
            f"never be trained; set it lower, or {name}.trainable=[{head}]"
        )
    if head_alone(phase):
        yield (
            f"`{name}.head_epochs`: {epochs} changes nothing where {name}.trainable is [{head}] alone; set it to 0, or "
            "thaw blocks below"
        )
    elif phase.trainable is not None and head not in phase.trainable:
        yield (
            f"`{name}.head_epochs`: {epochs} epochs would train nothing, as {name}.trainable lacks {head}; add it, or "
            "set head_epochs to 0"
        )


def _mix(name: str, phase: Supervised) -> Iterator[str]:
    if not phase.mix.on:
        if phase.mix.probability < 1:
            yield (
                f"`{name}.mix.probability`: {phase.mix.probability:g} changes nothing where nothing is mixed; give "
                f"{name}.mix.mixup or {name}.mix.cutmix, or leave it out"
            )
        return
    head = phase.head
    there = [word for word in ("mixup", "cutmix") if getattr(phase.mix, word) > 0]
    words, off = " and ".join(there), " and ".join(f"{name}.mix.{word}=0" for word in there)
    if phase.loss.endswith("hinge"):
        yield (
            f"`{name}.mix`: {words} gives an image two classes and loss {phase.loss} takes one, -1 or +1; set {off}, "
            f"or {name}.loss to cross-entropy or bce"
        )
    if isinstance(phase, Finetune) and phase.on_vectors:
        yield (
            f"`{name}.mix`: {words} mixes pictures, and with {name}.trainable=[{head}] and {name}.augment=none the "
            f"head learns from vectors that are computed once; set {off}, thaw blocks, or give {name}.augment"
        )


def _contrastive(phase: Finetune, embed: Embed | None) -> Iterator[str]:
    """The second term is phase 2's loss by label, on an embedding that still learns, of pictures of one class each."""
    place, off, head = f"`finetune.contrastive`: {phase.contrastive:g}", "set finetune.contrastive=0", phase.head
    if embed is None:
        yield f"{place} weighs the loss of the section embed, which is not there; give the recipe embed, or {off}"
    elif embed.positives != "label":
        yield (
            f"{place} needs positives of the same class alone, and embed.positives is {embed.positives}; set "
            f"embed.positives=label, or {off}"
        )
    if head_alone(phase):
        yield (
            f"{place} changes nothing where finetune.trainable is [{head}] alone: the embedding is frozen; thaw blocks "
            f"such as projection, or {off}"
        )
    if embed is not None and embed.discard_projection and embed.memory_bank_size:
        yield (
            f"{place} compares features, and the memory bank (embed.memory_bank_size={embed.memory_bank_size}) is "
            f"of the projection that embed.discard_projection takes off; set embed.memory_bank_size=0, or {off}"
        )
    if phase.accumulate > 1:
        yield (
            f"{place} compares the images of one step, which finetune.accumulate={phase.accumulate} does not enlarge; "
            f"set finetune.accumulate=1 and raise finetune.batch_size, or {off}"
        )
    if phase.mix.on:
        yield f"{place} needs pictures of one class each, and finetune.mix mixes two; set mixup, cutmix to 0, or {off}"
