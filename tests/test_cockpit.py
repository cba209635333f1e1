"""Four agents in four worktrees, and one person who watches: from `worktree add` to CI, with the installed command alone.

The agents are scripts. When they are refused they read what `--format agent` says, and nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository
from agentreview.install import install
from commandline import COMMAND, MODELS, SCRIPT, agentreview
from test_watch import Watch
from waiting import PATIENCE, eventually

pytestmark = pytest.mark.slow
NAMES = ("prices", "opening-hours", "admissions", "billing")
VIEWS = """\
from django.contrib.auth.decorators import permission_required
from django.http import JsonResponse

from clinic.models import Invoice


@permission_required("clinic.view_invoice", raise_exception=True)
def open_invoices(request):
    invoices = Invoice.objects.filter(org=request.user.org, status="open")
    return JsonResponse({"ids": [invoice.pk for invoice in invoices]})
"""
COUNTED = VIEWS.replace("for invoice in invoices]}", 'for invoice in invoices], "count": len(invoices)}')
START = {
    "clinic/models.py": MODELS
    + """\


class Invoice(models.Model):
    org = models.ForeignKey("accounts.Org", on_delete=models.PROTECT)
    status = models.CharField(max_length=20)
""",
    "clinic/views.py": VIEWS,
}
WORK = {  # what each agent comes up with
    "prices": {"clinic/prices.py": "def total(amounts):\n    return sum(amounts)\n"},
    "opening-hours": {"clinic/hours.py": 'OPEN = {"monday": (8, 17), "friday": (8, 12)}\n'},
    "admissions": {
        "clinic/admissions.py": """\
import logging

from clinic.models import Patient

logger = logging.getLogger(__name__)


def admit(patient: Patient, bed: str) -> None:
    logger.info("admitting %s (%s) to %s", patient.name, patient.mrn, bed)
