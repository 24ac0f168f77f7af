"""A run's model as one graph: uint8 squares in, vectors, probabilities and decisions out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contrastive_cxr import __version__
from contrastive_cxr.augment import FixedViews
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.predict import Fitted, fitted
from contrastive_cxr.metrics import decisions
from contrastive_cxr.models import Network, links
from contrastive_cxr.preflight.export_checks import classifier_of
from contrastive_cxr.retrieval import EmbeddingModel

INPUT = "images"
_TINY = 1e-12  # as `metrics.calibration`


@dataclass(frozen=True, eq=False)
class Parts:
    """What is exported of a run.

    Attributes
    ----------
    encoder, classifier : EmbeddingModel or None
        At least one; the same object, or two phases of the run.
    fitted : Fitted
        Temperature and thresholds of the run's report, of its classifier.
    run : str
        The run's name, without its place.
    """

    encoder: EmbeddingModel | None
    classifier: EmbeddingModel | None
    fitted: Fitted
    run: str

    @property
    def model(self) -> EmbeddingModel:
        """The encoder, or the classifier where there is no encoder."""
        found = self.encoder or self.classifier
        assert found is not None, "an export has a part"
        return found

    @property
    def side(self) -> int:
        """Side of the squares, pixels."""
        return self.model.settings.cache_size

    @property
    def part(self) -> str:
        """`encoder`, `classifier` or `both`."""
        return "both" if self.encoder and self.classifier else "encoder" if self.encoder else "classifier"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs, in order."""
        found = ["embedding"] if self.encoder else []
        found += ["probabilities", "decision"] if self.classifier else []
        return tuple(found + (["calibrated"] if self.classifier and self.fitted.temperature is not None else []))

    def about(self) -> dict[str, Any]:
        """What a reader of the file needs beside the graph, as plain as JSON."""
        facts: dict[str, Any] = {
            "format": 1,
            "made_by": f"contrastive_cxr {__version__}",
            "run": self.run,
            "backbone": self.model.card["backbone"],
            "input": {"name": INPUT, "dtype": "uint8", "shape": ["batch", 1, self.side, self.side]},
            "outputs": list(self.outputs),
            "decode": self.model.card["decode"],
            "image_size": self.model.card["image_size"],
        }
        if self.encoder:
            facts["encoder_sha256"] = self.encoder.digest
        if self.classifier:
            card = self.classifier.card
            facts |= {"classifier_sha256": self.classifier.digest, "classes": list(card["classes"])}
            facts |= {"tta": card["tta"], "link": card["link"], "costs": card["costs"]}
            facts |= {"positive": self.fitted.positive, "temperature": self.fitted.temperature}
            facts["thresholds"] = self.fitted.thresholds
        return facts


def parts_of(run: Path, part: str | None) -> Parts:
    """The models of a run; without `part` all that it has.

    Raises
    ------
    RequestError
        The two models decode files differently.
    """
    model, head = EmbeddingModel.load(run), classifier_of(run)
    encoder = None if part == "classifier" else model
    classifier = None if part == "encoder" or head is None else model.classifier
    found = Fitted() if classifier is None or head is None else fitted(head.parent, head.name, classifier.classes)
    if encoder and classifier and encoder.settings != classifier.settings:
        raise RequestError(
            f"{run}: its encoder and its classifier decode files differently, so no one graph takes images for both; "
            "export them apart, with --part encoder and --part classifier"
        )
    name = run.resolve()
    return Parts(encoder, classifier, found, (name.parent if (name / "model.json").is_file() else name).name)


class Graph(nn.Module):
    """The whole way from a square to a decision, as `EmbeddingModel` and `ccxr predict` compute it.

    The views of test-time augmentation pass the network as one batch; an encoder and a classifier of the same weights
    share one pass.
    """

    costs: Tensor

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        encoder, classifier = parts.encoder, parts.classifier
        self.shared = encoder is not None and classifier is not None and same_encoder(encoder, classifier)
        self.encoder = encoder.network if encoder is not None and not self.shared else None
        self.classifier = None if classifier is None else classifier.network
        self.plain = None
        if encoder is not None and not self.shared:
            self.plain = FixedViews(parts.side, encoder.network.spec.image_size, "none")
        self.views, self.link, self.temperature = None, "softmax", parts.fitted.temperature
        if classifier is not None:
            self.views = FixedViews(parts.side, classifier.network.spec.image_size, classifier.card["tta"])
            self.link = classifier.card["link"]
            table = decisions.matrix(classifier.classes, classifier.card["costs"])
            self.register_buffer("costs", torch.from_numpy(table))
            self.decides_by_cost = bool(classifier.card["costs"])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs that `Parts.outputs` names.

        Parameters
        ----------
        images : Tensor
            uint8 [B, 1, side, side].

        Returns
        -------
        embedding float32 [B, D] of unit length, probabilities float32 [B, C], decision int64 [B], calibrated float32
        [B, C]; those that there are.
        """
        found: list[Tensor] = []
        if self.encoder is not None and self.plain is not None:
            found.append(self.encoder.embed(self.plain(images)))
        if self.classifier is not None and self.views is not None:
            vectors, probabilities = self._predicted(self.classifier, self.views(images), images.shape[0])
            found += [vectors] if self.shared else []
            found += [probabilities, self._decided(probabilities)]
            found += [] if self.temperature is None else [self._calibrated(probabilities, self.temperature)]
        return tuple(found)

    def _predicted(self, network: Network, views: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Vectors of the plain views (the first `count`), and the mean of the probabilities over all views."""
        features = network.features(views)
        vectors = network.project(features)
        logits = network.head(features if network.projection is None else vectors)
        each = links.probabilities(logits, self.link)
        return vectors[:count], each.reshape(-1, count, each.shape[1]).mean(dim=0)

    def _decided(self, probabilities: Tensor) -> Tensor:
        """The class of least expected cost, else the most probable one; in float64 as `metrics.decisions`."""
        if not self.decides_by_cost:
            return probabilities.argmax(dim=1)
        return (-(probabilities.double() @ self.costs)).argmax(dim=1)

    def _calibrated(self, probabilities: Tensor, temperature: float) -> Tensor:
        """Probabilities at the fitted temperature, as `metrics.calibration.scale`."""
        return (probabilities.double().clamp(_TINY, 1.0).log() / temperature).softmax(dim=1).float()


def same_encoder(first: EmbeddingModel, second: EmbeddingModel) -> bool:
    """Whether two models embed by the same weights and the same input."""
    if first is second:
        return True
    mine, theirs = (
        {name: value for name, value in model.network.state_dict().items() if not name.startswith("classifier.")}
        for model in (first, second)
    )
    same = first.network.spec.image_size == second.network.spec.image_size and mine.keys() == theirs.keys()
    return same and all(torch.equal(value, theirs[name]) for name, value in mine.items())


def text_of(parts: Parts) -> str:
    """`Parts.about` as the text that an export carries."""
    return json.dumps(parts.about(), ensure_ascii=False)
