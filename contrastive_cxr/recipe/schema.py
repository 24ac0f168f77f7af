"""The recipe: one YAML file, one experiment; closed, typed and frozen."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field

from contrastive_cxr.recipe.augmentation import AugmentChoice, AugmentName
from contrastive_cxr.recipe.card_words import Card
from contrastive_cxr.recipe.intensity import Intensity as Intensity
from contrastive_cxr.recipe.mix import Mix
from contrastive_cxr.recipe.section import Section
from contrastive_cxr.recipe.source import AxisName as AxisName
from contrastive_cxr.recipe.source import Cell as Cell
from contrastive_cxr.recipe.source import FrameRange as FrameRange
from contrastive_cxr.recipe.source import Root as Root
from contrastive_cxr.recipe.source import Source as Source
from contrastive_cxr.recipe.source import UserPath as UserPath
from contrastive_cxr.run_layout import PHASES, PhaseName
from contrastive_cxr.tasks import Task

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Rate = Annotated[float, Field(gt=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
DropRate = Annotated[float, Field(ge=0.0, lt=1.0)]
# A backbone has one name, so that a model and a recipe can be compared.
BackboneName = Annotated[str, AfterValidator(lambda name: name.removeprefix("torchvision/"))]
LossName = Literal["cross-entropy", "bce", "hinge", "squared-hinge"]
InferencePrecision = Literal["auto", "32-true", "bf16-mixed"]
TtaName = Literal["none", "mirror-turn", "equalise-shift", "crops", "wide"]
AUGMENT_SETS: tuple[str, ...] = get_args(AugmentName)


class Split(Section):
    """Which images train, choose and are scored."""

    kind: Literal["official", "val-within-train", "within-train", "fractions", "folds"] = Field(
        "official",
        description="the source's own split; val taken out of its train part and its test part kept; val and test "
        "taken out of its train part (its other parts unused); all rows divided by fractions; all rows in folds",
    )
    val: Fraction = Field(0.1, description="share of images that choose checkpoints (every kind but official)")
    test: Fraction = Field(0.15, description="share of images scored once (within-train, fractions)")
    folds: Annotated[int, Field(ge=2)] = Field(5, description="number of folds (folds)")
    fold: Annotated[int, Field(ge=0)] = Field(0, description="the fold that is scored, from 0 (folds)")
    seed: int = Field(0, description="seed of the division; the recipe's own seed does not move images")


class Data(Source):
    """The images: where they are, how they are decoded and divided."""

    join: tuple[Source, ...] = Field((), description="several sources as one, instead of source and root")
    split: Split = Field(default_factory=Split, description="which images train, choose and are scored")
    cache_size: Annotated[int, Field(ge=16, le=4096)] = Field(256, description="side of the cached images, pixels")
    cache_dir: UserPath | None = Field(None, description="folder of the caches; none: the user's cache folder")
    shards: Root | None = Field(
        None,
        description="folder or fsspec URL of image shards (ccxr data pack) that are read in the place of the cache",
    )
    shuffle_buffer: Count = Field(
        8192, description="images that wait in memory to be drawn from, on each process (shards); at least a batch"
    )
    shard_slices: Count = Field(
        8,
        description="parts of a batch that read shards of their own (shards): a multiple of the number of processes; "
        "it changes the draws, the number of processes does not",
    )
    resize: Literal["stretch", "pad", "crop"] = Field("pad", description="how a picture becomes square")
    intensity: Intensity = Field(default_factory=Intensity, description="how intensities become 8 bits")
    border_crop: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(0.0, description="share cut off at each side")
    denoise: Literal["none", "median"] = Field("none", description="3x3 median filter before resizing")
    equalise: Literal["none", "histogram", "clahe"] = Field("none", description="histogram equalisation")
    on_bad_image: Literal["refuse", "skip"] = Field("refuse", description="what an unreadable image does")
    workers: Annotated[int, Field(ge=0)] = Field(0, description="decoding threads; 0: one a core")
    decoding: Literal[1, 2, 3] = Field(
        3,
        description="version of the decoder; 3: a large JPEG is reduced by its own cosine transform, to no less than "
        "twice `cache_size`, which is several times faster; 2: unpacked in full; 1: moreover as runs of before read "
        "DICOM, without padding values, functional groups and Presentation LUT Shape",
    )


class Model(Section):
    """The backbone and its input."""

    backbone: BackboneName = Field(
        "densenet169", description="torchvision's name (also torchvision/NAME), timm/NAME, or our own cnn2, cnn3, cnn4"
    )
    weights: str = Field(
        "none",
        description="none, imagenet, a run or phase folder, a file or folder of another library, or hf-hub:ORG/NAME",
    )
    image_size: Annotated[int, Field(ge=32, le=2048)] = Field(224, description="side of the network's input, pixels")
    normalise: Literal["dataset", "imagenet", "half"] = Field(
        "dataset", description="input statistics: of the training part, ImageNet's grey mean, or 0.5 and 0.5"
    )
    stem: Literal["fold", "random"] = Field(
        "fold", description="what becomes of a colour stem: its kernels summed to one, or one channel drawn anew"
    )
    init: Literal["default", "zero", "normal", "he", "xavier"] = Field(
        "default", description="weights of convolutions and linear layers without model.weights; default: the library's"
    )
    dropout: DropRate = Field(0.0, description="drop rate inside the backbone")
    drop_rates: Annotated[tuple[DropRate, ...], Field(min_length=3, max_length=3)] | None = Field(
        None, description="drop rates before the three fully connected layers (cnn2, cnn3, cnn4); none: model.dropout"
    )
    drop_path: DropRate | None = Field(
        None,
        description="stochastic depth: rate at which the last residual branch is left out, less before it; none: the "
        "library's own (timm 0, torchvision 0 to 0.5)",
    )


class Optimiser(Section):
    """The optimiser of a phase."""

    name: Literal["sgd", "rmsprop", "adam", "adamw"] = Field("adamw", description="the optimiser")
    lr: Positive = Field(1e-3, description="peak learning rate")
    head_lr: Positive | None = Field(
        None, description="peak learning rate of the new layers: classifier, in phase 2 the projection; none: lr"
    )
    layer_decay: Rate = Field(
        1.0, description="factor of the rate from each block to the one before it, above 0 to 1; 1: one rate for all"
    )
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="momentum (sgd, rmsprop)")
    weight_decay: Annotated[float, Field(ge=0.0)] = Field(0.0, description="weight decay, not on norms and biases")
    clip_norm: Annotated[float, Field(ge=0.0)] = Field(0.0, description="largest gradient norm; 0: no clipping")


class EmbedOptimiser(Optimiser):
    """The optimiser of the embedding; its lower rate stays when other settings are given."""

    lr: Positive = Field(3e-4, description="peak learning rate")


class Schedule(Section):
    """The learning rate over a phase."""

    name: Literal["constant", "step", "inverse-time", "cosine", "one-cycle"] = Field(
        "constant", description="shape of the schedule"
    )
    warmup_epochs: Annotated[float, Field(ge=0.0)] = Field(0.0, description="linear warm-up, epochs (not one-cycle)")
    step_epochs: Count = Field(400, description="epochs between two drops (step)")
    gamma: Fraction = Field(0.5, description="factor of a drop (step)")
    half_epochs: Positive = Field(
        10.0, description="T of lr / (1 + t / T): epochs until the rate is half its peak (inverse-time)"
    )


class Phase(Section):
    """What every phase has; `head` is its block of new layers, which `optimiser.head_lr` is the rate of."""

    head: ClassVar[str]

    epochs: Count = Field(10, description="passes, or blocks of steps_per_epoch steps")
    trainable: tuple[str, ...] | None = Field(None, description="names of the trained blocks; none: all")
    augment: AugmentChoice = Field(
        "xray",
        description="augmentation of the training images: a set, or ranges over one (docs/reference/augmentation.md)",
    )
    optimiser: Optimiser = Field(default_factory=Optimiser, description="the optimiser")
    schedule: Schedule = Field(default_factory=Schedule, description="the learning rate's schedule")
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="decay of the running average of weights that is validated and kept; 0: none"
    )
    initial_image_size: Annotated[int, Field(ge=32)] | None = Field(
        None, description="input side in the first epoch, growing to model.image_size over the first two thirds, pixels"
    )
    validate_every: Count = Field(1, description="epochs between two validations")

    @property
    def uses_labels(self) -> bool:
        """Whether training reads the labels."""
        return True

    @property
    def views(self) -> int:
        """Augmented views of each image in a step."""
        return 1

    @property
    def batch_setting(self) -> str:
        """The field that says how large a batch is."""
        return "batch_size"

    def batch_images(self, classes: int) -> int:
        """Images of a step over all processes, each counted once, for a task of `classes` classes."""
        del classes
        return int(getattr(self, self.batch_setting))


class Supervised(Phase):
    """A phase that learns classes."""

    head: ClassVar[str] = "classifier"

    batch_size: Count = Field(32, description="images a step, over all processes")
    accumulate: Count = Field(1, description="steps whose gradients are added up before an update")
    loss: LossName = Field(
        "cross-entropy", description="softmax and cross-entropy; or one-vs-rest: sigmoid and BCE, hinge, squared hinge"
    )
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.0, description="mass moved to all classes (cross-entropy), to both outcomes of each class (bce)"
    )
    imbalance: Literal["none", "oversample", "undersample", "class-weights"] = Field(
        "none",
        description="as it is; each epoch every class drawn up to the largest one's count, or down to the smallest "
        "one's; loss weights by inverse class frequency",
    )
    hidden: tuple[Count, ...] = Field((), description="widths of hidden layers of the head; none: one linear layer")
    head_epochs: Annotated[int, Field(ge=0)] = Field(
        0, description="first epochs, in which only the head learns and the other blocks are held; 0: none"
    )
    mix: Mix = Field(default_factory=Mix, description="training images mixed in pairs")
    choose_by: Literal["auc", "robust_auc", "balanced_accuracy", "accuracy", "f1", "loss", "last"] = Field(
        "auc",
        description="validation metric that chooses the checkpoint; robust_auc: mean AUC over the validation images as "
        "they are and under five fixed changes (six validation passes)",
    )


class Pretrain(Supervised):
    """Phase 1: supervised fine-tuning of the backbone."""


class Embed(Phase):
    """Phase 2: contrastive training of the embedding."""

    head: ClassVar[str] = "projection"

    steps_per_epoch: Count | None = Field(None, description="steps of an epoch; none: one pass over the images")
    positives: Literal["label", "augmented", "both"] = Field(
        "label", description="same label; an augmentation of the anchor, no label used; or either"
    )
    positive_augment: AugmentChoice = Field(
        "strong", description="augmentation that makes the positive of its anchor (augmented, both): as augment"
    )
    classes_per_batch: Count | None = Field(None, description="P: classes in a batch (label, both); none: all")
    images_per_class: Annotated[int, Field(ge=2)] = Field(16, description="K: images of each class (label, both)")
    batch_size: Annotated[int, Field(ge=2)] = Field(64, description="anchors a step (augmented)")
    loss: Literal["triplet", "nt-xent", "supcon", "multi-similarity"] = Field("triplet", description="the loss")
    mining: Literal["random", "all", "easy", "semihard", "hard", "batch-hard", "distance-weighted"] = Field(
        "semihard", description="which triplets are used (triplet)"
    )
    distance: Literal["cosine", "euclidean"] = Field("euclidean", description="distance of unit vectors (triplet)")
    margin: Annotated[float, Field(gt=0.0, le=2.0)] = Field(0.2, description="margin (triplet), in units of distance")
    temperature: Positive = Field(0.1, description="temperature (nt-xent, supcon)")
    projection: tuple[Count, ...] = Field((1024, 512, 512), description="widths of the projection's linear layers")
    discard_projection: bool = Field(
        False,
        description="whether the projection is for training alone (SimCLR, SupCon): the embedding is then the "
        "backbone's features",
    )
    memory_bank_size: Annotated[int, Field(ge=0)] = Field(
        0, description="embeddings of past batches also compared with; 0: none"
    )
    choose_by: Literal["map_at_r", "knn_accuracy", "loss", "last"] = Field(
        "map_at_r", description="validation metric that chooses the checkpoint; with augmented: loss or last"
    )
    optimiser: EmbedOptimiser = Field(default_factory=EmbedOptimiser, description="the optimiser")

    @property
    def uses_labels(self) -> bool:
        """Whether training reads the labels."""
        return self.positives != "augmented"

    @property
    def views(self) -> int:
        """Augmented views of each image in a step."""
        return 1 if self.positives == "label" else 2

    @property
    def batch_setting(self) -> str:
        """The field that says how large a batch is."""
        return "images_per_class" if self.uses_labels else "batch_size"

    def batch_images(self, classes: int) -> int:
        """Images of a step over all processes: P x K, or without labels the stated number."""
        if not self.uses_labels:
            return self.batch_size
        return (self.classes_per_batch or classes) * self.images_per_class

    def epoch_steps(self, images: int, classes: int) -> int:
        """Steps of an epoch: the stated number, or one pass over `images` training images."""
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch
        return max(1, images // self.batch_images(classes))

    @property
    def kept_projection(self) -> tuple[int, ...]:
        """Widths of the projection that the phase's model has when it is done, and phase 3 builds on."""
        return () if self.discard_projection else self.projection


