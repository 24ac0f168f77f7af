"""The model card: facts about a run in the order of CLAIM 2024 and TRIPOD+AI, as Markdown and in the report page."""

from contrastive_cxr.report.card.layout import Card, build
from contrastive_cxr.report.card.markdown import markdown

__all__ = ["Card", "build", "markdown"]
