"""The page of verdicts: what was decided, what is open, what nobody looked at, and how it went before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from agentreview.model import Decision, Finding, Severity, Status, Verdict
from agentreview.records import dataclass, field
from agentreview.reporters.page import controls
from agentreview.reporters.page.chart import Judged, chart
from agentreview.reporters.page.document import document
from agentreview.reporters.page.findings import Line, article
from agentreview.reporters.page.markup import Content, Html, el, isolated, join, prose, section, table, text
from agentreview.reporters.summary import (
    BEYOND,
    LOOK_ALIKE,
    advice,
    bucket,
    commit_row,
    count,
    coverage_line,
    decision_line,
    handles,
    refused_rows,
    skipped_by_reason,
    tally,
    uncovered,
    unfinished,
)

NOTHING = "nothing to review"
OPENED = 20  # blocking findings that stand open when the page comes up
MANY = 100  # findings, above which those out of sight are laid out when they come into it
LISTED = 12  # unread files named for a reason before the rest is folded
_ORDER = {"blocking": 0, "advisory": 1, "waived": 2, "existing": 3}
_STYLE = {Decision.PASS: "passed", Decision.BLOCK: "blocked", Decision.INCOMPLETE: "incomplete"}
_SEVERITIES = tuple(sorted(Severity, key=lambda one: -one.rank))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One worktree (or the one change): its verdict, or why there is none. ``sides``: code by fingerprint, before and after."""

    path: str
    branch: str | None
    verdict: Verdict | None = None
    error: str = ""
    left_out: str = ""
    sides: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)


def page(parts: Sequence[Part], history: Sequence[Judged] | None = None) -> str:
    """Return the page. Without ``history`` it has no chart."""
    style, said = _decided(parts)
    single = len(parts) == 1
    sections: list[Content] = [
        _overview(parts),
        _unfinished(parts),
        _findings(parts),
        _waivers(parts),
        _unread(parts),
        _commits(parts),
        _history(history),
        _agents(parts),
        _notes(parts),
    ]
    where = parts[0].path if single else count(len(parts), "worktree")
    body = join(
        el("a", "Skip to the findings", href="#findings", class_="skip"),
        el(
            "header",
            el("div", el("p", "agentreview", class_="brand"), controls.theme(), class_="top"),
            el("h1", text(said), class_=f"decision {style}"),
            _asides(parts),
        ),
        el("main", *sections, id="main"),
        el("footer", el("h2", "What no report of this kind says"), *(el("p", one) for one in BEYOND)),
    )
    return document(f"{said.partition(':')[0]} - {where}", body)


def _verdicts(parts: Sequence[Part]) -> list[tuple[Part, Verdict]]:
    return [(part, part.verdict) for part in parts if part.verdict is not None]


def _style_of(part: Part) -> str:
    if part.verdict is None:
        return "leftout" if part.left_out else "incomplete"
    if _word(part) == NOTHING:
        return "leftout"
    unread = part.verdict.decision is Decision.PASS and part.verdict.skipped and not part.verdict.files
    return "incomplete" if unread else _STYLE[part.verdict.decision]


def _word(part: Part) -> str:
    """The decision as a word; where there was nothing, it is no praise."""
    if part.verdict is None:
        return "incomplete"
    empty = part.verdict.decision is Decision.PASS and part.verdict.base == part.verdict.tree
    return NOTHING if empty else _STYLE[part.verdict.decision]


def _decided(parts: Sequence[Part]) -> tuple[str, str]:
    """How the whole is shown, and the decision in words."""
    if len(parts) == 1 and parts[0].verdict is not None:
        style = _style_of(parts[0])
        return "plain" if style == "leftout" else style, decision_line(parts[0].verdict)
    asked = [part for part in parts if not part.left_out]
    counts = Counter(_word(part) for part in asked)
    words = {"blocked": "blocked", "incomplete": "incomplete", "passed": "passed", NOTHING: f"with {NOTHING}"}
    told = ", ".join(f"{counts[word]} {shown}" for word, shown in words.items() if counts[word])
    of = count(len(asked), "worktree")
    if counts["blocked"]:
        return "blocked", f"BLOCKED: {of}: {told}"
    if counts["incomplete"]:
        return "incomplete", f"INCOMPLETE: {of}: {told}. What could not be judged is not a pass"
    if not asked:
        return "plain", f"NOTHING REVIEWED: {count(len(parts), 'worktree')} left out"
    unread = any(_style_of(part) == "incomplete" for part in asked)
    return "incomplete" if unread else "passed" if counts["passed"] else "plain", f"PASSED: {of}: {told}"


