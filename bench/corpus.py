#!/usr/bin/env python3
"""Measure detection on a corpus of real commits: recall, noise and time, as a table anybody can make again.

    python bench/corpus.py --corpus DIR --mirror DIR [--work DIR] [--only any,blocking,as-new] [ID...]

``--corpus`` is a folder with ``dev.jsonl`` (the labelled commits), ``materialise.py`` and ``score.py``; ``--mirror`` one
with the repositories it names, each as OWNER+NAME with its history. Three runs on scratch repositories made from them:

    any       what a reviewer would be shown
    blocking  what would stop the commit
    as-new    any, with the defective file shown as newly added: no removed control gives it away

each with no configuration at all, the state of a repository on its first day; ``--facts`` adds a run of each with what
`agentreview init` proposes there, unconfirmed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = {"any": "any", "blocking": "blocking", "as-new": "any"}


def main() -> int:
    """Materialise what is missing, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("ids", nargs="*", help="cases; without any, all")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--mirror", type=Path, required=True)
    parser.add_argument(
        "--work", type=Path, help="where the scratch repositories are kept (default: a temporary folder)"
    )
    parser.add_argument("--only", default="any,blocking,as-new", help="which runs, separated by commas")
    parser.add_argument("--facts", action="store_true", help="also with what init proposes, unconfirmed")
    parser.add_argument("--command", default=f"{sys.executable} -m agentreview run --fresh --format json")
    parser.add_argument("--jobs", default="2")
    options = parser.parse_args()
    for name in ("dev.jsonl", "materialise.py", "score.py"):
        if not (options.corpus / name).is_file():
            parser.error(f"{options.corpus} has no {name}: --corpus is the folder of the corpus")
    work = options.work or Path(tempfile.mkdtemp(prefix="agentreview-corpus-"))
    unknown = set(options.only.split(",")) - set(RUNS)
    if unknown:
        parser.error(f"--only knows {', '.join(RUNS)}, not {', '.join(sorted(unknown))}")
    for name in options.only.split(","):
        cases = work / ("as-new" if name == "as-new" else "cases")
        materialise(options, cases, as_new=name == "as-new")
        score(options, cases, name, "no configuration")
    if options.facts:
        cases = work / "with-facts"
        if not cases.is_dir():
            shutil.copytree(work / "cases", cases, symlinks=True)
            propose(cases)
        for name in options.only.split(","):
            if name != "as-new":
                score(options, cases, name, "facts of init, unconfirmed")
    return 0


def materialise(options: argparse.Namespace, cases: Path, *, as_new: bool) -> None:
    """Make the scratch repositories, unless they are there."""
    if cases.is_dir() and any(cases.iterdir()):
        return
    argv = [
        sys.executable,
        str(options.corpus / "materialise.py"),
        "--mirror",
        str(options.mirror),
        "--out",
        str(cases),
    ]
    argv += ["--max-files", "300", *(["--as-new"] if as_new else []), *(options.ids or ["--all"])]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, cwd=options.corpus)


def score(options: argparse.Namespace, cases: Path, name: str, state: str) -> None:
    """Run the gate on every case and print what it found."""
    print(f"\n== {name}, {state}", flush=True)
    argv = [
        sys.executable,
        str(options.corpus / "score.py"),
        "--cases",
        str(cases),
        "--manifest",
        str(options.corpus / "dev.jsonl"),
    ]
    argv += ["--status", RUNS[name], "--jobs", options.jobs, "--command", options.command, *options.ids]
    subprocess.run(argv, check=True)


def propose(cases: Path) -> None:
    """Stage what init proposes in each case; a repository it proposes nothing for stays as it is."""
    for case in sorted(cases.iterdir()):
        made = subprocess.run(
            [sys.executable, "-m", "agentreview", "init", "--force"], cwd=case, capture_output=True, check=False
        )
        if made.returncode == 0 and (case / "agentreview.toml").is_file():
            for argv in (
                ["add", "agentreview.toml"],
                ["commit", "-qm", "facts", "--no-verify", "--only", "agentreview.toml"],
            ):
                subprocess.run(["git", *argv], cwd=case, capture_output=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