"""
    },
    "billing": {"clinic/views.py": COUNTED.replace("org=request.user.org, ", "")},
}
LEAKS, DROPS = "hipaa.phi-in-logs", "conduct.check-removed"
BLOCK = re.compile(r"^FIX \d+ of \d+ \[(?P<rule>[\w.-]+)\] (?P<path>.+?):(?P<line>\d+)", re.M)


class Agent(threading.Thread):
    """A coding agent without a model: does its work, commits, and when it is refused does what the report says."""

    def __init__(self, name: str, place: Path, seen: Callable[[str], None]) -> None:
        super().__init__(name=name)
        self.place, self.seen = place, seen
        self.refusals: list[str] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            self.error = error

    def work(self) -> None:
        for path, text in WORK[self.name].items():
            (self.place / path).write_text(text)
        self.sh("git", "add", "-A")
        for _ in range(3):
            done = self.sh("git", "commit", "-q", "-m", f"Add {self.name}", code=None)
            if done.returncode == 0:
                return
            self.refusals.append(done.stderr)
            self.seen(self.name)
            self.obey(self.sh("agentreview", "--format", "agent", code=1).stdout)
        raise AssertionError(f"refused again and again: {self.refusals[-1]}")

    def sh(self, *argv: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(argv, cwd=self.place, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert code is None or done.returncode == code, (argv, done)
        return done

    def obey(self, report: str) -> None:
        """Do what the report says: run the command that it names, or put a line back that it shows."""
        block = report[report.index("FIX 1 of") :].split("\n\n", maxsplit=1)[0]
        where = BLOCK.search(block)
        assert where is not None, report
        command = re.search(r"^  or run: (agentreview fix \S+ --apply)", block, re.M)
        if command is not None and where["rule"] == LEAKS:
            self.sh(*shlex.split(command[1]))
            return
        was = re.search(r"^  see: .+ was here before this change \| (.+)$", block, re.M)
        now = re.search(r"^  > +\d+ \| (\s*)(.*)$", block, re.M)
        assert was is not None, block
        assert now is not None, block
        path = self.place / where["path"]
        text = path.read_text()
        assert text.count(now[2]) == 1
        path.write_text(text.replace(now[2], was[1]))
        self.sh("git", "add", where["path"])


class Screen:
    """The board in a terminal of its own; ``text`` is all that it has drawn."""

    def __init__(self, cwd: Path) -> None:
        self.main, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
        self.process = subprocess.Popen(
            [*COMMAND, "watch"], cwd=cwd, env=env, stdin=end, stdout=end, stderr=end, start_new_session=True
        )
        os.close(end)
        self.drawn = bytearray()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.main, 65536)
            except OSError:
                return
            if not data:
                return
            self.drawn.extend(data)

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.drawn.decode("utf-8", "replace"))

    def shows(self, words: str) -> None:
        eventually(lambda: words in self.text, lambda: f"no {words!r} on the board: {self.text[-3000:]}")

    def end(self) -> None:
        if self.main < 0:
            return
        if self.process.poll() is None:
            os.write(self.main, b"q")
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(5)
        os.close(self.main)
        self.main = -1


@pytest.fixture
def clinic(repo: Any) -> Any:
    repo.commit(START)
    assert install(open_repository(str(repo.path)), native=True).done
    return repo


@pytest.fixture
def watched(clinic: Any) -> Iterator[tuple[Watch, Screen]]:
    """The board in a terminal, and the same as lines."""
    board = Screen(clinic.path)
    lines = Watch(clinic.path, "--plain")
    lines.wait("following the worktrees")
    board.shows("1 nothing staged")
    yield lines, board
    board.end()
    lines.process.kill()
    lines.process.wait()
    lines.reader.join()
    for stream in (lines.process.stdout, lines.process.stderr):
        assert stream is not None
        stream.close()


def test_four_agents_work_two_are_refused_and_mend_it_and_ci_has_nothing_left_to_ask(
    clinic: Any, watched: tuple[Watch, Screen]
) -> None:
    lines, board = watched
    for name in NAMES:
        added = agentreview("worktree", "add", name, cwd=clinic.path)
        assert added.code == 0, added
        assert "fired, and it answered" in added.out
    places = {name: clinic.path.parent / f"repo-{name}" for name in NAMES}
    offsets = [row["port_offset"] for row in listed(clinic) if row["name"]]
    assert sorted(offsets) == [100, 200, 300, 400]
    board.shows("5 worktrees")

    def seen(name: str) -> None:
        """The person sees the block, and of what, before the agent goes on."""
        rule = {"admissions": LEAKS, "billing": DROPS}[name]
        lines.wait(f"repo-{name}", "BLOCKED: 1 blocking", rule)
        board.shows("BLOCKED: 1 blocking")

    agents = [Agent(name, places[name], seen) for name in NAMES]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join(4 * PATIENCE)
        assert not agent.is_alive(), agent.name
        assert agent.error is None, (agent.name, agent.error)

    refused = {agent.name: agent.refusals for agent in agents if agent.refusals}
    assert {name: len(said) for name, said in refused.items()} == {"admissions": 1, "billing": 1}
    assert LEAKS in refused["admissions"][0]
    assert DROPS in refused["billing"][0]
    for name in ("admissions", "billing"):
        blocked = next(n for n, line in enumerate(lines.lines, 1) if f"repo-{name}" in line and "BLOCKED" in line)
        lines.wait(
            f"repo-{name}", "nothing staged", after=blocked
        )  # it may be committed before the board has judged it
    assert clinic.git("show", "admissions:clinic/admissions.py").count("patient.") == 1
    assert clinic.git("show", "billing:clinic/views.py") == COUNTED, "what was taken out is back"

    board.end()
    assert board.process.returncode == 0
    assert lines.end()[1] == ""

    before = receipts(clinic)
    clinic.git("checkout", "-q", "-b", "release")
    for name in NAMES:
        clinic.git("merge", "-q", "--no-ff", "-m", f"Merge {name}", name)
    made = receipts(clinic)
    # The first merge has the trees of its branch's commit; each of the others makes a tree that nobody saw before.
    assert len(made) - len(before) == 3, "and no commit of an agent was reviewed again"
    ci = agentreview("ci", "--base", "main", "--format", "json", cwd=clinic.path)
    report = json.loads(ci.out)
    assert (ci.code, report["decision"]) == (0, "pass"), ci
    commits = report["coverage"]["commits"]
    assert [one["cover"] for one in commits] == ["exact"] * 8, commits
    assert report["coverage"]["summary"]["uncovered"] == 0
    for name in NAMES:
        done = agentreview("worktree", "remove", name, cwd=clinic.path)
        assert done.code == 0, done
    assert receipts(clinic) >= made, "they stay when the worktrees are gone"


def words(svg: str) -> list[str]:
    """The lines of a picture of the board, without what each drawing has its own: times, and the order of what happened."""
    rows: dict[str, str] = {}
    for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        rows[element.get("y", "")] = rows.get(element.get("y", ""), "") + "".join(element.itertext())
    lines = [re.sub(r"\d+", "0", " ".join(row.split())) for row in rows.values()]
    return [line for line in lines if line and not line.startswith("0:0:0 ")]


def test_the_picture_of_the_board_is_what_it_shows() -> None:
    """If this fails after a change of the board: make board."""
    root = Path(__file__).parents[1]
    kept = (root / "docs" / "board.svg").read_text(encoding="utf-8")
    drawn = subprocess.run(
        [sys.executable, "-c", "import board; print(board.picture())"], cwd=root / "docs", capture_output=True, text=True, check=False
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    assert words(drawn.stdout) == words(kept)
    assert any("BLOCKED: 0 blocking" in line for line in words(kept))
    assert set(re.findall(r"(?:https?:)?//[\w.]+", kept)) == {"http://www.w3.org"}, "nothing is fetched"


def listed(repo: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(agentreview("worktree", "list", "--json", cwd=repo.path).out)["worktrees"]
    return found


def receipts(repo: Any) -> set[str]:
    return {line.split()[0] for line in agentreview("receipts", "list", cwd=repo.path).out.splitlines() if line.strip()}
