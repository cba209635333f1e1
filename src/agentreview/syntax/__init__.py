"""Source to units and facts. The only package that imports ``ast_grep_py``."""

from __future__ import annotations

# Why a file of a change was not reviewed. Shown with the file; never rendered as clean.
SKIP_REASONS = {
    "binary": "binary content",
    "symlink": "a symbolic link: its target is not part of the change",
    "submodule": "a submodule pointer: review the change in that repository",
    "git-lfs pointer": "content lives in Git LFS",
    "too large": "larger than [limits] allow",
    "generated": "marked as generated, or minified",
    "language": "no framework file covers this language yet",
    "does not parse": "the grammar found a syntax error",
    "not text": "declares an encoding that hides code from a reader",
    "excluded": "excluded by the configuration",
}
