"""The file itself: body, the one style and the one script, and a policy that lets nothing else run or load."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from string import Template

from agentreview.reporters.page.markup import Html, text


@lru_cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def document(title: str, body: Html) -> str:
    """Return the page. It needs nothing but itself: no network, no frame, no form, and no style or script but its own."""
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    # substitute goes over the template once, so nothing in a value is taken for a placeholder.
    return Template(_asset("page.html")).substitute(
        policy=policy, title=text(title), style=style, script=script, body=body
    )
