"""The report of a run: the facts (`build`, `build_cascade`: report.json) and the page made from them (`write`)."""

from contrastive_cxr.report.page import write
from contrastive_cxr.report.schema import VERSION, build, build_cascade

__all__ = ["VERSION", "build", "build_cascade", "write"]