def _asides(parts: Sequence[Part]) -> Html:
    """What is under the headline: the subject, and first of all what nobody looked at."""
    found = _verdicts(parts)
    files = sum(len(verdict.skipped) for _, verdict in found)
    runs = sum(len(unfinished(verdict)) for _, verdict in found)
    dark = sum(part.verdict is None and not part.left_out for part in parts)
    loose = sum(len(uncovered(verdict)) for _, verdict in found)
    read = sum(verdict.files for _, verdict in found)
    full = text("every file of the change was reviewed" if read else "there was no file to review")
    unseen = [
        join(el("a", f"{count(files, 'file')} not reviewed", href="#unread")) if files else None if dark else full,
        join(el("a", f"{count(runs, 'agent')} did not finish", href="#unfinished")) if runs else None,
        join(el("a", f"{count(dark, 'worktree')} could not be judged", href="#unfinished")) if dark else None,
        join(el("a", f"{count(loose, 'commit')} without a receipt", href="#commits")) if loose else None,
    ]  # fmt: skip
    lines: list[Content] = [
        el("p", *_between(unseen), class_="unseen" if files or runs or dark or loose else "unseen none")
    ]
    if len(parts) == 1 and found:
        part, verdict = found[0]
        facts: list[tuple[str, Content]] = [("Subject", isolated(verdict.source))]
        facts += [("Worktree", isolated(part.path, "code"))] if part.path else []
        facts += [("Branch", isolated(part.branch, "code"))] if part.branch else []
        facts += [
            ("From", el("code", verdict.base[:12])),
            ("To", el("code", verdict.tree[:12])),
            ("Settings", join(isolated(verdict.configured_in or "defaults", "code"), " ", el("code", verdict.configuration[:15]))),
        ]  # fmt: skip
        lines.append(el("dl", *(el("div", el("dt", term), el("dd", told)) for term, told in facts), class_="facts"))
    versions = sorted({verdict.version for _, verdict in found})
    lines.append(el("p", f"agentreview {', '.join(versions)}", class_="quiet") if versions else None)
    return join(*lines)


def _between(items: Sequence[Html | None]) -> list[Content]:
    found: list[Content] = []
    for item in items:
        if item is not None:
            found += [", ", item] if found else [item]
    return found


def _overview(parts: Sequence[Part]) -> Html:
    found = _verdicts(parts)
    counts: Counter[str] = Counter()
    for _, verdict in found:
        counts.update(tally(verdict))
    words = {
        "blocking": "must be cleared", "advisory": "advisory", "waived": "waived", "existing": "there before",
        "skipped": "files not reviewed",
    }  # fmt: skip
    tiles = [
        el("li", el("strong", str(counts[key])), el("span", word), class_=f"tile {key}{'' if counts[key] else ' zero'}")
        for key, word in words.items()
    ]
    tiles.append(
        el("li", el("strong", str(sum(v.files for _, v in found))), el("span", "files reviewed"), class_="tile")
    )
    heads = ("Worktree", "Decision", *(one.value.capitalize() for one in _SEVERITIES), "Waived", "Not reviewed")
    rows: list[tuple[Content, ...]] = [_row(index, part) for index, part in enumerate(parts)]
    shown = table(heads, rows, caption="Open findings (blocking and advisory) by worktree and severity", numbers=6)
    return el("section", el("h2", "Overview", id="overview"), el("ul", *tiles, class_="tiles"), shown, aria_labelledby="overview")  # fmt: skip


