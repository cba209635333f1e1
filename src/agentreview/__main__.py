"""``python -m agentreview``."""

from __future__ import annotations

import sys

from agentreview.entry import main

if __name__ == "__main__":
    sys.exit(main())
