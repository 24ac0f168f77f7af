"""The rows of the table of published systems, and where their runs lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The official validation part of the CT slices is scored; the last epoch is taken, so that it chooses nothing.
UNCHOSEN = tuple(f"{phase}.choose_by=last" for phase in ("pretrain", "embed", "finetune"))


@dataclass(frozen=True)
class Row:
    """One run.

    Parameters
    ----------
    system : str
        Number and name, such as `3 small CNN`; rows of one system are compared, those on other images apart.
    name : str
        Its row and folder.
    recipe : str
        Shipped name.
    data : str
        Folder below --data.
    changes : tuple of str
        Overrides against the recipe.
    small : int or None
        Input side without --own-size, pixels; None: the recipe's.
    """

    system: str
    name: str
    recipe: str
    data: str
    changes: tuple[str, ...] = ()
    small: int | None = None


def rows() -> Iterator[Row]:
    """Every system, and every choice that its study compared; a system's first row is what the others differ from."""
    ct, one = "1 covid-ct", ("pretrain.choose_by=last",)
    yield Row(ct, "densenet169", "systems/ct-backbones", "ct", one, 96)
    for name in ("resnet18", "resnet50", "alexnet", "densenet121", "densenet161"):
        yield Row(ct, name, "systems/ct-backbones", "ct", (*one, f"model.backbone={name}"), 96)
    yield Row(ct, "imagenet-statistics", "systems/ct-backbones", "ct", (*one, "model.normalise=imagenet"), 96)
    yield Row(ct, "three-phases", "ct/three-phase", "ct", UNCHOSEN, 96)
    yield Row(ct, "three-phases-augmented", "ct/three-phase", "ct", (*UNCHOSEN, "embed.positives=augmented"), 96)
    flat = "2 resnet"
    yield Row(flat, "resnet50", "systems/xray-resnet", "xray", (), 64)
    for name in ("resnet101", "resnet152"):
        yield Row(flat, name, "systems/xray-resnet", "xray", (f"model.backbone={name}",), 64)
    yield Row(flat, "resnet50-bce", "systems/xray-resnet", "xray", ("pretrain.loss=bce",), 64)
    small = "3 small-cnn"
    yield Row(small, "as-shipped", "systems/xray-small-cnn", "xray", (), 96)
    for word, values in {
        "pretrain.loss": ("cross-entropy", "hinge", "squared-hinge"),
        "pretrain.optimiser.name": ("rmsprop", "adam"),
        "pretrain.optimiser.lr": ("0.2", "0.3", "0.4", "0.5"),
        "model.init": ("zero", "normal", "he"),
    }.items():
        for value in values:
            name = f"{word.removeprefix('pretrain.').removeprefix('model.')}-{value}"
            yield Row(small, name, "systems/xray-small-cnn", "xray", (f"{word}={value}",), 96)
    for name, side in (("xray-bit", 96), ("xray-vit", 96), ("xray-hybrid-vit", 96)):
        yield Row("4 imagenet-21k", name, f"systems/{name}", "xray4", (), side)
    shifted = "5 imbalance"
    for network in ("cnn4", "cnn2"):
        for word in ("none", "oversample", "undersample", "class-weights"):
            changes = (f"pretrain.imbalance={word}",)
            yield Row(shifted, f"{network}-{word}", f"systems/xray-{network}", "xray4", changes, 128)
    for word in ("none", "mirror-turn", "equalise-shift"):
        changes = (f"evaluation.tta={word}",)
        yield Row(shifted, f"resnet50-tta-{word}", "systems/xray-resnet50-frozen", "xray4", changes, 128)


def place(row: Row, out: Path) -> Path:
    """Its run folder."""
    return out / row.system.replace(" ", "-") / row.name


def stopped(row: Row, out: Path) -> Path:
    """File that says why a row failed."""
    where = place(row, out)
    return where.with_name(f"{where.name}.stopped")


def settled(row: Row, out: Path) -> bool:
    """Whether a row is finished or failed; both are left alone."""
    return (place(row, out) / "report.json").is_file() or stopped(row, out).is_file()


def parts_of(row: Row, out: Path) -> list[str]:
    """Its finished networks: of a cascade also those of one that did not come to its end."""
    return [part for part in (".", "flat", "stage1", "stage2") if (place(row, out) / part / "report.json").is_file()]