class Finetune(Supervised):
    """Phase 3: a classifier head on the embedding."""

    trainable: tuple[str, ...] | None = Field(("classifier",), description="names of the trained blocks; none: all")
    contrastive: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="weight of phase 2's loss (section embed) as a second term, where blocks are thawed; 0: none"
    )
    backbone_lr: Positive | None = Field(None, description="learning rate of thawed blocks; none: the optimiser's")
    augment: AugmentChoice = Field(
        "none",
        description="augmentation of the training images: a set, or ranges over one (docs/reference/augmentation.md)",
    )

    @property
    def frozen_encoder(self) -> bool:
        """Whether the classifier alone is trained."""
        return self.trainable == (self.head,)

    @property
    def on_vectors(self) -> bool:
        """Whether the classifier learns on vectors of the plain images, which are computed once."""
        return self.frozen_encoder and self.augment == "none"


class Cascade(Section):
    """Two binary classifiers in a row, beside the flat one."""

    stage1: Task = Field(description="normal against infected; its first class is a class of the flat task")
    stage2: Task = Field(description="the flat task's other classes, among the infected")


class Target(Section):
    """Rates that a threshold on the positive class is chosen for, on the validation part."""

    sensitivity: Rate | None = Field(0.95, description="wanted sensitivity; none: no such threshold")
    specificity: Rate | None = Field(0.95, description="wanted specificity; none: no such threshold")

    def wanted(self) -> dict[str, float]:
        """The rates that are wanted, by name."""
        rates = {"sensitivity": self.sensitivity, "specificity": self.specificity}
        return {name: rate for name, rate in rates.items() if rate is not None}


