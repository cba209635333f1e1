"""The live board: what follows from news, and the installed command on real worktrees while git works in them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentreview.everywhere import Reviewed
from agentreview.git import open_repository
from agentreview.install import install
from agentreview.model import Decision, Severity, Status, Verdict
from agentreview.overview import Row
from agentreview.version import engine_version
from agentreview.watch import board as boards
from agentreview.watch.board import Board, Place
from commandline import BAD, COMMAND, GOOD, RULE, one_line
from factories import finding
from messages_server import MessagesServer, Reply
from test_reviewers_endtoend import CAREFUL, SETTINGS
from waiting import PATIENCE, eventually

NOW = 1_800_000_000.0


# -- what follows from news ----------------------------------------------------------------------------------------


def verdict(*names: str, tree: str = "t1", decision: Decision | None = None) -> Verdict:
    found = tuple(
        finding(fingerprint=f"b2:{name}", rule=name, status=Status.BLOCKING, severity=Severity.HIGH) for name in names
    )
    decided = decision or (Decision.BLOCK if names else Decision.PASS)
    return Verdict(decision=decided, base="base", tree=tree, findings=found, files=1)


def row(state: str = "not reviewed", *, tree: str | None = "t1", **more: Any) -> Row:
    subject = ("base", tree) if tree else None
    return Row(path="/w", branch="one", state=state, staged=1 if tree else 0, subject=subject, **more)


def reviewed(board: Board, said: Verdict) -> tuple[Board, list[boards.News]]:
    """A change is staged, looked at, and reviewed."""
    before = board
    board = boards.looked(board, row(tree=said.tree))
    subject = boards.due(board[0])
    assert subject == ("base", said.tree)
    board = boards.started(board, "/w", subject)
    assert boards.due(board[0]) is None
    board = boards.ended(board, subject, Reviewed(path="/w", branch="one", verdict=said), NOW)
    return board, boards.news(before, board)


START: Board = (Place(row=row("nothing staged", tree=None)),)


def test_a_new_block_alarms_once_and_the_same_findings_in_another_change_do_not():
    board, told = reviewed(START, verdict("a.b"))
    assert [(one.alarm, "BLOCKED: 1 blocking; a.b at" in one.text) for one in told] == [(True, True)]
    board, told = reviewed(board, verdict("a.b", tree="t2"))
    assert [one.alarm for one in told] == [False]
    board, told = reviewed(board, verdict("a.b", "c.d", tree="t3"))
    assert [one.alarm for one in told] == [True]
    board, told = reviewed(board, verdict(tree="t4"))
    assert [(one.alarm, one.text) for one in told] == [(False, "passed")]
    board, told = reviewed(board, verdict("a.b", tree="t5"))
    assert [one.alarm for one in told] == [True]


def test_what_blocked_before_the_board_was_there_is_shown_and_does_not_alarm():
    listed = boards.listed((), [row(boards.LOOKING, tree=None)])
    assert boards.news((), listed) == []
    known = boards.judged(row(), verdict("a.b"), NOW)
    (one,) = boards.news(listed, boards.looked(listed, known))
    assert (one.text.startswith("BLOCKED"), one.alarm) == (True, False)


@pytest.mark.parametrize("names", [(), ("a.b",)])
def test_a_look_that_finds_the_verdict_before_its_review_has_ended_hides_neither_the_line_nor_the_alarm(names):
    board = boards.started(boards.looked(START, row()), "/w", ("base", "t1"))
    said = verdict(*names)
    seen = boards.looked(board, boards.judged(row(), said, NOW))
    assert (boards.news(board, seen), boards.due(seen[0])) == ([], None)
    after = boards.ended(seen, ("base", "t1"), Reviewed(path="/w", branch="one", verdict=said), NOW)
    (one,) = boards.news(seen, after)
    assert (one.text.split(":")[0], one.alarm) == (("BLOCKED", True) if names else ("passed", False))


def test_a_review_that_somebody_asked_for_tells_its_end_although_nothing_is_different():
    board, _ = reviewed(START, verdict("a.b"))
    again = boards.started(board, "/w", ("base", "t1"))
    assert [one.text for one in boards.news(board, again)] == ["reviewing 1 staged file"]
    after = boards.ended(again, ("base", "t1"), Reviewed(path="/w", branch="one", verdict=verdict("a.b")), NOW)
    (one,) = boards.news(again, after)
    assert (one.text.startswith("BLOCKED"), one.alarm) == (True, False)


def test_an_answer_about_another_change_than_the_staged_one_is_none():
    board = boards.started(boards.looked(START, row(tree="t1")), "/w", ("base", "t1"))
    board = boards.looked(board, row(tree="t2"))
    assert boards.due(board[0]) == ("base", "t2")
    after = boards.ended(board, ("base", "t1"), Reviewed(path="/w", branch="one", verdict=verdict()), NOW)
    assert (after[0].row.state, after[0].reviewing) == ("not reviewed", None)
    assert boards.due(after[0]) == ("base", "t2")


def test_a_review_that_gives_no_verdict_is_incomplete_with_the_reason():
    board = boards.started(boards.looked(START, row()), "/w", ("base", "t1"))
    after = boards.ended(board, ("base", "t1"), Reviewed(path="/w", branch="one", code=4, error="it died"), NOW)
    (one,) = boards.news(board, after)
    assert (after[0].row.state, one.text) == ("incomplete", "INCOMPLETE; it died")
    assert boards.due(after[0]) is None, "it is not tried again and again"
    again = boards.looked(after, row())
    assert again[0].row.state == "incomplete", "another look does not forget it"


def test_a_verdict_that_the_disk_does_not_keep_is_not_forgotten_by_the_next_look():
    board, _ = reviewed(START, verdict("a.b"))
    again = boards.looked(board, row())
    assert again[0].row.state == "blocked"
    assert boards.news(board, again) == []


def test_a_review_that_did_not_take_place_can_begin_again():
    board = boards.started(boards.looked(START, row()), "/w", ("base", "t1"))
    assert boards.due(boards.dropped(board, "/w", ("base", "t1"))[0]) == ("base", "t1")


def test_worktrees_that_come_and_go_keep_gits_order_and_leave_a_line():
    one, two, three = (Row(path=path, branch=None, state="passed") for path in ("/1", "/2", "/3"))
    board = boards.listed((), [one, three])
    after = boards.listed(board, [one, two, three])
    assert [place.row.path for place in after] == ["/1", "/2", "/3"]
    assert [(n.path, n.text) for n in boards.news(after, boards.listed(after, [one, three]))] == [("/2", "removed")]


# -- the installed command, plain ----------------------------------------------------------------------------------


class Watch:
    """``agentreview watch --plain`` in a process of its own, and the lines it has printed."""

    def __init__(self, cwd: Path, *args: str, env: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*COMMAND, "watch", *args], cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in iter(self.process.stdout.readline, b""):
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def wait(self, *words: str, after: int = 0) -> int:
        """Wait for a line with all these words; returns how many lines there are up to it."""
        return eventually(
            lambda: next(
                (n for n, line in enumerate(self.lines[after:], after + 1) if all(word in line for word in words)), 0
            ),
            lambda: f"no line with {words} in {self.lines[after:]}",
        )

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; returns the exit code, and what was on stderr."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode()
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code, said


@pytest.fixture
def watch() -> Iterator[Callable[..., Watch]]:
    """Start watches; what a test leaves running is killed."""
    started: list[Watch] = []

    def start(cwd: Path, *args: str, **options: Any) -> Watch:
        started.append(Watch(cwd, *args, **options))
        started[-1].wait("following the worktrees")
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        one.reader.join()
        for stream in (one.process.stdout, one.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def team(repo: Any) -> Any:
    """A repository with one more worktree, on a branch."""
    repo.commit({"README.md": "a clinic\n"})
    repo.git("worktree", "add", "-q", "-b", "agent/one", str(repo.path.parent / "one"))
    return repo


def put(place: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)


def left(place: Path) -> list[str]:
    """Command lines of processes that have to do with a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(place) in text:
                found.append(text)
    return found


