"""Proposing a project's facts from its own files, each with the place that shows it: ``agentreview init``, ``facts``.

Not on the hook path.
"""

from agentreview.detect.find import MAX_FILE_BYTES, detect
from agentreview.detect.render import render
from agentreview.detect.values import Detection, Found

__all__ = ["MAX_FILE_BYTES", "Detection", "Found", "detect", "render"]
