"""The report of a run: the facts (`build`, `build_cascade`: report.json) and the page made from them (`write`)."""

from contrastive_cxr.report.page import write
from contrastive_cxr.report.schema import VERSION, Tta, build, build_cascade
from contrastive_cxr.report.sheet import THUMBNAIL, shown

__all__ = ["THUMBNAIL", "VERSION", "Tta", "build", "build_cascade", "shown", "write"]
