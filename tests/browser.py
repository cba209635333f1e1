"""A real browser for tests of pages: one that is installed, without a window and without a network of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
IN_CI = os.environ.get("CI") == "true"  # asked at import: no test sees the variable
QUIET = (
    "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


@contextmanager
def started() -> Iterator[Any]:
    """Start the browser. Without one the tests are skipped, but not in CI: there they fail."""
    if CHROMIUM is None:
        assert not IN_CI, f"CI has no browser: one of {', '.join(NAMES)} has to be on the PATH"
        pytest.skip(f"no browser on the PATH ({', '.join(NAMES)})")
    from playwright.sync_api import sync_playwright

    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as tool:
        running = tool.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *root])
        try:
            yield running
        finally:
            running.close()


class Seen:
    """What a page did besides being shown: asked for, complained about, or opened."""

    def __init__(self, page: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        page.on("popup", lambda popup: self.complaints.append(popup.url))


@contextmanager
def opened(browser: Any, file: Path, **context: Any) -> Iterator[tuple[Any, Seen]]:
    """Show a file. Afterwards: it asked for nothing but itself, and nothing was complained about."""
    with browser.new_context(**context) as own:
        own.set_default_timeout(10_000)
        page = own.new_page()
        seen = Seen(page)
        page.goto(file.as_uri())
        yield page, seen
        assert [url for url in seen.requests if url.split("#")[0] != file.as_uri()] == []
        assert seen.complaints == []


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with the page as it is now."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