def test_what_is_staged_is_judged_and_the_commit_that_follows_only_looks_it_up(team, watch, tmp_path):
    log, version = tmp_path / "asked", tmp_path / "VERSION"
    version.write_text(engine_version())
    reviewer = tmp_path / "reviewer"
    reviewer.write_text(f'#!/bin/sh\necho "$@" >>{log}\nexec {COMMAND[0]} "$@"\n')
    reviewer.chmod(0o755)
    assert install(open_repository(str(team.path)), native=True, command=str(reviewer), version_file=version).done
    one = team.path.parent / "one"
    running = watch(team.path, "--plain")
    running.wait("one (agent/one)", "nothing staged")
    put(one, BAD)
    at = running.wait("one (agent/one)", "BLOCKED", RULE, "clinic/views.py:")
    refused = subprocess.run(["git", "commit", "-qm", "x"], cwd=one, capture_output=True, check=False)
    assert refused.returncode == 1
    log.unlink()
    put(one, GOOD)
    running.wait("one (agent/one)", "passed", after=at)
    subprocess.run(["git", "commit", "-qm", "x"], cwd=one, capture_output=True, check=True)
    assert not log.exists(), "Python was asked"
    running.wait("one (agent/one)", "nothing staged", after=at)
    code, said = running.end()
    assert (code, said) == (130, "")
    assert "\x1b" not in "".join(running.lines)


