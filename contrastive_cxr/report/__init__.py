"""The report of a run: the facts (`build`, `build_cascade`: report.json) and the page made from them (`write`)."""

from contrastive_cxr.report.inputs import Beside, Predictions, Stages, Subject, Tta
from contrastive_cxr.report.page import write
from contrastive_cxr.report.schema import VERSION, build, build_cascade
from contrastive_cxr.report.sheet import THUMBNAIL, shown

__all__ = [
    "THUMBNAIL",
    "VERSION",
    "Beside",
    "Predictions",
    "Stages",
    "Subject",
    "Tta",
    "build",
    "build_cascade",
    "shown",
    "write",
]
