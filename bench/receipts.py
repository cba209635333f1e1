"""Measure `agentreview ci` on a branch that receipts cover: `.venv/bin/python bench/receipts.py`.

A branch of fifty commits, code with its tests, over a repository of a few hundred files; each commit has a receipt, once
unsigned, once signed with an ssh key that the base knows. Timed in turns against `git log -p` of the range, which is what
anybody would read who wants to see it all, and against the same review without receipts: the policies run over the whole
range every time, and take what Python and they take. What receipts add is the difference of the two, in processor time
(all processes, ssh-keygen's too): it runs beside the review, so that little of it is waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import resource
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import inputs
from run import OUT, TOOL, Case, install_tool, machine, measure, run, say

COMMITS, FILES, TOUCHED = 50, 300, 12
EACH = 25  # commits of a push: up to 40 are reviewed one by one
ALLOWED = ".agentreview/allowed_signers"


STEP = """\


def {name}(rows, since=None):
    \"\"\"Add up what step {number} is about, in cents; rows without an amount do not count.\"\"\"
    amounts = []
    for row in rows:
        if row.amount is None or (since is not None and row.day < since):
            continue
        amounts.append(row.amount)
    if not amounts:
        return 0
    return sum(amounts) - min(amounts) // {divisor}
"""
TEST = """\


def test_{name}_of_nothing_is_nothing():
    assert {name}([]) == 0


def test_{name}_leaves_out_what_has_no_amount():
    assert {name}([Row(amount=None), Row(amount={divisor})]) >= 0
"""


def branch(place: Path, *, signed: bool) -> Path:
    """Make the repository and its branch; the pre-push hook reviews each commit, which leaves its receipt."""
    repo, key = place / ("signed" if signed else "advisory"), place / "key"
    repo.mkdir()
    run("git", "init", "-q", "-b", "main", repo)
    for name, value in (("gc.auto", "0"), ("user.name", "Dana Reyes"), ("user.email", "dana@clinic.example")):
        run("git", "-C", repo, "config", name, value)
    if signed:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
        (repo / ".agentreview").mkdir()
        (repo / ALLOWED).write_text(f"dana@clinic.example {key.with_suffix('.pub').read_text()}")
        run("git", "-C", repo, "config", "gpg.format", "ssh")
        run("git", "-C", repo, "config", "user.signingkey", key)
    files = dict(inputs.mixed(FILES, FILES * 120))
    files |= {f"billing/part{n}.py": '"""What is billed."""\n' for n in range(TOUCHED)}
    files |= {f"tests/test_part{n}.py": '"""What is billed is added up."""\n' for n in range(TOUCHED)}
    write(repo, files)
    run("git", "-C", repo, "commit", "-q", "-m", "start")
    run("git", "-C", repo, "checkout", "-q", "-b", "feature")
    start = run("git", "-C", repo, "rev-parse", "HEAD").strip()
    for number in range(COMMITS):
        words = {"name": f"total_{number}", "number": number, "divisor": number + 2}
        for path, text in (
            (f"billing/part{number % TOUCHED}.py", STEP),
            (f"tests/test_part{number % TOUCHED}.py", TEST),
        ):
            files[path] += text.format(**words)
            write(repo, {path: files[path]})
        run("git", "-C", repo, "commit", "-q", "-m", f"step {number}")
        if number % EACH == EACH - 1 or number == COMMITS - 1:
            head = run("git", "-C", repo, "rev-parse", "HEAD").strip()
            line = f"refs/heads/feature {head} refs/heads/feature {start}\n"
            run(TOOL / "bin" / "agentreview", "hook", "pre-push", "origin", "nowhere", cwd=repo, stdin=line)
            start = head
    return repo


def write(repo: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    run("git", "-C", repo, "add", "-A")


def timed(repo: Path, runs: int) -> list[str]:
    """Time the look-up against git, and check first that it finds what it should."""
    ci = (str(TOOL / "bin" / "agentreview"), "ci", "--base", "main", "--format", "json")
    answer = json.loads(run(*ci, cwd=repo, good=(0, 1)))
    counts = answer["coverage"]["summary"]
    if (counts["commits"], counts["uncovered"], counts["refused"]) != (COMMITS, 0, 0) or answer["exit_code"]:
        raise SystemExit(f"not every commit is covered, or the branch is blocked: {counts} {answer['summary']}")
    say(f"{repo.name}: {counts}")
    cases = [
        Case(name="git log -p", argv=("git", "log", "-p", "--no-color", "main..feature"), cwd=repo),
        Case(name="agentreview ci", argv=ci, cwd=repo),
        Case(name="the same review, no receipts", argv=(ci[0], "--range", "main...feature", "--fresh", "--format", "json"), cwd=repo),
    ]  # fmt: skip
    times = {name: statistics.median(values) * 1000 for name, values in measure(cases, runs).items()}
    cpu = {name: statistics.median(values) * 1000 for name, values in spent(cases, runs).items()}
    log, ci, bare = (case.name for case in cases)
    added = cpu[ci] - cpu[bare]
    return [
        f"| {repo.name} ({answer['files_reviewed']} files reviewed) | {times[log]:.0f} ms | {times[ci]:.0f} ms"
        f" | {times[bare]:.0f} ms | {cpu[log]:.0f} ms | {added:.0f} ms | {added / cpu[log]:.1f} |"
    ]


def spent(cases: Sequence[Case], runs: int) -> dict[str, list[float]]:
    """Processor seconds of each case and of all that it starts, in turns."""
    used: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(runs):
        for case in cases:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run(*case.argv, cwd=case.cwd, good=(0, 1))
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used[case.name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return used


def profile(repo: Path) -> None:
    """Show where the parent process of one run spends its time."""
    script = "import sys; from agentreview.entry import main; sys.argv = ['agentreview', 'ci', '--base', 'main', '--quiet']; sys.exit(main())"
    out = OUT / "ci.profile"
    code = f"import cProfile; cProfile.run({script!r}, {str(out)!r})"
    run(TOOL / "bin" / "python", "-c", code, cwd=repo, good=(0, 1))
    pstats.Stats(str(out)).sort_stats("cumulative").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="timed runs of every command (default 20)")
    parser.add_argument("--profile", action="store_true", help="one run under the profiler instead")
    options = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    say("installing this checkout")
    install_tool()
    with tempfile.TemporaryDirectory(prefix="agentreview-bench-") as folder:
        place = Path(os.path.realpath(folder))
        repos = [branch(place, signed=signed) for signed in (False, True)]
        if options.profile:
            profile(repos[1])
            return
        rows = [row for repo in repos for row in timed(repo, options.runs)]
    text = [
        f"## {COMMITS} commits over {FILES} files, each with a receipt\n\n{machine()}\n",
        "| receipts | git log -p | agentreview ci | review of the range alone | git log -p, processor | receipts add | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]
    print("\n".join(text))


if __name__ == "__main__":
    main()