def test_of_many_git_adds_under_watch_none_fails(team, watch):
    one = team.path.parent / "one"
    running = watch(one, "--plain", "--settle", "0.05")
    running.wait("agent/one", "nothing staged")
    for number in range(150):
        (one / f"f{number}.txt").write_text("x\n")
        subprocess.run(["git", "add", f"f{number}.txt"], cwd=one, check=True, capture_output=True)
    tree = subprocess.run(["git", "write-tree"], cwd=one, check=True, capture_output=True, text=True).stdout.strip()
    kept = team.path / ".git" / "agentreview" / "verdicts" / engine_version()
    eventually(lambda: list(kept.glob(f"*-{tree}")), lambda: "what was staged at last was not judged")
    assert running.end()[0] == 130


def test_a_worktree_that_is_removed_while_they_are_listed_does_not_end_the_board(team, monkeypatch):
    removed = []

    def list_of(folder: Any, real: Callable[[Any], list[str]] = os.listdir) -> list[str]:
        if str(folder).endswith("/.git/worktrees") and not removed:
            removed.append(team.git("worktree", "remove", str(team.path.parent / "one")))
        return real(folder)

    monkeypatch.setattr(os, "listdir", list_of)

    async def act(app: Any, pilot: Any) -> None:
        await shows(app, pilot, "1 worktree: 1 nothing staged")
        team.git("worktree", "add", "-q", "-b", "agent/two", str(team.path.parent / "two"))
        await shows(app, pilot, "2 worktrees: 2 nothing staged")

    piloted(team, act)
    assert len(removed) == 1


def test_a_worktree_that_is_removed_and_added_again_at_once_is_still_heard(team, watch):
    one = team.path.parent / "one"
    put(one, BAD)
    running = watch(team.path, "--plain", "--settle", "1")
    at = running.wait("one (agent/one)", "BLOCKED")
    team.git("worktree", "remove", "--force", str(one))
    team.git("worktree", "add", "-q", str(one), "agent/one")
    at = running.wait("one (agent/one)", "nothing staged", after=at)
    put(one, GOOD)
    running.wait("one (agent/one)", "passed", after=at)


