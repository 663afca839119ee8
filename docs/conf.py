"""The documentation site: Sphinx with MyST (Markdown) and furo. `make docs` builds it strictly."""

from __future__ import annotations

import sys
from importlib.metadata import version as _version
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import reference_pages  # noqa: E402

project = "bas"
author = "The authors of bas"
copyright = f"2026, {author}. Apache-2.0"
release = version = _version("bas-tui")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"bas {release}"
autodoc_member_order = "bysource"
autodoc_typehints = "description"

linkcheck_timeout = 10

reference_pages.write(DOCS / "reference")
