"""The structured report: a Comprehensive SR after TID 1500 (Measurement Report), a group an image and a neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from highdicom import UID, sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from contrastive_cxr import __version__
from contrastive_cxr.dicomweb.objects import SERIES, Maker, Query, code_of, subject
from contrastive_cxr.dicomweb.study import MAKER
from contrastive_cxr.errors import RequestError

SCHEME = "99CCXR"
NO_UNITS, PERCENT = Code("1", "UCUM", "no units"), Code("%", "UCUM", "percent")
Measured = list[sr.Measurement]
Said = list[sr.QualitativeEvaluation]


def report(queries: Sequence[Query], made: Maker) -> Dataset:
    """One report of all images of a study.

    Of a neighbour it holds place, distance, label and the number of its row in the gallery: no patient, no file, no
    other column.

    Raises
    ------
    RequestError
        highdicom does not know the images' SOP Class.
    """
    groups = [group for number, query in enumerate(queries, 1) for group in _groups(number, query, made)]
    device = sr.DeviceObserverIdentifyingAttributes(
        made.uid, name="ccxr", manufacturer_name=MAKER, model_name=made.network, serial_number=made.digest
    )
    observer = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    tree = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=Code("363679005", "SCT", "Imaging"),
        imaging_measurements=groups,
    )
    shown = {query.image.name: subject(query.image.header) for query in queries}
    try:
        return sr.ComprehensiveSR(
            list(shown.values()), tree[0], UID(), SERIES, UID(), 1, is_complete=True,
            series_description="ccxr search: similar cases",
            coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="classes and measures of contrastive_cxr")],
            **made.equipment(),
        )  # fmt: skip
    except KeyError as error:
        kinds = sorted({str(each.SOPClassUID) for each in shown.values()})
        raise RequestError(
            f"highdicom knows no SOP Class {', '.join(kinds)}, so no report can reference it; give --dicom-as sc"
        ) from error


def _groups(number: int, query: Query, made: Maker) -> list[Any]:
    """The group of an image, with the parameters of the search, and one for each of its neighbours."""
    frames = None if query.frame is None else [query.frame]
    source = sr.SourceImageForMeasurementGroup(query.image.header.SOPClassUID, query.image.name, frames)

    def group(identifier: str, measured: Measured, said: Said, words: Sequence[str] | None = None) -> Any:
        algorithm = sr.AlgorithmIdentification("ccxr search", __version__, words, manufacturer=MAKER)
        return sr.MeasurementsAndQualitativeEvaluations(
            sr.TrackingIdentifier(UID(), identifier), algorithm_id=algorithm, measurements=measured,
            qualitative_evaluations=said, source_images=[source],
        )  # fmt: skip

    near = [
        group(f"image {number}, neighbour {place}", *_of_neighbour(line))
        for place, line in enumerate(query.found["neighbours"], 1)
    ]
    return [group(f"image {number}", *_of_image(query), made.words), *near]


def _of_image(query: Query) -> tuple[Measured, Said]:
    """What is said of an image as a whole: how usual it is, what its neighbours say, what the classifier says."""
    found, prediction = query.found, query.prediction
    measured: Measured = []
    said: Said = []
    if found["percentile"] is not None:
        measured.append(
            _measure("percentile", "Percentile of the distance to the nearest case", found["percentile"], PERCENT)
        )
        said.append(_say("familiarity", "Familiarity", "unfamiliar" if found["unfamiliar"] else "familiar"))
    if found["agreement"]["label"]:
        share = 100 * found["agreement"]["votes"] / found["agreement"]["of"]
        said.append(_say("majority-label", "Label of most neighbours", found["agreement"]["label"]))
        measured.append(_measure("majority-share", "Share of neighbours with this label", share, PERCENT))
    if prediction is not None:
        said.append(_say("decision", "Class decided by the classifier", prediction["decision"]))
        measured += _probabilities("p", "Probability", prediction["probabilities"])
        measured += _probabilities("c", "Calibrated probability", prediction["calibrated"] or {})
    return measured, said


def _of_neighbour(line: Mapping[str, Any]) -> tuple[Measured, Said]:
    measured = [
        _measure("distance", "Distance in the embedding (0 to 2)", line["distance"], NO_UNITS),
        _measure("gallery-row", "Row of the gallery, from 0", line["position"], NO_UNITS),
    ]
    return measured, [_say("neighbour-label", "Label of the neighbour", line["label"])] if line["label"] else []


def _probabilities(short: str, words: str, values: Mapping[str, float]) -> Measured:
    return [
        _measure(code_of(f"{short}.{name}")[0], f"{words} of {code_of(name)[1]}"[:64].strip(), value, NO_UNITS)
        for name, value in values.items()
    ]


def _measure(code: str, meaning: str, value: float, unit: Code) -> sr.Measurement:
    number = int(value) if float(value).is_integer() else round(float(value), 6)
    return sr.Measurement(sr.CodedConcept(code, SCHEME, meaning), number, unit)


def _say(code: str, meaning: str, value: str) -> sr.QualitativeEvaluation:
    own, words = code_of(value)
    return sr.QualitativeEvaluation(sr.CodedConcept(code, SCHEME, meaning), sr.CodedConcept(own, SCHEME, words))
