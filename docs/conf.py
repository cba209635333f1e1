"""Sphinx: the pages of docs/ as a site, without a network. They are Markdown that a code host shows as well.

``generate.py`` fills in what is read from the program, and leads links between files of the repository to pages.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))

import generate

from agentreview.version import VERSION

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "agentreview"
copyright = "the agentreview authors, Apache-2.0"  # noqa: A001 - the name Sphinx reads
release = VERSION

extensions = ["myst_parser"]
myst_heading_anchors = 4
exclude_patterns = ["_build", "ci"]
html_theme = "furo"
html_title = f"agentreview {release}"
html_copy_source = False
html_show_sourcelink = False
smartquotes = False  # they make one dash of the two of an option
html_use_index = False


def _complete(_app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = generate.complete(page, source[0])


def setup(app: Sphinx) -> None:
    """Have every page completed before it is read."""
    app.connect("source-read", _complete)
