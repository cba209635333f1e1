#!/usr/bin/env python3
"""Measure what model reviewers make a commit wait for, and what they send. Nothing leaves the machine.

    python bench/reviewers.py wait [--seconds 2] [--rounds 3]
    python bench/reviewers.py tokens --cases DIR --manifest FILE [--reviewer NAME] [ID...]

``wait``: whole processes against a local server that takes ``--seconds`` for every answer, one reviewer and six in
turns. Six should take at most 1.25 times as long as one.

``tokens``: what is sent about each case, against the whole diff with the whole files it touches; and what is sent after
one added line was edited again: the first of the change, the middle one and the last, in turns. Counted is what differs
from request to request. The prefix that requests share (role, rules, form of the answer) is counted apart, since any other
reader would have one; and once more with it, both as sent and at what it costs: written to the provider's cache at 1.25
times the price of input, read from there at a tenth. ``DIR`` holds repositories with a staged change, labelled by the
JSON lines of ``FILE``, as bench/corpus.py makes them. Tokens are estimated as everywhere here: a third of the bytes.
The reader of this measurement finds nothing, so no second one is asked.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from messages_server import MessagesServer, Received, Reply  # noqa: E402
from reviewing import answer  # noqa: E402

ONE = ("tenant-isolation",)
SIX = ("tenant-isolation", "hipaa-compliance", "backend", "reviewer", "architect", "tester")
VIEW = """\
from django.http import JsonResponse

from clinic.models import Patient


def detail(request, pk):
    patient = Patient.objects.get(pk=pk)
    return JsonResponse({"name": patient.name})
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="what", required=True)
    waits = commands.add_parser("wait")
    waits.add_argument("--seconds", type=float, default=2.0)
    waits.add_argument("--rounds", type=int, default=3)
    tokens = commands.add_parser("tokens")
    tokens.add_argument("--cases", type=Path, required=True)
    tokens.add_argument("--manifest", type=Path, required=True)
    tokens.add_argument("--reviewer", default="reviewer")
    tokens.add_argument("ids", nargs="*")
    options = parser.parse_args()
    return wait(options) if options.what == "wait" else sent(options)


# -- waiting


def wait(options: argparse.Namespace) -> int:
    if find_spec("anthropic") is None:
        print("the SDK of the Messages API is not installed, so nothing can be asked: pip install -e '.[model]'")
        return 2
    took: dict[tuple[str, ...], list[float]] = {ONE: [], SIX: []}
    together = 0
    with tempfile.TemporaryDirectory(prefix="agentreview-bench-") as folder:
        repo = Path(folder, "clinic")
        for argv in (["init", "-q", str(repo)],):
            subprocess.run(["git", *argv], check=True)
        (repo / "clinic").mkdir()
        (repo / "clinic" / "views.py").write_text(VIEW)
        subprocess.run(["git", "-C", str(repo), "add", "."], check=True)
        for _ in range(options.rounds):
            for names, times in took.items():
                with MessagesServer() as server:
                    server.default = _slow(options.seconds)
                    begun = time.perf_counter()
                    command = [sys.executable, "-m", "agentreview", "run", "--fresh", "--reviewers", ",".join(names)]
                    environment = {**os.environ, **server.env}
                    done = subprocess.run(
                        command, cwd=repo, env=environment, capture_output=True, text=True, check=False
                    )
                    times.append(time.perf_counter() - begun)
                    if done.returncode > 1 or len(server.messages) != len(names):
                        print(done.stdout, done.stderr, f"{len(server.messages)} requests")
                        return 1
                    together = max(together, server.most_together)
    one, six = median(took[ONE]), median(took[SIX])
    print(f"every answer takes {options.seconds:g} s; whole processes, median of {options.rounds}")
    print(f"1 reviewer:  {one:.2f} s")
    print(f"6 reviewers: {six:.2f} s, {six / one:.2f} times as long, {together} requests at the same time")
    return 0 if six <= 1.25 * one else 1


def _slow(seconds: float):
    def answered(request: Received) -> Reply:
        return Reply(json=answer(request.asked), seconds=seconds)

    return answered


# -- what is sent


class Silent:
    """Finds nothing, and counts what it was sent."""

    def __init__(self) -> None:
        self.tokens = self.requests = self.prefix = self.units = 0
        self.lock = threading.Lock()

    def ask(self, request, deadline):  # noqa: ARG002
        from agentreview.llm import Answer, Usage
        from agentreview.modelsettings import known_model
        from agentreview.spend import estimate

        said = answer(request.messages[0][1])
        with self.lock:
            self.requests += 1
            self.units += len(said["reviewed"])
            bare = replace(request, system=(), schema=None)
            changing = estimate(bare, known_model(request.model)).input_tokens
            self.tokens += changing
            self.prefix += estimate(request, known_model(request.model)).input_tokens - changing
        return Answer(json.dumps(said), "end_turn", Usage(1, 1), 0.0, request.model)


def sent(options: argparse.Namespace) -> int:
    from agentreview.config import Config
    from agentreview.evaluation.cases import from_manifest
    from agentreview.evaluation.play import prepared

    rows: list[tuple[Silent, int, list[Silent]]] = []
    print(f"{'case':<40} {'units':>5} {'whole files':>12} {'packets':>9} {'share':>6}   after an edit of one line")
    with tempfile.TemporaryDirectory(prefix="agentreview-bench-") as folder:
        for case in from_manifest(options.cases.absolute(), options.manifest, options.ids):
            copy, store = Path(folder, case.id), Path(folder, "store", case.id)
            again: list[Silent] = []
            try:
                shutil.copytree(case.repo, copy, symlinks=True, ignore=shutil.ignore_patterns("agentreview"))
                mine = replace(case, repo=str(copy))
                first, whole = _read(mine, options.reviewer, store, prepared, Config())
                if not first.requests:
                    continue
                for number, place in enumerate(_places(copy)):
                    kept = Path(folder, "again", f"{case.id}-{number}")
                    shutil.copytree(store, kept)
                    with _edited(copy, *place):
                        again.append(_read(mine, options.reviewer, kept, prepared, Config())[0])
            finally:
                shutil.rmtree(copy, ignore_errors=True)
            rows.append((first, whole, again))
            line = f"{case.id:<40} {first.units:>5} {whole:>12,} {first.tokens:>9,} {first.tokens / whole:>6.0%}   "
            print(line + "  ".join(f"{one.tokens:,} ({one.tokens / first.tokens:.0%})" for one in again), flush=True)
    if not rows:
        print("no case with anything to read")
        return 1
    print()
    _said("first review, against diff and whole files", [(whole, first.tokens) for first, whole, _ in rows])
    edits = [(first, one) for first, _, again in rows for one in again]
    _said("after an edit, against the first", [(first.tokens, one.tokens) for first, one in edits])
    for low, high in ((1, 1), (2, 4), (5, 9), (10, 10**6)):
        some = [(first.tokens, one.tokens) for first, one in edits if low <= first.units <= high]
        _said(
            f"  of {low} unit{'s' if high > 1 else ''}{f' to {high}' if low < high < 100 else ' and more' if high > 100 else ''}",
            some,
        )
    _said("  with the prefix, as sent", [(f.tokens + f.prefix, o.tokens + o.prefix) for f, o in edits])
    each = [f.prefix / f.requests for f, _, _ in rows]
    print(f"  that prefix, of one request:                  {median(each):,.0f} tokens")
    priced = [(f.tokens + 1.25 * f.prefix, o.tokens + 0.1 * o.prefix) for f, o in edits]
    _said("  with the prefix, at what it costs", priced)
    return 0


def _said(what: str, pairs: list[tuple[float, float]]) -> None:
    """One line: the share of all together, and how it is spread over the cases."""
    if not pairs:
        return
    shares = sorted(b / a for a, b in pairs)
    spread = ", ".join(f"{shares[min(int(len(shares) * q), len(shares) - 1)]:.0%}" for q in (0.1, 0.25, 0.5, 0.75, 0.9))
    below = sum(share <= 0.1 for share in shares)
    total = sum(b for _, b in pairs) / sum(a for a, _ in pairs)
    print(
        f"{what + ':':<46} {total:6.1%} of all tokens; a tenth to nine tenths of {len(pairs)}: {spread}; {below} at most a tenth"
    )


def _read(case, reviewer: str, store: Path, prepared, config):
    """Have one reviewer read a case; returns what was sent, and what diff and whole files would have been."""
    from agentreview.llm import Request
    from agentreview.model import Asked
    from agentreview.modelsettings import known_model
    from agentreview.policies.compare import Engine
    from agentreview.policies.load import load
    from agentreview.reviewers.run import read
    from agentreview.spend import estimate
    from agentreview.surroundings import GitTrees
    from agentreview.version import engine_version

    (ready,) = prepared([case], store, config)
    silent = Silent()
    asked = Asked(names=(reviewer,), surface="run", store=str(store))
    read(asked, ready.snapshot, list(ready.findings), Engine(load(), ready.config), GitTrees(ready.repo, engine_version()), backend=silent)  # fmt: skip
    diff = subprocess.run(
        ["git", "-C", case.repo, "diff", "--cached", "-U12"], capture_output=True, check=True
    ).stdout.decode("utf-8", "replace")
    files = [c.after.decode("utf-8", "replace") for c in ready.snapshot.changes if c.after is not None and not c.opaque]
    whole = estimate(Request("", "m", (), (("user", "\n".join([diff, *files])),)), known_model("m")).input_tokens
    return silent, whole


def _places(repo: Path) -> list[tuple[str, int]]:
    """Lines of code that the change added: the first, the middle one and the last, as far as they are different ones."""
    diff = subprocess.run(
        ["git", "-C", str(repo), "diff", "--cached", "-U0", "--no-renames"], capture_output=True, check=True
    ).stdout.decode("utf-8", "replace")
    found: list[tuple[str, int]] = []
    path, number = "", 0
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            path = line[6:]
        elif line.startswith("@@"):
            number = int(line.split("+")[1].split(" ")[0].split(",")[0]) - 1
        elif line.startswith("+"):
            number += 1
            if (
                path.endswith((".py", ".ts", ".tsx", ".js", ".go", ".java", ".rb"))
                and line[1:].strip(" \t)}];,")
                and not line.endswith("\\")
            ):
                found.append((path, number))
    return [found[n] for n in sorted({0, len(found) // 2, len(found) - 1})] if found else []


@contextmanager
def _edited(repo: Path, path: str, number: int):
    """Edit one line and stage it; what had an answer keeps it. Afterwards it is as it was."""
    file = repo / path
    text = file.read_bytes()
    lines = text.decode("utf-8").split("\n")
    lines[number - 1] += "  # mended" if path.endswith((".py", ".rb")) else "  // mended"
    try:
        file.write_text("\n".join(lines), encoding="utf-8")
        subprocess.run(["git", "-C", str(repo), "add", path], check=True)
        yield
    finally:
        file.write_bytes(text)
        subprocess.run(["git", "-C", str(repo), "add", path], check=True)


if __name__ == "__main__":
    sys.exit(main())