def test_a_worktree_whose_name_is_not_utf8_and_that_comes_later_does_not_deafen_the_board(team, watch):
    running = watch(team.path, "--plain")
    running.wait("one (agent/one)", "nothing staged")
    place = os.fsencode(team.path.parent) + b"/caf\xe9"
    subprocess.run([b"git", b"worktree", b"add", b"-q", b"--detach", place], cwd=team.path, check=True)
    running.wait("caf\\xe9", "nothing staged")
    put(team.path.parent / "one", GOOD)
    running.wait("one (agent/one)", "passed")
    Path(os.fsdecode(place), "a.txt").write_text("x\n")
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    running.wait("caf\\xe9", "passed")
    assert running.end() == (130, "")


def test_worktrees_appear_and_go_and_one_that_is_corrupt_is_a_row_of_its_own(team, watch):
    running = watch(team.path, "--plain")
    running.wait("one (agent/one)", "nothing staged")
    team.git("worktree", "add", "-q", "-b", "agent/two", str(team.path.parent / "two"))
    running.wait("two (agent/two)", "nothing staged")
    put(team.path.parent / "two", BAD)
    running.wait("two (agent/two)", "BLOCKED")
    team.git("worktree", "remove", "--force", str(team.path.parent / "two"))
    running.wait("two (agent/two)", "removed")
    index = team.path / ".git" / "worktrees" / "one" / "index"
    whole = index.read_bytes()
    index.with_suffix(".new").write_bytes(b"not an index")
    index.with_suffix(".new").rename(index)
    at = running.wait("one (agent/one)", "cannot be read")
    put(team.path, GOOD)
    running.wait(". (main)", "passed")
    index.with_suffix(".new").write_bytes(whole)
    index.with_suffix(".new").rename(index)
    running.wait("one (agent/one)", "nothing staged", after=at)
    assert running.end(signal.SIGTERM) == (130, "")


def test_of_worktrees_that_come_while_it_begins_and_one_after_the_other_none_is_missed(team, watch):
    running = watch(team.path, "--plain")
    for number in range(8):
        place = team.path.parent / f"more{number}"
        team.git("worktree", "add", "-q", "-b", f"more/{number}", str(place))
        put(place, {"a.txt": f"{number}\n"})
    for number in range(8):
        running.wait(f"(more/{number})", "passed")
    assert running.end() == (130, "")


def test_a_worktree_whose_directory_is_deleted_is_gone_and_a_switch_of_branch_is_seen(team, watch):
    running = watch(team.path, "--plain")
    at = running.wait("one (agent/one)", "nothing staged")
    subprocess.run(["git", "switch", "-qc", "agent/other"], cwd=team.path.parent / "one", check=True)
    at = running.wait("one (agent/other)", "nothing staged", after=at)
    subprocess.run(["rm", "-rf", str(team.path.parent / "one")], check=True)
    running.wait("one (agent/other)", "gone", "git worktree prune", after=at)


def test_a_locked_worktree_in_the_place_of_which_there_is_a_file_is_said_and_not_asked_for_again_and_again(team, watch):
    one = team.path.parent / "one"
    team.git("worktree", "lock", str(one))
    subprocess.run(["rm", "-rf", str(one)], check=True)
    one.write_text("elsewhere\n")
    watch(team.path, "--plain").wait("one", "cannot be read")


def test_a_repository_that_keeps_its_refs_in_a_reftable_is_followed_too(make_repo, watch, tmp_path):
    repo = make_repo("tables", "--ref-format=reftable")
    repo.commit({"README.md": "a clinic\n"})
    repo.commit({"note.md": "more\n"})
    repo.git("worktree", "add", "-q", "-b", "one", str(tmp_path / "one"))
    running = watch(repo.path, "--plain")
    at = running.wait("one (one)", "nothing staged")
    subprocess.run(["git", "switch", "-qc", "other"], cwd=tmp_path / "one", check=True)
    at = running.wait("one (other)", "nothing staged", after=at)
    repo.git("reset", "-q", "--soft", "HEAD^")
    running.wait(". (main)", "passed", after=at)


