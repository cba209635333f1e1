"""The report in words: for a terminal, as Markdown, and as JSON (``agentreview/learn/1``). Pure.

Whatever comes from the repository is escaped. The JSON schema is ``agentreview/schemas/learn-1.schema.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from agentreview.errors import ExitCode
from agentreview.learn.propose import ASKED, NOISY, Proposal
from agentreview.learn.report import Need, PolicyReport, Report, off, silent
from agentreview.reporters.summary import count
from agentreview.reporters.text import clip, defuse, escape, wrap

SCHEMA = "agentreview/learn/1"
SHORT = 12  # characters of a commit id
FAILED_SHOWN = 20
_HEAD = ("policy", "blocks", "advises", "findings", "open")


def exit_code(report: Report) -> ExitCode:
    """A report never blocks: 0, or 3 when some commit could not be reviewed."""
    return ExitCode.INCOMPLETE if report.failed else ExitCode.PASS


def to_json(report: Report, proposals: Sequence[Proposal], toml: str) -> str:
    """Return everything, always with all samples."""
    cost = report.cost
    return json.dumps({
        "schema": SCHEMA,
        "tool": {"name": "agentreview", "version": report.version},
        "exit_code": int(exit_code(report)),
        "source": report.source, "newest": report.newest, "oldest": report.oldest, "more": report.more,
        "configuration": {"path": report.config_path, "digest": report.config_digest},
        "commits": {
            "total": report.commits, "judged": report.judged, "blocked": report.blocked, "advised": report.advised,
            "silent": report.silent, "unread": report.unread, "unreviewed": report.unreviewed,
            "held_back_by_facts": report.held_back, "known_before": report.known,
        },
        "policies": [_policy(policy, report) for policy in report.policies],
        "unset_facts": _needs(report.unset), "unconfirmed_facts": _needs(report.unconfirmed),
        "not_reviewed": [{"commit": sha, "reason": reason} for sha, reason in report.failed],
        "files_not_reviewed": [{"reason": r, "files": files, "commits": n} for r, files, n in report.skipped],
        "seconds": {
            "median": cost.median, "p95": cost.p95, "total": cost.total,
            "slowest": [{"commit": sha, "seconds": took} for sha, took in cost.slowest],
        },
        "proposals": [
            {"table": p.table, "key": p.key, "value": p.value, "active": p.active, "evidence": list(p.evidence)}
            for p in proposals
        ],
        "toml": toml,
    }, indent=2, allow_nan=False) + "\n"  # fmt: skip


def _needs(needs: Sequence[Need]) -> list[dict[str, Any]]:
    return [
        {"fact": n.fact, "questions": n.questions, "commits": n.commits, "policies": list(n.policies)} for n in needs
    ]


def _policy(policy: PolicyReport, report: Report) -> dict[str, Any]:
    return {
        "id": policy.id, "title": policy.title, "severity": policy.severity, "level": policy.level,
        "commits_blocked": policy.blocked, "share_blocked": _share(policy.blocked, report),
        "commits_advised": policy.advised, "share_advised": _share(policy.advised, report),
        "findings": {
            "blocking": policy.blocking, "advisory": policy.advisory, "waived": policy.waived,
            "questions": policy.questions,
        },
        "samples": [
            {"commit": sha, "path": s.path, "line": s.line, "unit": s.unit, "status": s.status, "message": s.message}
            for sha, s in policy.samples
        ],
    }  # fmt: skip


def _share(commits: int, report: Report) -> float:
    return round(commits / report.judged, 4) if report.judged else 0.0


def terminal(report: Report, toml: str, *, width: int = 100, samples: int = 3) -> str:
    """Lay the report out for ``width`` cells, with that many samples of each policy."""
    lines = [*_summary(report, width), "", *_table(report), "", *_legend(report, width)]
    lines += [*_samples(report, width, samples), *_unreviewed(report, width), *_cost(report, width)]
    lines += ["", *(["Proposed (nothing was changed)"] if toml else wrap(_nothing(report), width))]
    lines += ["", *toml.rstrip("\n").split("\n")] if toml else []
    return "\n".join(map(defuse, lines)) + "\n"


def markdown(report: Report, toml: str, *, samples: int = 3) -> str:
    """Lay the report out for a wiki or a pull request."""
    lines = ["## agentreview learn", "", *_summary(report, 10_000), "", f"| {' | '.join(_HEAD)} |", "|---|---:|---:|---:|---:|"]  # fmt: skip
    lines += [f"| {' | '.join((f'`{row[0]}`', *row[1:]))} |" for row in _rows(report)]
    lines += ["", *_legend(report, 10_000), "", *_fenced("text", _samples(report, 100, samples))]
    lines += [*_fenced("text", _unreviewed(report, 100)), *_cost(report, 10_000), ""]
    lines += ["Proposed (nothing was changed):", "", *_fenced("toml", toml.rstrip("\n").split("\n"))] if toml else [_nothing(report)]  # fmt: skip
    return "\n".join(lines).rstrip("\n") + "\n"


def _fenced(language: str, lines: Sequence[str] | Iterator[str]) -> list[str]:
    """A block whose fence is longer than any run of backticks in it."""
    body = list(lines)
    while body and not body[-1]:
        body.pop()
    longest = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *body, fence, ""] if body else []


def _summary(report: Report, width: int) -> Iterator[str]:
    older = "; there are older ones: --commits N" if report.more else ""
    span = f"{report.oldest[:SHORT]} to {report.newest[:SHORT]}" if report.commits > 1 else report.newest[:SHORT]
    said = f"{count(report.commits, 'commit')} of {escape(report.source)}, {span}, without merges{older}"
    where = f"the configuration staged here now ({escape(report.config_path)})" if report.config_path else "the default configuration (none is staged here)"  # fmt: skip
    yield from wrap(said, width)
    yield from wrap(f"each judged under {where}, not under its own", width)
    now = report.commits - report.known - report.unreviewed
    yield from wrap(f"{now} reviewed now, {report.known} known from before", width)
    yield ""
    rows = (
        (report.blocked, "would have been blocked"),
        (report.advised, "would have passed with advice"),
        (report.silent, "were reviewed, and nothing was found"),
        (report.unread, "hold nothing that is read"),
        (report.unreviewed, "could not be reviewed (below)"),
    )
    for number, what in rows:
        share = f"{_percent(number, report.commits)}" if number else ""
        if number or what.startswith(("would", "were")):
            yield f"{number:>6}  {share:>7}  {what}"
    if report.held_back:
        more = f"up to {count(report.held_back, 'more commit')} would be blocked once facts are set and confirmed (column open)"  # fmt: skip
        yield from wrap(more, width)


def _percent(number: int, total: int) -> str:
    return f"{100 * number / total:.1f} %" if total else ""


def _rows(report: Report) -> list[tuple[str, str, str, str, str]]:
    def cell(commits: int) -> str:
        return f"{commits} {_percent(commits, report.judged):>7}" if commits else "-"

    return [
        (
            p.id + {"advisory": " (advisory)", "off": " (off)"}.get(p.level, ""),
            cell(p.blocked),
            cell(p.advised),
            str(p.blocking + p.advisory),
            str(p.questions or "-"),
        )
        for p in report.alarmed
    ]


def _table(report: Report) -> Iterator[str]:
    rows = [_HEAD, *_rows(report)]
    if len(rows) == 1:
        return
    sizes = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        cells = [f"{row[0]:<{sizes[0]}}", *(f"{cell:>{size}}" for cell, size in zip(row[1:], sizes[1:], strict=True))]
        yield "  ".join(cells)


def _legend(report: Report, width: int) -> Iterator[str]:
    if report.alarmed:
        yield from wrap(
            "blocks, advises: commits (advises: and not blocked by it), and their share of those that could be reviewed; "
            "open: findings that only unset or unconfirmed facts keep from blocking",
            width,
        )
    for names, what in ((silent(report), "found nothing"), (off(report), "off, so nothing is known about it")):
        if names:
            yield from wrap(f"{what} ({len(names)}): {', '.join(names)}", width)


def _samples(report: Report, width: int, samples: int) -> Iterator[str]:
    for policy in report.alarmed if samples else ():
        shown = policy.samples[:samples]
        waived = f", {policy.waived} waived" if policy.waived else ""
        yield ""
        yield clip(f"{policy.id}: {policy.title}", width)
        yield f"  {len(shown)} of {count(policy.blocking + policy.advisory, 'finding')}{waived}"
        for sha, sample in shown:
            unit = f" in {sample.unit}" if sample.unit else ""
            mark = "blocks" if sample.status == "blocking" else "advises"
            yield clip(f"  {sha[:SHORT]} {mark} {escape(f'{sample.path}:{sample.line}{unit}')}", width)
            yield "    " + clip(escape(" ".join(sample.message.split())), width - 4)


def _unreviewed(report: Report, width: int) -> Iterator[str]:
    if report.failed:
        yield ""
        yield f"Not, or not wholly, reviewed ({count(len(report.failed), 'commit')})"
        for sha, reason in report.failed[:FAILED_SHOWN]:
            yield clip(f"  {sha[:SHORT]} {escape(reason)}", width)
        if len(report.failed) > FAILED_SHOWN:
            yield f"  … and {len(report.failed) - FAILED_SHOWN} more (--format json lists them)"
    if report.skipped:
        yield ""
        yield "Files that were not reviewed"
        for reason, files, commits in report.skipped:
            yield f"  {escape(reason)}: {count(files, 'file')} in {count(commits, 'commit')}"


def _cost(report: Report, width: int) -> Iterator[str]:
    cost = report.cost
    if cost.slowest:
        yield ""
        yield from wrap(
            f"processor time for one commit, in seconds, without the start of a process: median {cost.median:.2f}, 95 % within "
            f"{cost.p95:.2f}, together {cost.total:.1f}; slowest: "
            + ", ".join(f"{sha[:SHORT]} {took:.1f}" for sha, took in cost.slowest),
            width,
        )


def _nothing(report: Report) -> str:
    if not report.judged:
        return "Nothing is proposed: no commit could be reviewed."
    return (
        f"Nothing is proposed: no policy blocks more than {NOISY:.0%} of the commits, "
        f"and no fact leaves questions open in more than {ASKED:.0%}."
    )