def _row(index: int, part: Part) -> tuple[Content, ...]:
    name = isolated(part.branch or part.path or "this change")
    head = join(el("a", name, href=f"#part-{index}") if part.verdict else name, _path(part))
    if part.verdict is None:
        told = f"left out: {part.left_out}" if part.left_out else f"not judged: {part.error}"
        return (head, el("span", told, class_=f"state {_style_of(part)}"), "-", "-", "-", "-", "-", "-")
    live = [f for f in part.verdict.findings if bucket(f) in ("blocking", "advisory")]
    by = Counter(f.severity for f in live)
    counts = tally(part.verdict)
    cells = [str(by[one]) for one in _SEVERITIES] + [str(counts["waived"]), str(counts["skipped"])]
    return (head, el("span", _word(part), class_=f"state {_style_of(part)}"), *cells)


def _path(part: Part) -> Html | None:
    return join(el("br"), isolated(part.path, "code", class_="quiet")) if part.path and part.branch else None


def _unfinished(parts: Sequence[Part]) -> Html | None:
    """What wanted to look and could not: agents, and whole worktrees."""
    rows: list[Content] = []
    for part in parts:
        named = join(" in ", isolated(part.branch or part.path)) if len(parts) > 1 else None
        if part.verdict is None and not part.left_out:
            rows.append(el("li", el("strong", isolated(part.path)), ": not judged. ", prose(part.error)))
        for run in unfinished(part.verdict) if part.verdict else ():
            need = "required" if run.required else "not required"
            told = join(
                f" ({need}) {run.outcome.value}: ",
                prose(run.reason or "no reason given"),
                f". {advice(run)[0].upper()}{advice(run)[1:]}",
            )
            rows.append(el("li", el("strong", isolated(run.agent)), named, told))
    return section("unfinished", f"Did not finish ({len(rows)})", el("ul", *rows), style="warn") if rows else None


def _findings(parts: Sequence[Part]) -> Html:
    found = [(index, part, verdict) for index, part in enumerate(parts) if (verdict := part.verdict) is not None]
    total = sum(len(verdict.findings) for _, _, verdict in found)
    opened = OPENED
    groups: list[Content] = []
    for index, part, verdict in found:
        handle = handles(verdict)
        articles = []
        ordered = sorted(verdict.findings, key=_worst_first)
        for number, one in enumerate(ordered):
            stands = one.status is Status.BLOCKING and opened > 0
            opened -= stands
            lines = part.sides.get(one.fingerprint, ())
            articles.append(
                article(one, handle[one.fingerprint], f"f-{index}-{number}", part=index, opened=stands, sides=lines)
            )
        name = part.branch or part.path or "this change"
        none = el("p", decision_line(verdict), class_="quiet") if not articles else None
        groups.append(
            el(
                "section", el("h3", isolated(name), el("span", f" {count(len(articles), 'finding')}", class_="quiet"), id=f"part-{index}"),
                none, *articles, aria_labelledby=f"part-{index}", class_="part",
            )
        )  # fmt: skip
    names = [(index, part.branch or part.path or "this change") for index, part, _ in found]
    every = [finding for _, _, verdict in found for finding in verdict.findings]
    form = controls.filters(every, names) if every else None
    return section("findings", f"Findings ({total})", form, *groups, style="many" if total > MANY else "")


def _worst_first(finding: Finding) -> tuple[int, int, str, int, str]:
    return (_ORDER[bucket(finding)], -finding.severity.rank, finding.path, finding.start_line, finding.rule)


