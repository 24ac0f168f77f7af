"""The report of a run: the facts (`build`, `build_cascade` make report.json), and the page from them (`write`)."""

from contrastive_cxr.report.facts.inputs import Predictions, ReportExtras, Stages, Subject, Tta
from contrastive_cxr.report.facts.report_json import VERSION, build, build_cascade
from contrastive_cxr.report.figures.cases import rows_shown as case_rows
from contrastive_cxr.report.figures.sheet import THUMBNAIL, shown, side
from contrastive_cxr.report.pages.page import write

__all__ = [
    "THUMBNAIL",
    "VERSION",
    "Predictions",
    "ReportExtras",
    "Stages",
    "Subject",
    "Tta",
    "build",
    "build_cascade",
    "case_rows",
    "shown",
    "side",
    "write",
]
