"""Measure `agentreview status` and `agentreview watch` on many worktrees: `.venv/bin/python bench/watch.py`.

Eight worktrees of a repository of 20,000 files, as a wheel gives it to people. `status` is timed in turns with `git status`
of the same worktrees at once, which is the least that counting unstaged files costs. The board runs in a terminal of its
own: what it takes when nothing happens, how much memory all its processes hold, how long after the last `git add` the
verdict is kept, and whether any of many `git add`s fails meanwhile.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import resource
import shlex
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import inputs
from run import ENVIRONMENT, HERE, OUT, TOOL, install_tool, machine, run, say

WORKTREES, FOLDERS, EACH = 8, 200, 100
TICK = os.sysconf("SC_CLK_TCK")
STATUS = "--porcelain -uno --no-renames"


def places(root: Path, folders: int) -> list[Path]:
    """Make the repository and its worktrees; half of them have something staged, and something that is not."""
    main = root / "clinic"
    for folder in range(folders):
        below = main / f"app{folder // 20}" / f"part{folder}"
        below.mkdir(parents=True)
        for number in range(EACH):
            (below / f"file{number}.py").write_text(
                f'"""Part {number}."""\n\n\ndef f{folder}_{number}(x):\n    return x\n'
            )
    run("git", "init", "-q", "-b", "main", main)
    run("git", "-C", main, "config", "gc.auto", "0")
    run("git", "-C", main, "add", "-A")
    run("git", "-C", main, "commit", "-q", "-m", "start")
    found = [main]
    for number in range(1, WORKTREES):
        found.append(root / f"agent-{number}")
        run("git", "-C", main, "worktree", "add", "-q", "-b", f"agent/{number}", found[-1])
    for number, place in enumerate(found):
        if number % 2:
            (place / "app0" / "part0" / "file1.py").write_text(f"x = {number}\n")
            run("git", "-C", place, "add", "-A")
            (place / "app0" / "part0" / "file2.py").write_text("y = 1\n")
        time.sleep(0.05)
        run("git", "-C", place, "status", "--short")  # as its agent does
    return found


def tool() -> str:
    """Install what is measured, with the extra."""
    install_tool()
    lock = ("--constraint", HERE.parent / "constraints.txt") if sys.version_info >= (3, 11) else ()
    run(TOOL / "bin" / "python", "-m", "pip", "install", "--quiet", *lock, "textual", "watchfiles")
    return str(TOOL / "bin" / "agentreview")


# -- status --------------------------------------------------------------------------------------------------------


def timed(argv: list[str], cwd: Path) -> tuple[float, float]:
    """Run once; milliseconds on the clock, and of processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(argv, cwd=cwd, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True)
    taken, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return taken * 1000, used * 1000


def status(command: str, found: list[Path], runs: int) -> list[str]:
    """Time `status`, in turns with git."""
    floor = " ".join(
        f"GIT_OPTIONAL_LOCKS=0 git -C {shlex.quote(str(place))} status {STATUS} >/dev/null &" for place in found
    )
    cases = {
        "git status of each, at once": ["sh", "-c", f"{floor} wait"],
        "agentreview status": [command, "status"],
        "python -c pass": [str(TOOL / "bin" / "python"), "-c", "pass"],
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(runs + 1):
        for name, argv in cases.items():
            times[name].append(timed(argv, found[0]))
    rows = []
    for name, all_of_it in times.items():
        clock, used = zip(*all_of_it[1:], strict=True)
        rows.append(
            f"| {name} | {min(clock):.0f} ms | {statistics.median(clock):.0f} ms | {min(used):.0f} ms"
            f" | {statistics.median(used):.0f} ms |"
        )
    return rows


# -- watch ---------------------------------------------------------------------------------------------------------


class Board:
    """The board in a terminal of its own."""

    def __init__(self, command: str, cwd: Path, *args: str) -> None:
        self.seen = bytearray()
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(command, [command, "watch", *args], {**ENVIRONMENT, "TERM": "xterm-256color"})
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 130, 0, 0))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := os.read(self.terminal, 1 << 16):
                self.seen += data
        except OSError:
            return

    def processes(self) -> list[int]:
        """Its process, and all below it."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
        found = [self.pid]
        for one in found:
            found += [child for child, parent in parents.items() if parent == one]
        return found

    def used(self) -> float:
        """Seconds of processors, of everything it did until now."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICK

    def memory(self) -> tuple[float, float]:
        """Megabytes that its processes hold: resident, and with what they share divided among those who do."""
        resident = shared = 0
        for process in self.processes():
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text().split("\n")
            values = {line.split(":")[0]: int(line.split()[1]) for line in rollup if line.endswith(" kB")}
            resident, shared = resident + values["Rss"], shared + values["Pss"]
        return resident / 1024, shared / 1024

    def end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def verdicts(main: Path) -> set[str]:
    return {path.name for path in (main / ".git" / "agentreview" / "verdicts").glob("*/*") if path.name[0] != "."}