def test_hostile_names_stay_inside_their_line(team, watch):
    name = "x\x1b]0;owned\x07\nPASSED [bold]"
    running = watch(team.path, "--plain")
    team.git("worktree", "add", "-q", "--detach", str(team.path.parent / name))
    running.wait("x\\x1b]0;owned\\x07\\x0aPASSED [bold]", "nothing staged")
    put(team.path.parent / name, {f"a\x1b[31m\n{n}.py": text for n, text in enumerate([BAD["clinic/views.py"]])})
    running.wait("x\\x1b]0;owned\\x07\\x0aPASSED [bold]", "a\\x1b[31m\\x0a0.py:")
    assert not any("\x1b" in line or line.startswith("PASSED") for line in running.lines)


def test_a_worktree_whose_name_is_not_utf8_is_seen_a_little_later(team, watch):
    place = os.fsencode(team.path.parent) + b"/caf\xe9"
    subprocess.run([b"git", b"worktree", b"add", b"-q", b"--detach", place], cwd=team.path, check=True)
    running = watch(team.path, "--plain")
    running.wait("caf\\xe9", "nothing staged")
    Path(os.fsdecode(place), "a.txt").write_text("x\n")
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    running.wait("caf\\xe9", "passed")
    assert running.end() == (130, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_review_leaves_no_process(team, watch, number):
    with MessagesServer() as server:
        server.default = Reply(text="late", seconds=600)
        put(team.path, {"agentreview.toml": SETTINGS, ".agents/profiles/careful.md": CAREFUL, **GOOD})
        running = watch(team.path, "--plain", env=server.env)
        running.wait(". (main)", "reviewing")
        eventually(lambda: server.messages, lambda: "no reviewer was asked")
        assert left(team.path) != []
        assert running.end(number) == (130, "")
        eventually(lambda: not left(team.path), lambda: str(left(team.path)))


def test_a_reviewer_that_fails_and_a_configuration_with_a_mistake_are_incomplete(team, watch):
    with MessagesServer() as server:
        server.default = Reply(status=401, error="authentication_error", says="invalid x-api-key")
        put(team.path, {"agentreview.toml": SETTINGS, ".agents/profiles/careful.md": CAREFUL, **GOOD})
        put(team.path.parent / "one", {"agentreview.toml": "nonsense = 1\n"})
        running = watch(team.path, "--plain", env=server.env)
        running.wait(". (main)", "INCOMPLETE")
        running.wait("one (agent/one)", "INCOMPLETE", "agentreview.toml:1")
        assert not any("passed" in line for line in running.lines)


def test_two_watches_at_once_tell_the_same(team, watch):
    both = [watch(team.path, "--plain"), watch(team.path.parent / "one", "--plain")]
    for running in both:
        running.wait("agent/one", "nothing staged")
    put(team.path.parent / "one", BAD)
    for running in both:
        running.wait("agent/one", "BLOCKED")
    for running in both:
        assert running.end() == (130, "")


def test_a_bare_repository_can_be_watched(make_repo, tmp_path, watch):
    bare, seed = make_repo("store.git", "--bare"), make_repo("seed")
    seed.commit({"README.md": "x\n"})
    seed.git("push", "-q", str(bare.path), "main")
    bare.git("worktree", "add", "-q", "-b", "one", str(tmp_path / "one"), "main")
    (tmp_path / "settings").write_text("[safe]\nbareRepository = explicit\n")
    explicit = watch(tmp_path / "one", "--plain", env={"GIT_CONFIG_GLOBAL": str(tmp_path / "settings")})
    explicit.wait(". (one)", "nothing staged")
    explicit.end()
    running = watch(bare.path, "--plain")
    running.wait("one (one)", "nothing staged")
    put(tmp_path / "one", BAD)
    running.wait("one (one)", "BLOCKED")


def test_a_reader_that_goes_away_ends_it(team):
    script = f"{' '.join(COMMAND)} watch --plain; echo $? >code"
    process = subprocess.Popen(["sh", "-c", script], cwd=team.path, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    assert b"following" in process.stdout.readline()
    process.stdout.close()
    put(team.path.parent / "one", GOOD)
    assert process.wait(PATIENCE) == 0
    assert (team.path / "code").read_text() == "0\n"


def test_outside_a_repository_it_says_so(tmp_path):
    done = subprocess.run([*COMMAND, "watch", "--plain"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "git repository" in one_line(done.stderr)


@pytest.mark.parametrize(("missing", "args"), [("watchfiles", ["--plain"]), ("textual", [])])
def test_without_the_extra_it_says_how_to_install_it(team, missing, args):
    code = (
        "import os, sys; sys.path[:] = [p for p in sys.path if p]; import agentreview.commands.watch as watch\n"
        "watch.is_terminal = lambda _: True\n"
        f"sys.modules[{missing!r}] = None; sys.argv = ['agentreview', 'watch', *{args!r}]\n"
        "from agentreview.entry import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=team.path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'agentreview-gate[watch]'" in one_line(done.stderr)


def test_nothing_of_the_extra_is_imported_by_other_commands():
    code = (
        "import sys, agentreview.cli; print(sorted({'textual', 'rich', 'watchfiles', 'asyncio'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- the board -----------------------------------------------------------------------------------------------------


def piloted(team: Any, act: Callable[[Any, Any], Any], *, size: tuple[int, int] = (140, 40)) -> Any:
    """Run the board without a terminal while ``act(app, pilot)`` uses it."""
    from agentreview.watch.app import Cockpit

    async def run() -> Any:
        app = Cockpit(str(team.path), bell=True, settle=0.05)
        async with app.run_test(size=size) as pilot:
            result = await act(app, pilot)
        assert app.failure is None
        return result

    return asyncio.run(run())


async def shows(app: Any, pilot: Any, word: str) -> str:
    """Wait until the screen has the word; returns the screen."""
    until = time.monotonic() + PATIENCE
    while word not in (text := screen(app)):
        assert time.monotonic() < until, text
        await pilot.pause(0.05)
    return text


def screen(app: Any) -> str:
    """The screen as text."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)


def test_the_board_shows_findings_opens_them_and_copies_how_to_fix_them(team):
    put(team.path.parent / "one", BAD)

    async def act(app: Any, pilot: Any) -> None:
        await shows(app, pilot, "2 worktrees: 1 blocked, 1 nothing staged")
        await pilot.press("down")
        await shows(app, pilot, f"BLOCKING high     {RULE}  clinic/views.py:")
        await pilot.press("c")
        assert app.clipboard.startswith("BLOCKED: 1 finding must be cleared")
        assert f"FIX 1 of 1 [{RULE}] clinic/views.py:" in app.clipboard
        await pilot.press("enter", "enter")
        opened = await shows(app, pilot, "> 11 |     patient = get_object_or_404")
        assert "fix: Record the access" in opened
        await pilot.press("escape", "question_mark")
        await shows(app, pilot, "review again what is staged in this worktree")
        await pilot.press("escape", "b")
        await pilot.pause()
        assert not app.rings
        put(team.path.parent / "one", GOOD)
        await shows(app, pilot, "2 worktrees: 1 passed, 1 nothing staged")
        await pilot.press("r")
        await shows(app, pilot, "reviewing 2 staged files")
        await shows(app, pilot, "2 worktrees: 1 passed, 1 nothing staged")
        team.git("worktree", "add", "-q", "-b", "agent/two", str(team.path.parent / "two"))
        await shows(app, pilot, "agent/two")
        team.git("worktree", "remove", "--force", str(team.path.parent / "one"))
        await shows(app, pilot, "2 worktrees: 2 nothing staged")
        await pilot.press("q")

    piloted(team, act)


def test_markup_and_escape_sequences_in_names_are_shown_as_they_are(team):
    team.git("worktree", "add", "-q", "--detach", str(team.path.parent / "[red]x[/red]\x1b]0;t\x07"))
    bad = {"clinic/models.py": BAD["clinic/models.py"], "clinic/[bold]\x1b[5mv.py": BAD["clinic/views.py"]}
    put(team.path.parent / "[red]x[/red]\x1b]0;t\x07", bad)

    async def act(app: Any, pilot: Any) -> None:
        await shows(app, pilot, "1 blocked")
        await pilot.press("down")
        text = await shows(app, pilot, "clinic/[bold]\\x1b[5mv.py:11")
        assert "[red]x[/red]\\x1b]0;t\\x07" in text
        await pilot.press("enter", "enter")
        opened = await shows(app, pilot, "> 11 |")
        assert "clinic/[bold]\\x1b[5mv.py" in opened
        assert "\x1b" not in text + opened

    piloted(team, act)


def test_the_packet_of_a_reviewer_can_be_read_and_nothing_is_sent_for_it(team, monkeypatch):
    with MessagesServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        server.default = Reply(status=401, error="authentication_error", says="invalid x-api-key")
        put(team.path, {"agentreview.toml": SETTINGS, ".agents/profiles/careful.md": CAREFUL, **GOOD})

        async def act(app: Any, pilot: Any) -> None:
            await shows(app, pilot, "1 incomplete")
            assert "not finished: reviewer:careful: unauthorized" in screen(app)
            asked = len(server.messages)
            await pilot.press("p")
            await shows(app, pilot, "as reviewer:careful")
            assert len(server.messages) == asked

        piloted(team, act)


def test_a_failure_of_the_board_ends_it_with_the_reason(team, monkeypatch):
    from agentreview.errors import IncompleteError
    from agentreview.watch import follow
    from agentreview.watch.app import Cockpit

    def refuse(*_: object) -> None:
        raise IncompleteError("no more file watches", fix="Raise the limit")

    monkeypatch.setattr(follow, "Listener", refuse)

    async def run() -> Any:
        app = Cockpit(str(team.path), bell=False, settle=0.05)
        async with app.run_test() as pilot:
            await pilot.pause(0.2)
        return app

    app = asyncio.run(run())
    assert isinstance(app.failure, IncompleteError)
    assert app.return_value == 4


def test_news_that_comes_while_the_screen_is_taken_down_is_no_failure_of_the_board(team):
    from agentreview.watch.app import Cockpit

    heard: list[Board] = []

    class Late(Cockpit):
        async def on_unmount(self) -> None:  # before that of the board itself, which ends what is followed
            self.follower.hear(self.follower.board, [boards.News(path="/w", branch=None, text="passed")])
            heard.append(self.follower.board)

    async def run() -> Any:
        app = Late(str(team.path), bell=True, settle=0.05)
        async with app.run_test() as pilot:
            await shows(app, pilot, "2 worktrees: 2 nothing staged")
            await pilot.press("q")
        return app

    app = asyncio.run(run())
    assert len(heard) == 1
    assert (app.failure, app.return_value) == (None, 0)


@pytest.mark.parametrize("end", ["q", "\x03", signal.SIGTERM])
def test_in_a_terminal_the_board_is_drawn_the_bell_rings_and_the_terminal_is_left_as_it_was(team, end):
    process, main = pty.fork()
    if process == 0:
        os.chdir(team.path)
        os.environ["TERM"] = "xterm-256color"
        os.execv(COMMAND[0], [*COMMAND, "watch"])
    fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    got = bytearray()

    def read() -> None:
        while True:
            try:
                data = os.read(main, 65536)
            except OSError:
                return
            if not data:
                return
            got.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    plain = lambda: re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", bytes(got))  # noqa: E731
    eventually(lambda: b"2 nothing staged" in plain(), lambda: str(plain()[-2000:]))
    put(team.path.parent / "one", BAD)
    eventually(lambda: b"BLOCKED: 1 blocking" in plain(), lambda: str(plain()[-2000:]))
    eventually(lambda: b"\a" in got, lambda: "no bell")
    if isinstance(end, str):
        os.write(main, end.encode())
    else:
        os.kill(process, end)
    _, status = os.waitpid(process, 0)
    reader.join(5)
    os.close(main)
    assert os.waitstatus_to_exitcode(status) == (0 if isinstance(end, str) else 130)
    assert b"\x1b[?1049l" in got
    eventually(lambda: not left(team.path), lambda: str(left(team.path)))
