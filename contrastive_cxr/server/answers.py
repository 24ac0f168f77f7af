"""What the addresses answer, field by field: the schemas of OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Health(BaseModel):
    """Whether the server works."""

    status: str = Field(description="ok")


class Prediction(BaseModel):
    """What is decided for an image."""

    decision: str = Field(description="the class: the most probable one, or the one of least expected cost")
    most_probable: str = Field(description="the most probable class")
    probabilities: dict[str, float] = Field(description="of each class, as ccxr predict writes them")
    calibrated: dict[str, float] | None = Field(
        description="at the temperature that was fitted on the validation part; null where none was"
    )
    thresholds: dict[str, bool] = Field(
        description="whether the positive class reaches each threshold chosen on the validation part"
    )


class Predicted(Prediction):
    """The prediction of one file."""

    file: str = Field(description="as the client named it")
    squeezed: int = Field(description="grey levels that are left, where too few are; else 0")


class PredictAnswer(BaseModel):
    """Predictions, in the order of the files."""

    classes: list[str]
    model: list[str] = Field(description="SHA-256 of the weights of each model whose mean this is")
    images: list[Predicted]


class Embedded(BaseModel):
    """The vector of one file."""

    file: str
    vector: list[float] = Field(description="of unit length")
    squeezed: int


class EmbedAnswer(BaseModel):
    """Vectors, in the order of the files."""

    model: str = Field(description="SHA-256 of the weights")
    size: int = Field(description="numbers a vector")
    images: list[Embedded]


class Neighbour(BaseModel):
    """A case of the gallery."""

    position: int = Field(description="row of the gallery, from 0")
    id: int
    label: str
    patient: str
    path: str
    split: str
    distance: float = Field(description="Euclidean distance of the unit vectors, 0 to 2")


class Agreement(BaseModel):
    """What the neighbours say together."""

    label: str
    votes: int
    of: int


class Found(BaseModel):
    """The nearest cases of one file."""

    file: str
    inside: bool = Field(description="the gallery has this very file; it and its patient's cases are left out")
    neighbours: list[Neighbour]
    agreement: Agreement
    percentile: float | None = Field(description="percent of the gallery's own cases whose nearest one lies nearer")
    unfamiliar: bool
    squeezed: int


class SearchAnswer(BaseModel):
    """Nearest cases, in the order of the files."""

    model: str
    rows: int = Field(description="cases in the gallery")
    k: int
    where: dict[str, list[str]]
    images: list[Found]


class Map(BaseModel):
    """A map over the image."""

    png: str | None = Field(description="PNG in base64; null where there is nothing to see")
    words: str = Field(description="why there is none")


class ClassMap(Map):
    """Grad-CAM."""

    target: str = Field(description="the class that is explained")


class NeighbourMap(Map):
    """Where the image is like one of its nearest cases."""

    neighbour: Neighbour


class Explained(BaseModel):
    """The maps of one file."""

    file: str
    image: str = Field(description="the image as the network gets it, PNG in base64")
    prediction: Prediction | None
    gradcam: ClassMap | None
    similarity: list[NeighbourMap]
    squeezed: int


class ExplainAnswer(BaseModel):
    """Maps, in the order of the files."""

    images: list[Explained]


class GalleryFacts(BaseModel):
    """The cases that are searched."""

    rows: int
    kind: str
    columns: list[str] = Field(description="what the parameter where may name")


class About(BaseModel):
    """What this server answers, with what, and within which limits."""

    version: str
    answers: list[str] = Field(description="of predict, embed, search and explain those that there are")
    classes: list[str]
    models: list[str] = Field(description="SHA-256 of the weights of each classifier")
    embedding: str | None = Field(description="SHA-256 of the weights of the embedding model")
    size: int | None = Field(description="numbers a vector")
    gallery: GalleryFacts | None
    limits: dict[str, float]
