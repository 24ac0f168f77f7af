"""A recipe as a classifier of scikit-learn: `fit` trains its phases."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from contrastive_cxr.sklearn.samples import InputError, as_input_errors, labels_of, names_of_groups, pictures

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from contrastive_cxr.recipe import Recipe
    from contrastive_cxr.retrieval import EmbeddingModel
    from contrastive_cxr.sklearn.handed_images import Handed

DEVICES = ("auto", "cpu", "cuda")


class ContrastiveClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Train a recipe's phases on images and labels; predict by the classifier that they end in.

    The recipe says network, phases, augmentation and how images are read; its own data, split and task are not used. As
    a fitted one holds the network itself, it can be pickled and moved.

    Parameters
    ----------
    recipe : str, path or Recipe
        Name of a shipped recipe, a YAML file, or a recipe that is loaded. It has a phase `finetune` or `pretrain`.
    settings : sequence of str
        `section.key=value` each, as on the command line; a grid search may vary them.
    validation : float
        Share of the images that choose the checkpoints, between 0 and 1; groups stay together.
    out : path, optional
        New folder for a whole run, with report; None: the phases are trained in a temporary folder and not scored.
    device : str
        auto (a GPU where there is one), cpu or cuda.
    batch_size : int
        Images a step of a prediction.

    Attributes
    ----------
    classes_ : array [C]
        Labels, sorted.
    model_ : EmbeddingModel
        The trained model; `ImageEmbedder(fitted.model_)` gives its vectors.

    Examples
    --------
    >>> ContrastiveClassifier("xray/three-class-light").fit(paths, labels, groups=patients)  # doctest: +SKIP
    """

    def __init__(
        self,
        recipe: str | os.PathLike[str] | Recipe,
        settings: Sequence[str] = (),
        *,
        validation: float = 0.2,
        out: str | os.PathLike[str] | None = None,
        device: str = "auto",
        batch_size: int = 64,
    ) -> None:
        self.recipe = recipe
        self.settings = settings
        self.validation = validation
        self.out = out
        self.device = device
        self.batch_size = batch_size

    def fit(self, X: Any, y: Any, groups: Any = None) -> ContrastiveClassifier:
        """Train; the images are checked before, and everything that is wrong is told at once.

        Parameters
        ----------
        X : N images
            As `samples.pictures` takes them: paths, PIL images, grey arrays; or one array [N, H, W].
        y : [N]
            Labels, of two classes at least.
        groups : [N], optional
            Patients, whose images are not both trained on and chosen by; None, NaN or '' where one is not known.

        Raises
        ------
        InputError
            Wrong parameters, images or labels, counts that differ; nothing was trained.
        """
        from contrastive_cxr.sklearn import handed_images

        self._check_parameters()
        found = handed_images.as_pictures(pictures(X))
        classes, numbers = labels_of(y, len(found))
        names = [str(name) for name in classes]
        if len(names) < 2:
            raise InputError(f"y holds {len(names)} class ({names[0]!r}); a classifier needs at least 2")
        patients = [""] * len(found) if groups is None else names_of_groups(groups, len(found))
        handed = handed_images.Handed(found, numbers, names, patients)
        with as_input_errors(), tempfile.TemporaryDirectory(prefix="ccxr-fit-") as place:
            folder = Path(place).resolve()
            model = self._trained(handed, folder)
        self.classes_, self.model_ = classes, model
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Class probabilities float32 [N, C], columns as `classes_`, with the recipe's test-time augmentation.

        Raises
        ------
        InputError
            Samples that are no images or cannot be read.
        NotFittedError
            `fit` was not called.
        """
        from contrastive_cxr.sklearn import handed_images

        check_is_fitted(self, "model_")
        found = handed_images.as_pictures(pictures(X))
        with as_input_errors():
            return self.model_.predict_proba(found, batch_size=self.batch_size)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable class of each image, [N]; with decision costs the one of least expected cost."""
        from contrastive_cxr.metrics import decisions

        found = self.predict_proba(X)
        costs = self.model_.card["costs"]
        decided = (
            decisions.decide(found, decisions.matrix(self.model_.classes, costs)) if costs else found.argmax(axis=1)
        )
        return np.asarray(self.classes_[decided])

    def _check_parameters(self) -> None:
        faults = []
        if not isinstance(self.validation, float) or not 0 < self.validation < 1:
            faults.append(f"validation={self.validation!r}; give a share between 0 and 1, such as 0.2")
        if self.device not in DEVICES:
            faults.append(f"device={self.device!r} is none of {', '.join(DEVICES)}")
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            faults.append(f"batch_size={self.batch_size!r}; give a whole number of at least 1")
        if isinstance(self.settings, str):
            faults.append(f"settings={self.settings!r} is one text; give a list, such as [{self.settings!r}]")
        if faults:
            raise InputError(*faults)

    def _trained(self, handed: Handed, folder: Path) -> EmbeddingModel:
        """Train in `out`, or in `folder`; the model, read whole into memory."""
        from contrastive_cxr.inference.predict import check_device, classifier_of
        from contrastive_cxr.retrieval import EmbeddingModel
        from contrastive_cxr.sklearn import handed_images
        from contrastive_cxr.training.phases_only import train_phases
        from contrastive_cxr.training.run import run

        recipe = handed_images.of_run(self.recipe, list(self.settings), folder)
        check_device(self.device)
        recipe = handed_images.on_images(recipe, handed, folder, self.validation, self.device)
        place = train_phases(recipe, folder / "run") if self.out is None else run(recipe, Path(self.out))
        model = EmbeddingModel.load(classifier_of(place), self.device)
        if self.out is None:
            model.folder = None  # it is removed
        return model

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags
