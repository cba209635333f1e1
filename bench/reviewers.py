#!/usr/bin/env python3
"""Measure what model reviewers make a commit wait for, and what they send. Nothing leaves the machine.

    python bench/reviewers.py wait [--seconds 2] [--rounds 3]
    python bench/reviewers.py tokens --cases DIR --manifest FILE [--reviewer NAME] [ID...]

``wait``: whole processes against a local server that takes ``--seconds`` for every answer, one reviewer and six in
turns. Six should take at most 1.25 times as long as one.

``tokens``: what is sent about each case, against the whole diff with the whole files it touches; and what is sent after
one unit of the change was edited again. Counted is what differs from request to request; the prefix that requests share
(role, rules, form of the answer) is counted apart, since it is read from the provider's cache at a tenth of the price,
and any other reader would have one. ``DIR`` holds repositories with a staged change, labelled by the JSON lines of
``FILE``, as bench/corpus.py makes them. Tokens are estimated as everywhere here: a third of the bytes.
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
from dataclasses import replace
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
        self.tokens = self.requests = self.prefix = 0
        self.lock = threading.Lock()

    def ask(self, request, deadline):  # noqa: ARG002
        from agentreview.llm import Answer, Usage
        from agentreview.modelsettings import known_model
        from agentreview.spend import estimate

        with self.lock:
            self.requests += 1
            bare = replace(request, system=(), schema=None)
            changing = estimate(bare, known_model(request.model)).input_tokens
            self.tokens += changing
            self.prefix += estimate(request, known_model(request.model)).input_tokens - changing
        text = json.dumps(answer(request.messages[0][1]))
        return Answer(text, "end_turn", Usage(1, 1), 0.0, request.model)


def sent(options: argparse.Namespace) -> int:
    from agentreview.config import Config
    from agentreview.evaluation.cases import from_manifest
    from agentreview.evaluation.play import prepared

    total: dict[str, list[int]] = {
        "packets": [],
        "files": [],
        "first": [],
        "again": [],
        "prefix": [],
        "prefix again": [],
    }
    print(f"{'case':<40} {'whole files':>12} {'packets':>9} {'share':>6} {'after an edit':>14} {'share':>6}")
    with tempfile.TemporaryDirectory(prefix="agentreview-bench-") as folder:
        for case in from_manifest(options.cases.absolute(), options.manifest, options.ids):
            copy = Path(folder, case.id)
            shutil.copytree(case.repo, copy, symlinks=True, ignore=shutil.ignore_patterns("agentreview"))
            store = Path(folder, "store", case.id)
            try:
                first, whole = _read(replace(case, repo=str(copy)), options.reviewer, store, prepared, Config())
                if not first.requests:
                    continue
                again = _edited(copy, case, options.reviewer, store, prepared, Config())
            finally:
                shutil.rmtree(copy, ignore_errors=True)
            total["packets"].append(first.tokens)
            total["files"].append(whole)
            total["prefix"].append(first.prefix)
            line = f"{case.id:<40} {whole:>12,} {first.tokens:>9,} {first.tokens / whole:>6.0%}"
            if again is not None:
                total["first"].append(first.tokens)
                total["again"].append(again.tokens)
                total["prefix again"].append(again.prefix)
                line += f" {again.tokens:>14,} {again.tokens / first.tokens:>6.0%}"
            print(line, flush=True)
    if not total["packets"]:
        print("no case with anything to read")
        return 1
    for name, one, other in (("all", "files", "packets"), ("after an edit", "first", "again")):
        if total[one]:
            share = sum(total[other]) / sum(total[one])
            shares = sorted(b / a for a, b in zip(total[one], total[other], strict=True))
            middle = median(shares)
            print(
                f"{name}: {sum(total[other]):,} of {sum(total[one]):,} tokens = {share:.1%}; median of cases {middle:.0%}"
            )
    return 0


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


def _edited(repo: Path, case, reviewer: str, store: Path, prepared, config) -> Silent | None:
    """Edit one line that the change added, stage it, and read again: what had an answer keeps it."""
    diff = subprocess.run(
        ["git", "-C", str(repo), "diff", "--cached", "-U0", "--no-renames"], capture_output=True, check=True
    ).stdout.decode("utf-8", "replace")
    path, number = "", 0
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            path = line[6:]
        elif line.startswith("@@"):
            number = int(line.split("+")[1].split(" ")[0].split(",")[0]) - 1
        elif line.startswith("+"):
            number += 1
            if path.endswith((".py", ".ts", ".tsx", ".js", ".go", ".java", ".rb")) and line[1:].strip(" \t)}];,"):
                break
    else:
        return None
    file = repo / path
    lines = file.read_text(encoding="utf-8").split("\n")
    comment = "  # mended" if path.endswith((".py", ".rb")) else "  // mended"
    lines[number - 1] += comment
    file.write_text("\n".join(lines), encoding="utf-8")
    subprocess.run(["git", "-C", str(repo), "add", path], check=True)
    again, _ = _read(replace(case, repo=str(repo)), reviewer, store, prepared, config)
    return again


if __name__ == "__main__":
    sys.exit(main())