def until(look: object, seconds: float = 120.0) -> bool:
    """Wait until something is so."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        if look():  # type: ignore[operator]
            return True
        time.sleep(0.004)
    return False


def judged(found: list[Path], rounds: int) -> list[float]:
    """Seconds from the end of the last `git add` to the kept verdict."""
    main, place = found[0], found[2]
    view = place / "clinic" / "views.py"
    view.parent.mkdir(exist_ok=True)
    times = []
    for number in range(rounds):
        view.write_text(inputs.django(300).replace("PAGE_SIZE = 50", f"PAGE_SIZE = {number + 60}"))
        before = verdicts(main)
        run("git", "-C", place, "add", "clinic/views.py")
        start = time.perf_counter()
        if not until(lambda known=before: verdicts(main) - known):
            raise SystemExit("what was staged was not judged")
        times.append(time.perf_counter() - start)
        time.sleep(0.5)
    return times


def adds(place: Path, many: int) -> int:
    """How many of many `git add`s fail."""
    failed = 0
    for number in range(many):
        (place / f"note{number}.txt").write_text("x\n")
        done = subprocess.run(
            ["git", "add", f"note{number}.txt"], cwd=place, env=ENVIRONMENT, capture_output=True, check=False
        )
        failed += done.returncode != 0
    return failed


def watch(command: str, found: list[Path], *, seconds: float, rounds: int, many: int) -> list[str]:
    """Measure the board."""
    board = Board(command, found[0])
    staged = sum(number % 2 for number in range(len(found)))
    if not until(lambda: len(verdicts(found[0])) >= staged):
        raise SystemExit(f"the board did not judge what is staged: {bytes(board.seen[-2000:])!r}")
    time.sleep(5)
    before, start = board.used(), time.perf_counter()
    time.sleep(seconds)
    idle = (board.used() - before) / (time.perf_counter() - start) * 100
    resident, shared = board.memory()
    processes = len(board.processes())
    before = board.used()
    times = judged(found, rounds)
    each = (board.used() - before) / rounds
    failed = adds(found[4], many)
    time.sleep(3)
    later, _ = board.memory()
    board.end()
    return [
        "| | |",
        "|---|---:|",
        f"| idle, of one core ({seconds:.0f} s) | {idle:.2f} % |",
        f"| memory of {processes} process{'es' if processes > 1 else ''}, idle (RSS; PSS) | {resident:.0f} MB; {shared:.0f} MB |",
        f"| the same after {rounds} reviews and {many} git adds | {later:.0f} MB |",
        f"| last git add to kept verdict, median (worst of {rounds}) | {statistics.median(times):.2f} s ({max(times):.2f} s) |",
        f"| the shortest | {min(times):.2f} s |",
        f"| processors, for each | {each:.2f} s |",
        f"| of {many} git adds meanwhile failed | {failed} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="timed runs of status, and rounds of git add (default 20)")
    parser.add_argument("--seconds", type=float, default=60, help="how long to watch it do nothing (default 60)")
    parser.add_argument("--quick", action="store_true", help="few files and runs: only to see that it works")
    options = parser.parse_args()
    runs, seconds = (3, 5.0) if options.quick else (options.runs, options.seconds)
    OUT.mkdir(exist_ok=True)
    say("installing this checkout")
    command = tool()
    with tempfile.TemporaryDirectory(prefix="agentreview-bench-") as folder:
        found = places(Path(os.path.realpath(folder)), 10 if options.quick else FOLDERS)
        say("timing status")
        rows = status(command, found, runs)
        say("watching")
        board = watch(command, found, seconds=seconds, rounds=runs, many=20 if options.quick else 150)
        say("timing status once more")
        judged_rows = status(command, found, runs)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    text = [
        f"## {len(found)} worktrees of {(10 if options.quick else FOLDERS) * EACH:,} files\n\n{machine()} Load {load}.\n",
        "| status | clock, least | median | processors, least | median |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        "The same where every staged change has a verdict:\n",
        "| status | clock, least | median | processors, least | median |",
        "|---|---:|---:|---:|---:|",
        *judged_rows,
        "",
        *board,
    ]
    print("\n".join(text))


if __name__ == "__main__":
    main()
