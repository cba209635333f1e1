"""``agentreview run --all-worktrees``: one report over what is staged in every worktree."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentreview.console import colored, output, width
from agentreview.errors import UsageError
from agentreview.reporters import REPORTERS

if TYPE_CHECKING:
    from agentreview.commands.run import Target
    from agentreview.everywhere import Reviewed

SCHEMA = "agentreview/worktrees/1"
FORMATS = ("terminal", "json", "agent", "html")


def run_everywhere(
    path: str | None, targets: Sequence[Target], *, fresh: bool, color: str, quiet: bool, verbose: bool
) -> int:
    """Review, report grouped by worktree, and return the worst exit code: blocked, else incomplete, else passed."""
    from agentreview.everywhere import review_everywhere, worst

    wrong = next((target.format for target in targets if target.format not in FORMATS), None)
    if wrong is not None:
        raise UsageError(f"--all-worktrees has no {wrong} report", fix=f"Use one of {', '.join(FORMATS)}")
    found = list(review_everywhere(("--fresh",) if fresh else (), path))
    for target in targets:
        to_stdout = target.file == "-"
        painted = target.format == "terminal" and (colored(sys.stdout, color) if to_stdout else color == "always")
        wide = width(sys.stdout) if to_stdout else 100
        if target.format == "json":
            text = json.dumps({"schema": SCHEMA, "worktrees": [_json(one) for one in found]}, indent=2) + "\n"
        elif target.format == "html":
            text = _page(found)
        else:
            text = _grouped(found, target.format, painted=painted, wide=wide, quiet=quiet, verbose=verbose)
        try:
            if to_stdout:
                output(text)
            else:
                Path(target.file).write_bytes(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise UsageError(
                f"the report cannot be written to {'stdout' if to_stdout else target.file}: {error.strerror}",
                fix="Name a file in a directory that exists and can be written",
            ) from error
    return int(worst(found))


def _json(one: Reviewed) -> dict[str, Any]:
    from agentreview.reporters.jsonreport import to_json

    report = to_json(one.verdict) if one.verdict is not None else None
    told = {"path": one.path, "branch": one.branch, "exit_code": one.code}
    return {**told, "error": one.error or None, "left_out": one.left_out or None, "report": report}


def _page(found: Sequence[Reviewed]) -> str:
    from agentreview.reporters.page.report import Part, page

    return page(
        [Part(path=one.path, branch=one.branch, verdict=one.verdict, error=one.error, left_out=one.left_out) for one in found]
    )  # fmt: skip


def _grouped(found: Sequence[Reviewed], form: str, *, painted: bool, wide: int, quiet: bool, verbose: bool) -> str:
    """Each worktree's report below its name, then one line that counts; a worktree without a verdict is one line."""
    from agentreview.reporters.text import defuse, escape

    lines: list[str] = []
    for one in found:
        branch = one.branch or ("" if one.left_out else "detached")
        head = f"== {escape(one.path)}{f' ({escape(branch)})' if branch else ''}"
        lines.append(f"\x1b[1m{head}\x1b[0m" if painted else head)
        if one.verdict is None:
            lines.append(f"{'left out' if one.left_out else 'NOT REVIEWED'}: {escape(one.left_out or one.error)}")
        else:
            text = REPORTERS[form](one.verdict, color=painted, width=wide, verbose=verbose, quiet=quiet)
            lines += text.splitlines()
        lines.append("")
    lines.append(_counted(found))
    return "\n".join(map(defuse, lines)) + "\n"


def _counted(found: Sequence[Reviewed]) -> str:
    counts = Counter(
        one.verdict.decision.value if one.verdict is not None else "left out" if one.left_out else "not reviewed"
        for one in found
    )
    words = {"block": "blocked", "incomplete": "incomplete", "not reviewed": "not reviewed", "pass": "passed"}
    words["left out"] = "left out"
    told = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
    return f"{len(found)} worktree{'' if len(found) == 1 else 's'}: {told}"