def _waivers(parts: Sequence[Part]) -> Html | None:
    rows: list[tuple[Content, ...]] = []
    for part, verdict in _verdicts(parts):
        for one in sorted(verdict.findings, key=lambda f: (f.path, f.start_line, f.rule)):
            if one.status is not Status.WAIVED:
                continue
            waiver = one.waiver
            new = waiver is not None and waiver.added_here
            added = f"by this change{f', approved by {waiver.approved_by}' if waiver and waiver.approved_by else ''}"
            where = join(isolated(f"{one.path}:{one.start_line}", "code"), _in(part, parts))
            rows.append(
                (
                    join(isolated(one.rule, "code"), " ", el("span", one.severity.value, class_=f"chip {one.severity.value}")),
                    where,
                    prose(waiver.reason) if waiver and waiver.reason else "no reason given",
                    isolated(waiver.person) if waiver and waiver.person else "-",
                    el("time", waiver.expires[:16]) if waiver and waiver.expires else "no end",
                    el("strong", added) if new else "before",
                )
            )  # fmt: skip
    if not rows:
        return None
    shown = table(("Rule", "Where", "Reason", "By", "Until", "Added"), rows, caption="Findings that a waiver accepts")
    return section("waivers", f"Waived ({len(rows)})", shown)


def _in(part: Part, parts: Sequence[Part]) -> Html | None:
    return join(" in ", isolated(part.branch or part.path)) if len(parts) > 1 else None


def _of(part: Part, parts: Sequence[Part]) -> Html | None:
    return join(isolated(part.branch or part.path), ": ") if len(parts) > 1 else None


def _unread(parts: Sequence[Part]) -> Html | None:
    """Files that nobody looked at, by reason; never a number alone."""
    groups: list[Content] = []
    total = 0
    for part, verdict in _verdicts(parts):
        for reason, skips in skipped_by_reason(verdict).items():
            total += len(skips)
            rows = [el("li", isolated(skip.path, "code"), f" {skip.detail}" if skip.detail else None) for skip in skips]
            rest = (
                el("details", el("summary", f"{len(rows) - LISTED} more"), el("ul", *rows[LISTED:]))
                if len(rows) > LISTED
                else None
            )
            head = el("h3", text(reason), f": {count(len(skips), 'file')}", _in(part, parts))
            groups.append(el("div", head, el("ul", *rows[:LISTED]), rest, class_="reason"))
    return section("unread", f"Not reviewed ({count(total, 'file')})", *groups, style="warn") if groups else None


def _commits(parts: Sequence[Part]) -> Html | None:
    said: list[Content] = []
    for _, verdict in _verdicts(parts):
        if verdict.coverage is None or not verdict.coverage.commits:
            continue
        missing = uncovered(verdict)
        rows = [*map(commit_row, missing), *refused_rows(verdict.coverage), *verdict.coverage.notes]
        said.append(el("p", text(coverage_line(verdict))))
        said.append(el("ul", *(el("li", prose(row)) for row in rows)) if rows else None)
        said.append(el("p", LOOK_ALIKE, class_="quiet") if missing else None)
    return section("commits", "Which commits a gate saw", *said) if said else None


def _history(history: Sequence[Judged] | None) -> Html | None:
    return None if history is None else section("history", "Verdicts over time", chart(history))


def _agents(parts: Sequence[Part]) -> Html | None:
    rows: list[tuple[Content, ...]] = []
    for part, verdict in _verdicts(parts):
        for run in verdict.runs:
            named = join(isolated(run.agent, "code"), _in(part, parts))
            need = "required" if run.required else "not required"
            told = join(run.outcome.value, f": {run.reason}" if run.reason else None)
            rows.append((named, told, need, isolated(run.model) if run.model else "-", el("code", run.digest[:15])))
    if not rows:
        return None
    heads = ("Agent", "Outcome", "Needed", "Model", "Digest of its rules")
    shown = table(heads, rows, caption="Agents, and how their runs ended")
    finished = sum(run.outcome.value == "completed" for _, verdict in _verdicts(parts) for run in verdict.runs)
    folded = el("details", el("summary", f"{finished} of {len(rows)} runs completed"), shown)
    return section("agents", "Who looked", folded)


def _notes(parts: Sequence[Part]) -> Html | None:
    rows = [el("li", _of(part, parts), prose(note)) for part, verdict in _verdicts(parts) for note in verdict.notes]
    return section("notes", f"Notes ({len(rows)})", el("ul", *rows)) if rows else None