class Evaluation(Section):
    """What is scored, and how finely."""

    k: tuple[Count, ...] = Field((1, 5, 10), description="neighbours in recall@k and precision@k")
    vote: Count = Field(20, description="neighbours in the k-NN vote")
    resamples: Annotated[int, Field(ge=100)] = Field(2000, description="bootstrap resamples of an interval")
    baselines: bool = Field(
        True, description="score the blind baselines (forests on file metadata, border, thumbnail) beside the model"
    )
    audit: bool = Field(
        True, description="look for copies, leaks and shortcuts before training (audit.json), up to 50,000 images"
    )
    target: Target = Field(default_factory=Target, description="rates that thresholds are chosen for")
    costs: dict[str, dict[str, float]] = Field(
        {},
        description="{true class: {decided class: cost}}; pairs left out cost 1 where wrong and 0 where right; empty: "
        "the most probable class is decided",
    )
    tta: TtaName = Field("none", description="test-time augmentation: the mean prediction over the set's views")
    robustness: Literal["auto", "on", "off"] = Field(
        "auto",
        description="score the images under benign changes too (crops, noise, JPEG, ...; "
        "docs/reference/robustness.md); auto: where that is less than a tenth of the training's work",
    )
    precision: InferencePrecision = Field(
        "auto",
        description="in which the images are encoded for the scores; auto: bf16-mixed where it is faster here and the "
        "vectors stay the same (cosine at least 0.9999 on a sample), else 32-true",
    )
    subgroups: tuple[str, ...] = Field(
        (), description="columns of the manifest whose groups are scored each by itself; numbers in quartiles"
    )


