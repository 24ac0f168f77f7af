"""Words of other libraries for what a recipe calls otherwise: `ce` for `cross-entropy`, `learning_rate` for `lr`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from contrastive_cxr.errors import nearest

# {word of a recipe: what others call it}, without case, blanks and marks. A word may stand under several; the first
# that the field knows is meant.
_VALUES: dict[str, tuple[str, ...]] = {
    # losses
    "cross-entropy": ("ce", "xe", "xent", "celoss", "crossentropyloss", "categoricalcrossentropy", "softmax", "nll"),
    "bce": ("binarycrossentropy", "bceloss", "bcewithlogits", "bcewithlogitsloss", "sigmoid", "logistic"),
    "nt-xent": ("infonce", "simclr", "xent", "ntxentloss", "normalizedtemperaturescaledcrossentropy"),
    "supcon": ("supervisedcontrastive", "supconloss", "contrastive", "supervisedcontrastiveloss"),
    "triplet": ("tripletmargin", "tripletloss", "tripletmarginloss"),
    "multi-similarity": ("ms", "msloss", "multisimilarityloss"),
    # optimisers and schedules
    "sgd": ("momentum", "nesterov", "sgdm", "stochasticgradientdescent"),
    "adam": ("radam", "nadam", "adamax", "amsgrad"),
    "adamw": ("adamweightdecay", "decoupledadam"),
    "constant": ("none", "fixed", "flat", "off", "no"),
    "step": ("steplr", "multistep", "multisteplr", "staircase"),
    "cosine": ("cosineannealing", "cosineannealinglr", "cos", "cosinedecay"),
    "one-cycle": ("onecyclelr", "1cycle", "superconvergence"),
    "inverse-time": ("inverse", "1t", "timedecay"),
    # mining and distances
    "all": ("batchall",),
    "hard": ("hardest", "hardnegative"),
    "batch-hard": ("batchhardest",),
    "euclidean": ("l2", "euclid", "lp"),
    # choosing
    "auc": ("auroc", "rocauc", "aucroc", "macroauc"),
    "accuracy": ("acc", "top1"),
    "balanced_accuracy": ("bacc", "balancedacc", "uar"),
    "f1": ("f1score", "macrof1", "dice"),
    "loss": ("valloss", "ce"),
    "last": ("none", "final", "never"),
    "map_at_r": ("map", "mapr", "map@r"),
    "knn_accuracy": ("knn", "kNN", "recall1"),
    "class-weights": ("balanced", "weighted", "weights", "classweight", "weightedloss"),
    "oversample": ("oversampling", "upsample", "weightedrandomsampler", "sampler"),
    "undersample": ("undersampling", "downsample"),
    # data
    "official": ("given", "predefined", "own", "original", "existing"),
    "fractions": ("random", "stratified", "ratio", "percent", "shares"),
    "folds": ("kfold", "cv", "crossvalidation", "stratifiedkfold"),
    "folders": ("folder", "imagefolder", "classfolders", "directory"),
    "csv": ("table", "tsv", "excel", "xlsx", "parquet", "dataframe"),
    "pad": ("letterbox", "padding", "padded"),
    "crop": ("centercrop", "centrecrop"),
    "stretch": ("squash", "distort", "resize", "squish"),
    "histogram": ("hist", "histeq", "histogramequalization"),
    "skip": ("ignore", "drop", "leaveout"),
    "refuse": ("raise", "error", "fail", "strict"),
    "dataset": ("auto", "data", "meanstd"),
    # machine
    "32-true": ("32", "fp32", "float32", "full", "single"),
    "bf16-mixed": ("bf16", "bfloat16"),
    "16-mixed": ("16", "fp16", "float16", "half", "amp", "mixed"),
    "cuda": ("gpu", "cuda0", "nvidia"),
    "off": ("disabled", "false", "no", "none"),
    "online": ("on", "true", "yes", "enabled"),
}
# The same of the names of settings.
_KEYS: dict[str, tuple[str, ...]] = {
    "lr": ("learningrate", "baselr", "initiallr", "maxlr"),
    "epochs": ("numepochs", "nepochs", "maxepochs", "epoch"),
    "batch_size": ("bs", "batch", "minibatch", "trainbatchsize"),
    "image_size": ("imgsize", "inputsize", "size", "resolution", "imagesize"),
    "optimiser": ("optimizer", "optim", "opt"),
    "schedule": ("scheduler", "lrscheduler", "lrschedule"),
    "augment": ("augmentation", "augmentations", "transforms", "transform", "aug"),
    "weight_decay": ("wd", "l2", "decay"),
    "clip_norm": ("clip", "gradclip", "gradientclip", "gradientclipval", "maxgradnorm", "clipgrad"),
    "backbone": ("arch", "architecture", "network", "encoder", "name"),
    "weights": ("pretrained", "checkpoint", "init"),
    "temperature": ("temp", "tau"),
    "mining": ("miner",),
    "choose_by": ("monitor", "metric", "selectby", "earlystopping"),
    "imbalance": ("classweight", "classweights", "sampler"),
    "ema_decay": ("ema",),
    "projection": ("projectiondim", "embeddingdim", "embeddingsize", "proj", "projectionhead"),
    "val": ("valsplit", "valfraction", "valsize", "valshare"),
    "test": ("testsplit", "testfraction", "testsize"),
    "workers": ("numworkers", "nworkers"),
    "root": ("path", "dir", "folder", "directory", "datadir"),
    "csv": ("labels", "metadata", "csvfile", "dataframe"),
    "precision": ("amp", "fp16", "bf16", "mixedprecision"),
    "label_smoothing": ("smoothing",),
    "warmup_epochs": ("warmup",),
    "images_per_class": ("k", "samplesperclass"),
    "classes_per_batch": ("p",),
    "positive": ("positiveclass", "poslabel"),
}
# What is not there under any name, and what does its work: {word: (where it is looked for, what to do)}.
_WITHOUT: dict[str, tuple[str, str]] = {
    "focal": (
        "cross-entropy",
        "there is no focal loss; where a class has few images, use cross-entropy with imbalance: class-weights",
    ),
    "arcface": ("supcon", "there is no ArcFace; supcon draws the images of a class together too"),
}
_WITHOUT |= {"focalloss": _WITHOUT["focal"], "sigmoidfocal": _WITHOUT["focal"], "cosface": _WITHOUT["arcface"]}


def meant(given: object, known: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the known word that another library calls `given`; else the nearest one; or ''.

    Examples
    --------
    >>> meant("ce", ["cross-entropy", "bce"]), meant("AdamW", ["adam", "adamw"])
    (" (did you mean 'cross-entropy'?)", " (did you mean 'adamw'?)")
    """
    words = list(known)
    bare, without = _bare(str(given)), _WITHOUT.get(_bare(str(given)))
    if without is not None and without[0] in words:
        return f" ({without[1]})"
    found = _word(bare, words, _VALUES)
    return f" (did you mean '{found}'?)" if found else nearest(str(given), words)


def key(given: str, known: Iterable[str]) -> str:
    """The setting among `known` that other libraries call `given`; '' where there is none.

    Examples
    --------
    >>> key("learning_rate", ["name", "lr"]), key("colour", ["name", "lr"])
    ('lr', '')
    """
    return _word(_bare(given), list(known), _KEYS)


def _word(bare: str, words: list[str], table: dict[str, tuple[str, ...]]) -> str:
    """The word that is `bare` but for case and marks, else the first one that `table` gives that other name."""
    same = next((word for word in words if _bare(word) == bare), "")
    return same or next((word for word in words if bare in map(_bare, table.get(word, ()))), "")


def _bare(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())
