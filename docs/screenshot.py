"""Take docs/report-page.png: the page of three worktrees of the demonstration's clinic. Run with `make screenshot`; needs a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agentreview.demo import AUDIT, CLINIC, DETAIL, IDENTITY, LOOKUP, VIEWS

PICTURE = Path(__file__).with_name("report-page.png")
WIDTH, HEIGHT = 960, 1350
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

LOG = 'import logging\n\nfrom clinic.models import Patient\n\nlogger = logging.getLogger(__name__)\n\n\ndef remind(pk):\n    patient = Patient.objects.get(pk=pk)\n    logger.info("reminding %s", patient.name)\n'
AGENTS = {
    "agent-1": {VIEWS: CLINIC[VIEWS].replace(".filter(org=request.user.org)", ".all()")},
    "agent-2": {VIEWS: CLINIC[VIEWS] + DETAIL.replace(LOOKUP, LOOKUP + AUDIT)},
    "agent-3": {"clinic/reminders.py": LOG},
}


def worktrees(main: Path) -> None:
    """A clinic, and what three agents have staged in it."""

    def git(*args: str, cwd: Path = main) -> None:
        env = {**os.environ, **IDENTITY}
        subprocess.run(["git", *args], cwd=cwd, check=True, env=env, capture_output=True)  # noqa: S607

    def write(where: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_text(text)
        git("add", "-A", cwd=where)

    main.mkdir()
    git("init", "-q", "-b", "main")
    write(main, CLINIC)
    git("commit", "-q", "-m", "Start")
    for name, files in AGENTS.items():
        git("worktree", "add", "-q", "-b", name, str(main.parent / name))
        write(main.parent / name, files)


def main() -> int:
    """Take the picture; returns the exit code."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"no browser: one of {', '.join(BROWSERS)} has to be on the PATH", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="clinic-") as scratch, sync_playwright() as tool:
        worktrees(Path(scratch, "clinic"))
        page = Path(scratch, "report.html")
        command = [sys.executable, "-m", "agentreview", "report", "--html", str(page), "--all-worktrees"]
        subprocess.run(command, cwd=Path(scratch, "clinic"), check=False)
        running = tool.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        view = running.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        view.goto(page.as_uri())
        view.screenshot(path=PICTURE)
        running.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