def _one(value: object) -> object:
    """A word, or a list of them, as a tuple; what is neither is left to be refused."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Tracking(Section):
    """The trackers of a run."""

    to: Annotated[tuple[Literal["wandb", "tensorboard"], ...], BeforeValidator(_one)] = Field(
        ("wandb",), description="the trackers: wandb, tensorboard, or both; an empty list: none"
    )
    wandb: Literal["off", "offline", "online"] = Field("offline", description="mode of Weights & Biases")
    project: str = Field("contrastive_cxr", description="W&B project")
    entity: str | None = Field(None, description="W&B entity; none: the account's default")


class Runtime(Section):
    """The machine."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the model runs")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = Field(
        "auto", description="Fabric's precision word; auto: 32-true or bf16-mixed, whichever trains faster here"
    )
    channels_last: bool | Literal["auto"] = Field(
        "auto", description="NHWC memory layout; auto: whichever trains faster here"
    )
    compile: bool | Literal["reduce-overhead"] = Field(
        False, description="torch.compile of the network; reduce-overhead: its mode with CUDA graphs, for a GPU"
    )
    keep_freed_memory: bool = Field(
        False,
        description="whether freed memory stays with the process (CPU, glibc): EfficientNet-Lite0 a sixth faster "
        "for a quarter more memory, DenseNet-169 no faster for nearly twice the memory",
    )
    sync_batchnorm: bool = Field(
        False, description="batch norm over the shares of all processes (GPUs alone); false: each its own share"
    )
    timeout_minutes: Annotated[float, Field(gt=0.0)] = Field(
        30.0, description="minutes that a process waits for the others before the run ends; more than evaluation takes"
    )
    eval_batch_size: Count = Field(64, description="images a step without gradients")
    checkpoint_minutes: Annotated[float, Field(ge=0.0)] = Field(
        5.0, description="minutes between checkpoints inside an epoch; 0: only at its end"
    )
    keep_checkpoints: Count = Field(
        1, description="best checkpoints that a phase keeps beside last.ckpt, the newest ones"
    )
    keep_finished: bool = Field(
        False,
        description="whether a finished phase keeps its checkpoints (weights, average and optimiser state); false: its "
        "model stays, and with keep_checkpoints above 1 its best checkpoints",
    )
    checkpoint_mib: Annotated[float, Field(ge=0.0)] = Field(
        0.0, description="most that a phase's checkpoints may come to, MiB, the oldest best ones go first; 0: no limit"
    )


