"""Draw docs/board.svg: the live board over four agents, as `agentreview watch` really shows it. Run with `make board`.

A small clinic in a scratch repository, a worktree for each agent, and the board drawn without a terminal. The picture is
what textual exports, without the fonts that it would fetch from a network.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from html import escape, unescape
from pathlib import Path

from agentreview.errors import AgentReviewError
from agentreview.git import open_repository
from agentreview.install import install
from agentreview.watch.app import Cockpit

PICTURE = Path(__file__).with_name("board.svg")
SIZE = (112, 24)  # cells
PATIENCE = 120.0  # seconds
AGENTS = ("prices", "opening-hours", "admissions", "billing")
HOME = "/home/dana"
FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'

VIEWS = """\
from django.contrib.auth.decorators import permission_required
from django.http import JsonResponse

from clinic.models import Invoice


@permission_required("clinic.view_invoice", raise_exception=True)
def open_invoices(request):
    invoices = Invoice.objects.filter(org=request.user.org, status="open")
    return JsonResponse({"ids": [invoice.pk for invoice in invoices]})
"""
MODELS = """\
from django.db import models


class Patient(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    name = models.CharField(max_length=200)
    mrn = models.CharField(max_length=20)


class Invoice(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    status = models.CharField(max_length=20)
"""
ADMISSIONS = """\
import logging

from clinic.models import Patient

logger = logging.getLogger(__name__)


def admit(patient: Patient, bed: str) -> None:
    logger.info("admitting %s (%s) to %s", patient.name, patient.mrn, bed)
"""
WORK = {
    "prices": {"clinic/prices.py": "def total(amounts):\n    return sum(amounts)\n"},
    "admissions": {"clinic/admissions.py": ADMISSIONS},
    "billing": {"clinic/views.py": VIEWS.replace("org=request.user.org, ", "")},
}
IDENTITY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"} | {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Dana Reyes"), ("EMAIL", "dana@clinic.example"))
}


def git(place: Path, *args: str) -> None:
    """Run git; raises when it fails."""
    subprocess.run(["git", *args], cwd=place, check=True, capture_output=True)  # noqa: S607


def write(place: Path, files: dict[str, str]) -> None:
    """Write files and stage them."""
    for name, text in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    git(place, "add", "-A")


def clinic(place: Path) -> None:
    """Make the repository, with a worktree for each agent and what each has staged."""
    from agentreview.worktrees.adding import add

    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    write(place, {"clinic/models.py": MODELS, "clinic/views.py": VIEWS})
    git(place, "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "List open invoices")
    install(open_repository(str(place)), native=True)
    for name in AGENTS:
        add(str(place), name)
        write(place.with_name(f"{place.name}-{name}"), WORK.get(name, {}))


async def drawn(place: Path) -> str:
    """Follow the worktrees until all that is staged is judged, and return the board as SVG."""
    os.chdir(place)
    app = Cockpit(None, bell=False, settle=0.05)
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(int(PATIENCE * 5)):
            await asyncio.sleep(0.2)
            states = [one.row.state for one in app.follower.board]
            if states.count("blocked") == 2 and states.count("passed") == 1:
                break
        else:
            raise SystemExit(f"the board did not come to rest: {states}")
        chosen = next(n for n, one in enumerate(app.follower.board) if one.row.branch == "admissions")
        await pilot.press(*["down"] * chosen)
        await pilot.pause(0.5)
        return app.export_screenshot(title="agentreview watch")


def placed(svg: str, scratch: str) -> str:
    """Say a folder that somebody could have, in the place of the scratch one; text is as wide as its letters."""

    def other(match: re.Match[str]) -> str:
        was, now = unescape(match[4]), unescape(match[4]).replace(scratch, HOME)
        wide = float(match[2]) * len(now) / len(was)
        return f"{match[1]}{wide:g}{match[3]}{escape(now).replace(chr(160), '&#160;')}"

    return re.sub(rf'(<text[^>]*textLength=")([\d.]+)("[^>]*>)([^<]*{re.escape(scratch)}[^<]*)', other, svg)


def plain(svg: str) -> str:
    """Take out what would be fetched, and give every piece the same name each time."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"terminal-\d+", "terminal", svg)
    svg = re.sub(r"font-family:\s*Fira Code[^;]*;", f"font-family: {FONT};", svg)
    return re.sub(r"font-family:\s*arial;", "font-family: sans-serif;", svg)


def picture() -> str:
    """Draw the board over a clinic of its own."""
    here = Path.cwd()
    before = dict(os.environ)
    os.environ.update(IDENTITY)
    try:
        with tempfile.TemporaryDirectory(prefix="agentreview-board-") as scratch:
            place = Path(os.path.realpath(scratch), "clinic")
            clinic(place)
            return plain(placed(asyncio.run(drawn(place)), str(place.parent)))
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    try:
        PICTURE.write_text(picture(), encoding="utf-8")
    except AgentReviewError as error:
        sys.exit(str(error))
