"""The report card: what a run knows of itself in the order of CLAIM 2024 and TRIPOD+AI, as Markdown and in the page."""

from contrastive_cxr.report.card.layout import Card, build
from contrastive_cxr.report.card.markdown import markdown

__all__ = ["Card", "build", "markdown"]
