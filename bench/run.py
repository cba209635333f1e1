"""Measure the gate against what people would run instead, on generated code, all in one run: `make bench`.

What is measured is what people get: the package as it is now, installed from a wheel into an environment of its own,
and whole processes from start to exit. Peers run on the same files in turns with it, so that a busy machine slows
them alike; only the ratios mean anything elsewhere. Everything lies below bench/out/, the table is in results.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import inputs
import probes

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"
TOOL, PEERS, SEMGREP = OUT / "tool", OUT / "peers", OUT / "semgrep"
ROUNDS = 5

ENVIRONMENT = {
    key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "AGENTREVIEW_", "PYTHON"))
}
ENVIRONMENT |= {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Dana Reyes",
    "GIT_AUTHOR_EMAIL": "dana@clinic.example",
    "GIT_COMMITTER_NAME": "Dana Reyes",
    "GIT_COMMITTER_EMAIL": "dana@clinic.example",
    "SEMGREP_ENABLE_VERSION_CHECK": "0",
    "LC_ALL": "C.UTF-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One command to time, where it runs, and what puts everything back before each run."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    prepare: tuple[str, ...] = ("true",)
    good: tuple[int, ...] = (0, 1)  # reviewers exit 1 for findings


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(*argv: str | Path, cwd: Path | None = None, good: tuple[int, ...] = (0,), stdin: str = "") -> str:
    """Run a command; returns what it printed, or ends the benchmark with it."""
    done = subprocess.run(
        [*map(str, argv)], cwd=cwd, env=ENVIRONMENT, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode not in good:
        raise SystemExit(f"{' '.join(map(str, argv))} exited {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


# -- what is compared ----------------------------------------------------------------------------------------------


def install_tool() -> None:
    """Install the checkout, as a wheel, with the locked versions."""
    if not (TOOL / "bin" / "python").exists():
        run(sys.executable, "-m", "venv", TOOL)
    lock = ("--constraint", HERE.parent / "constraints.txt") if sys.version_info >= (3, 11) else ()
    pip = (TOOL / "bin" / "python", "-m", "pip", "install", "--quiet")
    run(*pip, *lock, HERE.parent)
    run(*pip, "--no-deps", "--force-reinstall", HERE.parent)


def install_peer(place: Path, package: str) -> Path | None:
    """Install a peer from the registry; None when it cannot be had."""
    command = place / "bin" / package
    if not command.exists():
        say(f"installing {package}")
        steps = (
            (sys.executable, "-m", "venv", place),
            (place / "bin" / "python", "-m", "pip", "install", "--quiet", package),
        )
        for step in steps:
            if subprocess.run([*map(str, step)], capture_output=True, check=False).returncode:
                shutil.rmtree(place, ignore_errors=True)
                return None
    return command


def repository(path: Path, files: dict[str, str]) -> Path:
    """Make a repository with one commit, and stage the files on top of it."""
    path.mkdir(parents=True)
    run("git", "init", "-q", "-b", "main", path)
    run("git", "-C", path, "config", "gc.auto", "0")
    (path / "README.md").write_text("A clinic's application.\n")
    run("git", "-C", path, "add", ".")
    run("git", "-C", path, "commit", "-q", "-m", "start")
    for name, text in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    run("git", "-C", path, "add", ".")
    return path


def hook(repo: Path) -> Case:
    """Return the hook as git runs it when nothing is known about the change yet."""
    forget = ("rm", "-rf", str(repo / ".git" / "agentreview"))
    return Case(
        name="agentreview", argv=(str(TOOL / "bin" / "agentreview"), "hook", "pre-commit"), cwd=repo, prepare=forget
    )


# -- timing --------------------------------------------------------------------------------------------------------


def measure(cases: Sequence[Case], runs: int) -> dict[str, list[float]]:
    """Time every case ``runs`` times, in turns, after one run that does not count. Seconds."""
    timer = hyperfine if shutil.which("hyperfine") else stopwatch
    for case in cases:
        stopwatch(case, 1)
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    rounds = min(runs, ROUNDS)
    for number in range(rounds):
        for case in cases:
            share = runs // rounds + (number < runs % rounds)
            times[case.name] += timer(case, share)
    return times


def stopwatch(case: Case, runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        run(*case.prepare, cwd=case.cwd)
        start = time.perf_counter()
        run(*case.argv, cwd=case.cwd, good=case.good)
        times.append(time.perf_counter() - start)
    return times


def hyperfine(case: Case, runs: int) -> list[float]:
    with tempfile.NamedTemporaryFile(dir=OUT, suffix=".json") as report:
        options = ("--shell=none", f"--runs={runs}", "--ignore-failure", "--style=none", f"--export-json={report.name}")
        prepare = " ".join(f'"{word}"' for word in case.prepare)
        command = " ".join(f'"{word}"' for word in case.argv)
        run("hyperfine", *options, f"--prepare={prepare}", command, cwd=case.cwd)
        result = json.loads(Path(report.name).read_text())["results"][0]
    if not set(result["exit_codes"]) <= set(case.good):
        raise SystemExit(f"{case.name} exited {result['exit_codes']}")
    return list(result["times"])


# -- the parts -----------------------------------------------------------------------------------------------------


def against_peers(title: str, repo: Path, paths: Sequence[str], runs: int, wanted: dict[str, str]) -> list[str]:
    """Time the hook, bandit and semgrep on the staged files."""
    say(title)
    cases = [hook(repo)]
    bandit, semgrep = install_peer(PEERS, "bandit"), install_peer(SEMGREP, "semgrep")
    if bandit:
        cases.append(Case(name="bandit", argv=(str(bandit), "-q", "-r", *paths), cwd=repo))
    if semgrep:
        scan = (str(semgrep), "scan", "--quiet", "--metrics", "off", "--disable-version-check")
        rules = ("--config", str(HERE / "rules.yml"))
        cases.append(Case(name="semgrep", argv=(*scan, *rules, *paths), cwd=repo))
    times = measure(cases, runs)
    own = statistics.median(times["agentreview"])
    lines = [f"### {title}", "", "| | median | fastest | agentreview / peer | wanted |", "|---|---:|---:|---:|---|"]
    for name in ("agentreview", "bandit", "semgrep"):
        if name not in times:
            lines.append(f"| {name} | not available | | | |")
            continue
        median = statistics.median(times[name])
        ratio = f"{own / median:.2f}" if name != "agentreview" else ""
        lines.append(
            f"| {name} | {median * 1000:.0f} ms | {min(times[name]) * 1000:.0f} ms | {ratio} | {wanted.get(name, '')} |"
        )
    return [*lines, ""]


def known_commit(place: Path, runs: int) -> list[str]:
    """Time `git commit` of a change that was judged before against the same commit without hooks."""
    say("a commit whose change was already judged")
    files = {"clinic/views.py": inputs.django(300)}
    cases = []
    for name in ("no hook", "agentreview"):
        repo = repository(place / name.replace(" ", "-"), files)
        if name == "agentreview":
            run(TOOL / "bin" / "agentreview", "install", cwd=repo)
            run(TOOL / "bin" / "agentreview", "run", cwd=repo)
        start = run("git", "-C", repo, "rev-parse", "HEAD").strip()
        commit = ("git", "commit", "-q", "-m", "work")
        cases.append(Case(name=name, argv=commit, cwd=repo, prepare=("git", "reset", "-q", "--soft", start), good=(0,)))
    times = measure(cases, max(runs, 20))
    without, judged = (statistics.median(times[name]) * 1000 for name in ("no hook", "agentreview"))
    return [
        "### A commit whose change was already judged",
        "",
        "| | median | over no hook | wanted |",
        "|---|---:|---:|---|",
        f"| git commit, no hook | {without:.1f} ms | | |",
        f"| git commit, native hooks | {judged:.1f} ms | {judged - without:.1f} ms | at most 15 ms |",
        "",
    ]


def growth(place: Path, sizes: Sequence[int]) -> list[str]:
    """Time one review of ever larger changes, and watch its memory."""
    lines = [
        "### Growth",
        "",
        "| lines | files | seconds | seconds per 10,000 lines | largest process | all processes | wanted |",
        "|---:|---:|---:|---:|---:|---:|---|",
    ]
    for size in sizes:
        say(f"{size:,} lines")
        files = dict(inputs.mixed(size // 400, size))
        repo = repository(place / str(size), files)
        case = hook(repo)
        run(*case.prepare, cwd=repo)
        seconds, largest = probes.watched(case.argv, repo, ENVIRONMENT)
        run(*case.prepare, cwd=repo)
        together = probes.together(case.argv, repo, ENVIRONMENT)
        cells = (
            f"{size:,}", str(len(files)), f"{seconds:.1f}", f"{seconds / size * 10_000:.2f}", f"{largest:.0f} MB",
            f"{together:.0f} MB" if together else "not known here", "linear, below 400 MB",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
        shutil.rmtree(repo)
    return [*lines, "", "All processes: proportional set sizes, sampled in a second run.", ""]


def machine() -> str:
    timer = "hyperfine, in turns" if shutil.which("hyperfine") else "own stopwatch, in turns"
    git = run("git", "version").strip()
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {git}; {timer}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="timed runs of every command (default 20)")
    parser.add_argument("--quick", action="store_true", help="few runs, small sizes: only to see that it works")
    options = parser.parse_args()
    runs = 4 if options.quick else options.runs
    sizes = (2_000, 4_000) if options.quick else (10_000, 50_000, 100_000)
    OUT.mkdir(exist_ok=True)
    say("installing this checkout")
    install_tool()
    with tempfile.TemporaryDirectory(prefix="agentreview-bench-") as folder:
        place = Path(os.path.realpath(folder))
        one = repository(place / "one", {"clinic/views.py": inputs.django(300)})
        many = repository(place / "many", dict(inputs.mixed(40, 5_400)))
        folders = sorted({path.name for path in many.iterdir() if path.is_dir() and path.name != ".git"})
        text = [
            f"## Measured with `make bench`\n\n{machine()}\n",
            *against_peers(
                "One staged Python file, 300 lines",
                one,
                ["clinic/views.py"],
                runs,
                {"bandit": "at most 1", "semgrep": "at most 0.1"},
            ),
            *against_peers("40 staged files, 5,400 lines", many, folders, runs, {"bandit": "at most 1.5"}),
            "bandit reads only the 24 Python files, agentreview and semgrep all 40.\n",
            *known_commit(place, runs),
            *growth(place, sizes),
            *probes.imports(TOOL / "bin" / "python", one, ENVIRONMENT),
        ]
    table = "\n".join(text)
    (OUT / "results.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
