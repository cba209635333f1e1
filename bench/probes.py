"""What a stopwatch does not show: memory, and what is imported on the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

UNWANTED = ("anthropic", "click", "detect_secrets", "yaml")
SHOWN = 12
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")


def watched(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> tuple[float, float]:
    """Run once; returns seconds, and the megabytes of the largest of its processes."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(argv)} exited {process.returncode}")
    return seconds, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def together(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> float:
    """Run once; returns the most megabytes its processes had at one moment, or 0 where the system does not tell."""
    if not Path("/proc/self/smaps_rollup").exists():
        return 0.0
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        most = max(most, sum(map(_proportional, _family(process.pid))))
        time.sleep(0.05)
    return most * 1024 / 1e6


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        try:
            children = Path(f"/proc/{member}/task/{member}/children").read_text()
        except OSError:
            continue
        found += map(int, children.split())
    return found


def _proportional(pid: int) -> int:
    """Kilobytes of a process, what it shares with others divided among them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def imports(python: Path, repo: Path, env: Mapping[str, str]) -> list[str]:
    """Say what a hook that reviews imports, and what of that it should not."""
    subprocess.run(["rm", "-rf", str(repo / ".git" / "agentreview")], check=True)
    argv = [str(python), "-I", "-X", "importtime", "-m", "agentreview", "hook", "pre-commit"]
    done = subprocess.run(argv, cwd=repo, env=env, capture_output=True, text=True, check=False)
    own, modules = Counter[str](), Counter[str]()
    for line in done.stderr.splitlines():
        found = _LINE.search(line)
        if found:
            package = found[3].split(".")[0]
            own[package] += int(found[1])
            modules[package] += 1
    unwanted = [name for name in UNWANTED if name in modules]
    return [
        "### Imports of a hook that reviews",
        "",
        "| package | modules | own time |",
        "|---|---:|---:|",
        *(f"| {name} | {modules[name]} | {time / 1000:.1f} ms |" for name, time in own.most_common(SHOWN)),
        f"| all {len(own)} | {modules.total()} | {own.total() / 1000:.1f} ms |",
        "",
        "Own times are with tracing on, which makes them longer; processes that run side by side are added up.",
        "",
        f"**Imported and not wanted: {', '.join(unwanted)}**" if unwanted else f"Not imported: {', '.join(UNWANTED)}.",
        "",
    ]