class Recipe(Section):
    """One experiment."""

    name: str = Field("experiment", description="name of the experiment")
    seed: Annotated[int, Field(ge=0)] = Field(0, description="seed of weights, batches, augmentation and mining")
    data: Data = Field(default_factory=Data, description="the images")
    task: Task = Field(description="which labels are which class: the name of a shipped task, or name and classes")
    model: Model = Field(default_factory=Model, description="the backbone and its input")
    pretrain: Pretrain | None = Field(None, description="phase 1")
    embed: Embed | None = Field(None, description="phase 2")
    finetune: Finetune | None = Field(None, description="phase 3")
    cascade: Cascade | None = Field(None, description="two stages beside the flat task")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="what is scored")
    card: Card | None = Field(None, description="texts of the model card")
    tracking: Tracking = Field(default_factory=Tracking, description="the trackers of a run")
    runtime: Runtime = Field(default_factory=Runtime, description="the machine")

    @property
    def phases(self) -> tuple[PhaseName, ...]:
        """The phases that the recipe has, in the order of their training."""
        return tuple(name for name in PHASES if getattr(self, name) is not None)

    def phase(self, name: PhaseName) -> Pretrain | Embed | Finetune:
        """The section of a phase that the recipe has."""
        section: Pretrain | Embed | Finetune | None = getattr(self, name)
        assert section is not None, f"asked of phases that the recipe has, {name} is none"
        return section
