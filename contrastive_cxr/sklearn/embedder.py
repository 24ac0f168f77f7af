"""Images become vectors: the first step of a pipeline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from contrastive_cxr.errors import nearest
from contrastive_cxr.sklearn.samples import InputError, as_input_errors, pictures

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from contrastive_cxr.retrieval import EmbeddingModel

LAYERS = ("embedding", "features")


class ImageEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer: images in, vectors of a trained model out.

    Nothing is learnt in `fit`: it reads the model and checks the samples. Where `model` is a folder, clones and pickles
    hold its path, so that they are small, and the model is read again where they are used; it has to be the same one.

    Parameters
    ----------
    model : path or EmbeddingModel
        A run, one of its phase folders, or the encoder of a gallery; or a model that is loaded.
    layer : {"embedding", "features"}
        Vectors of unit length, or the backbone's features before the projection.
    batch_size : int
        Images a step, at least 1.
    device : str
        auto (a GPU where there is one), cpu or cuda; of a loaded model its own is used.

    Attributes
    ----------
    model_ : EmbeddingModel
    digest_ : str
        SHA-256 of its weights.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression  # doctest: +SKIP
    >>> from sklearn.pipeline import make_pipeline  # doctest: +SKIP
    >>> make_pipeline(ImageEmbedder("runs/xray"), LogisticRegression()).fit(paths, labels)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | EmbeddingModel,
        *,
        layer: Literal["embedding", "features"] = "embedding",
        batch_size: int = 64,
        device: str = "cpu",
    ) -> None:
        self.model = model
        self.layer = layer
        self.batch_size = batch_size
        self.device = device

    def fit(self, X: Any, y: Any = None) -> ImageEmbedder:
        """Read the model and check the samples; `y` is not used.

        Parameters
        ----------
        X : N images
            As `samples.pictures` takes them: paths, PIL images, grey arrays; or one array [N, H, W].

        Raises
        ------
        InputError
            Every wrong parameter, or samples that are no images.
        """
        faults = []
        if self.layer not in LAYERS:
            faults.append(f"layer={self.layer!r} is none of {', '.join(LAYERS)}{nearest(str(self.layer), LAYERS)}")
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            faults.append(f"batch_size={self.batch_size!r}; give a whole number of at least 1")
        if faults:
            raise InputError(*faults)
        pictures(X)
        self.model_ = self._read()
        self.digest_ = self.model_.digest
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """The vectors of N images.

        Returns
        -------
        float32 [N, D]
            Of unit length with `layer="embedding"`.

        Raises
        ------
        InputError
            Samples that are no images or cannot be read (each of a batch is named), or the folder holds another model.
        NotFittedError
            `fit` was not called.
        """
        check_is_fitted(self, "digest_")
        found, model = pictures(X), self._model()
        with as_input_errors():
            return (model.embed if self.layer == "embedding" else model.features)(found, self.batch_size)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """`embedding0`, `embedding1`, ... (or `features0`, ...), str [D]; `input_features` is not used."""
        check_is_fitted(self, "digest_")
        model = self._model()
        size = model.size if self.layer == "embedding" else model.network.width
        return np.array([f"{self.layer}{number}" for number in range(size)], dtype=object)

    def _read(self) -> EmbeddingModel:
        from contrastive_cxr.retrieval import EmbeddingModel

        if isinstance(self.model, EmbeddingModel):
            return self.model
        if not isinstance(self.model, str | os.PathLike):
            raise InputError(f"model is {self.model!r:.60}; give the folder of a run, or an EmbeddingModel")
        with as_input_errors():
            return EmbeddingModel.load(os.fspath(self.model), self.device)

    def _model(self) -> EmbeddingModel:
        """The model of `fit`, read again in a copy that came from a pickle."""
        if not hasattr(self, "model_"):
            model = self._read()
            if model.digest != self.digest_:
                raise InputError(
                    f"{self.model} holds model {model.digest[:12]} now and held {self.digest_[:12]} when this was "
                    "fitted; fit again, or put the model back"
                )
            self.model_ = model
        return self.model_

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        if isinstance(self.model, str | os.PathLike):
            state.pop("model_", None)
        return state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []  # float32, whatever comes in
        return tags
