"""Settings of the documentation site; `make docs` builds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent / "_ext")]
# The pages state defaults and help texts: their width must not depend on the terminal of the build.
os.environ["COLUMNS"] = "80"

import contrastive_cxr  # noqa: E402

project = "contrastive_cxr"
author = "the contributors"
release = version = contrastive_cxr.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "recipe_fields",
    "commands",
    "error_index",
    "mathml",
]
exclude_patterns = ["_build", "_ext"]
root_doc = "index"
nitpicky = True
# Only names of this package are documented here; others (numpy, torch, words of a docstring) have no page to point to.
nitpick_ignore_regex = [("py:.*", r".*")]
highlight_language = "none"
smartquotes = False  # two hyphens of an option stay two

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
# docs/reference/inputs.md leaves a level of headings out.
suppress_warnings = ["myst.header", "config.cache"]
nb_execution_mode = "off"  # a test executes the notebooks; the site shows what they printed then

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"contrastive_cxr {release}"
html_static_path = ["_static"]
html_css_files = ["guide.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
