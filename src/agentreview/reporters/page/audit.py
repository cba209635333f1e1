"""The page for an auditor: what receipts say of a period, commit by commit, with what is missing first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agentreview.reporters.page import controls
from agentreview.reporters.page.chart import chart
from agentreview.reporters.page.document import document
from agentreview.reporters.page.markup import Content, Html, el, isolated, join, prose, section, table, text
from agentreview.reporters.page.record import (
    ADVISORY,
    BYPASSED,
    CARRIED,
    EMPTY,
    MISSING,
    REVIEWED,
    SIGNED,
    STRANGER,
    UNCHECKED,
    Audit,
    Cited,
    Recorded,
)
from agentreview.reporters.summary import BEYOND, count

NOTHING_HERE = (
    "No receipt says that no gate left one here, and no more: --no-verify, a hook that was skipped or is not installed, a rebase"
    " over changed files and an edit on the web look alike. Authors and days of commits are what commits state."
)
_SHORT = 12
_STYLE = {REVIEWED: "passed", CARRIED: "passed", BYPASSED: "blocked", MISSING: "incomplete", EMPTY: "leftout"}
_SIGNS = {SIGNED: "passed", STRANGER: "incomplete", ADVISORY: "plain", UNCHECKED: "incomplete"}


def page(audit: Audit) -> str:
    """Return the page."""
    title = f"Review record, {audit.first} to {audit.last}"
    body = join(
        el("a", "Skip to the commits", href="#commits", class_="skip"),
        el(
            "header",
            el("div", el("p", "agentreview", class_="brand"), controls.theme(), class_="top"),
            el("h1", title),
            el("p", summary(audit), class_=f"decision {_state(audit)}"),
            _about(audit),
        ),
        el(
            "main", _totals(audit), _exceptions(audit), _waivers(audit), _unread(audit), _commits(audit), _policies(audit),
            _cited(audit), _settings(audit), _verify(audit), id="main",
        ),
        el("footer", el("h2", "What this record does not say"), *(el("p", one) for one in BEYOND), el("p", NOTHING_HERE)),
    )  # fmt: skip
    return document(f"{title} - {audit.repository}", body)


def summary(audit: Audit) -> str:
    """The record in one sentence, what is missing last."""
    counts = Counter(one.standing for one in audit.commits)
    changed = len(audit.commits) - counts[EMPTY]
    reviewed = counts[REVIEWED] + counts[CARRIED]
    said = f"{reviewed} of {count(changed, 'commit')} with changes {'was' if reviewed == 1 else 'were'} reviewed"
    parts = [
        f"{counts[BYPASSED]} let through without a review" if counts[BYPASSED] else "",
        f"{counts[MISSING]} without a receipt" if counts[MISSING] else "",
        f"{count(len(audit.refused), 'receipt')} refused" if audit.refused else "",
        "signatures could not be checked" if audit.unchecked else "",
    ]
    return "; ".join([said, *filter(None, parts)]) + "."


def _state(audit: Audit) -> str:
    changed = [one.standing for one in audit.commits if one.standing != EMPTY]
    if audit.refused or audit.unchecked or any(standing in (BYPASSED, MISSING) for standing in changed):
        return "incomplete"
    return "passed" if changed else "plain"


def _about(audit: Audit) -> Html:
    facts: list[tuple[str, Content]] = [
        ("Repository", isolated(audit.repository)),
        ("Up to commit", el("code", audit.head[:_SHORT])),
        ("Branch", isolated(audit.branch or "(detached)", "code")),
        ("Written", audit.made_at),
        ("By", f"agentreview {audit.version}"),
        ("Signers", audit.signers),
    ]
    told = el("dl", *(el("div", el("dt", term), el("dd", said)) for term, said in facts), class_="facts")
    days = (
        "Days are UTC, and are those that commits state. Nothing was reviewed to write this: it is what receipts say."
    )
    return join(told, el("p", days, class_="quiet"))


def _totals(audit: Audit) -> Html:
    counts = Counter(one.standing for one in audit.commits)
    tiles = [
        ("", len(audit.commits), "commits"),
        ("", counts[REVIEWED] + counts[CARRIED], "reviewed"),
        ("bypassed", counts[BYPASSED], "let through unreviewed"),
        ("skipped", counts[MISSING], "without a receipt"),
        ("", sum(len(one.waived) for one in audit.commits), "findings waived"),
        ("skipped", sum(len(one.unread) for one in audit.commits), "files not reviewed"),
        ("bad", len(audit.refused), "receipts refused"),
    ]
    shown = [
        el("li", el("strong", str(number)), el("span", word), class_=f"tile {style}{'' if number else ' zero'}")
        for style, number, word in tiles
    ]
    signed = Counter(one.signature for one in audit.commits if one.signature)
    told = ", ".join(f"{signed[word]} {word}" for word in (SIGNED, STRANGER, ADVISORY, UNCHECKED) if signed[word])
    return section(
        "totals", "Totals", el("ul", *shown, class_="tiles"), el("p", f"Receipts of these commits: {told}.") if told else None,
        el("h3", "Verdicts in this period, also of changes that were never committed"), chart(audit.judged),
    )  # fmt: skip


def _who(one: Recorded) -> Html:
    return join(el("code", one.oid[:_SHORT]), el("br"), el("time", one.at[:10]))


def _person(stated: str) -> Html:
    """``Name <address>``, the address below the name."""
    name, found, address = stated.rpartition(" <")
    return join(isolated(name), el("br"), isolated(address[:-1], class_="quiet")) if found else isolated(stated)


def _exceptions(audit: Audit) -> Html:
    """What an auditor asks about first. That there is nothing is said as well."""
    parts: list[Content] = []
    bypassed = [one for one in audit.commits if one.bypass]
    missing = [one for one in audit.commits if one.standing == MISSING]
    if bypassed:
        let = [
            (
                _who(one),
                prose(one.subject),
                _person(one.let_by),
                el("time", one.let_at[:16]),
                prose(one.bypass),
                "no" if one.standing == BYPASSED else join("yes, ", el("time", one.reviewed_at[:16])),
            )
            for one in bypassed
        ]
        heads = ("Commit", "Subject", "Let through by", "At", "Reason", "Reviewed all the same")
        parts.append(table(heads, let, caption=f"Let through without a review ({len(let)})"))
    if missing:
        lacking = [(_who(one), prose(one.subject), _person(one.author), prose(one.why)) for one in missing]
        caption = f"Without a receipt that counts ({len(lacking)})"
        parts.append(table(("Commit", "Subject", "Author", "What is known"), lacking, caption=caption))
    if audit.refused:
        wrong = [(el("code", name[:_SHORT]), prose(why)) for name, why in audit.refused]
        caption = f"Refused receipts, which count for nothing ({len(wrong)})"
        parts.append(table(("Receipt", "What is wrong with it"), wrong, caption=caption))
    if audit.unchecked:
        parts.append(el("p", el("strong", "Signatures were not checked: "), prose(audit.unchecked)))
    none = el("p", "None: every commit with changes has a receipt of a review.")
    return section("exceptions", "Exceptions", *(parts or [none]), style="warn" if parts else "")


def _waivers(audit: Audit) -> Html:
    rows = [
        (
            join(isolated(waiver.rule, "code"), el("br"), el("span", waiver.severity, class_=f"chip {waiver.severity}")),
            join(isolated(f"{waiver.path}:{waiver.line}", "code"), el("br"), el("code", one.oid[:_SHORT])),
            prose(waiver.reason or "no reason given"),
            _person(waiver.person or one.author),
            join(el("time", waiver.expires[:16]) if waiver.expires else "no end", " (has ended)" if waiver.ended else None),
            join("with this commit" if waiver.added_here else "before", f", approved by {waiver.approved_by}" if waiver.approved_by else None),
        )
        for one in audit.commits
        for waiver in one.waived
    ]  # fmt: skip
    if not rows:
        return section("waivers", "Waivers", el("p", "None: no finding was accepted by a waiver."))
    heads = ("Rule", "Where", "Reason", "By", "Until", "Added")
    note = "A waiver in a comment has no person of its own: the author of the commit is named."
    return section(
        "waivers", "Waivers", table(heads, rows, caption=f"Findings that a waiver accepts ({len(rows)})"), el("p", note, class_="quiet")
    )  # fmt: skip


def _unread(audit: Audit) -> Html:
    reasons = Counter(why for one in audit.commits for _, why in one.unread)
    commits = {why: sum(any(w == why for _, w in one.unread) for one in audit.commits) for why in reasons}
    if not reasons:
        return section("unread", "Not reviewed files", el("p", "None in the commits that have a receipt."))
    rows = [
        (prose(why), str(number), str(commits[why]))
        for why, number in sorted(reasons.items(), key=lambda r: (-r[1], r[0]))
    ]
    heads = ("Why", "Files", "Commits")
    shown = table(heads, rows, caption="Files in receipts that no policy looked at, by reason", numbers=2)
    return section("unread", "Not reviewed files", shown)


def _commits(audit: Audit) -> Html:
    rows = [_row(one) for one in audit.commits]
    heads = ("Commit", "Author", "Subject", "Standing", "Reviewed by", "Signature", "Findings")
    if not rows:
        return section("commits", "Commits", el("p", "There is no commit in this period."))
    return section("commits", "Commits", table(heads, rows, caption=f"Every commit of the period, the newest first ({len(rows)})"))  # fmt: skip


def _row(one: Recorded) -> tuple[Content, ...]:
    signed = join(
        el("span", one.signature, class_=f"state {_SIGNS.get(one.signature)}"),
        join(el("br"), "by ", isolated(one.signed_by)) if one.signed_by else None,
        join(el("br"), isolated(one.key, "code", class_="quiet")) if one.key and not one.signed_by else None,
    )
    found = [
        f"{len(one.waived)} waived" if one.waived else "",
        f"{one.advisory} advisory" if one.advisory else "",
        f"{count(len(one.unread), 'file')} not reviewed" if one.unread else "",
    ]
    receipt = join(
        _person(one.person), el("br"), el("time", one.reviewed_at[:16]), el("br"), el("code", one.receipt[:_SHORT])
    )
    return (
        _who(one),
        _person(one.author),
        prose(one.subject),
        el("span", one.standing, class_=f"state {_STYLE[one.standing]}"),
        receipt if one.receipt else "-",
        signed if one.signature else "-",
        ", ".join(filter(None, found)) or "-",
    )


def _in_force(audit: Audit) -> dict[str, list[Recorded]]:
    found: dict[str, list[Recorded]] = {}
    for one in audit.commits:
        for rule in one.rules:
            found.setdefault(rule, []).append(one)
    return found


def _span(days: Sequence[str]) -> Html:
    first, last = el("time", days[0]), el("time", days[-1])
    return first if days[0] == days[-1] else join(first, " to ", last)


def _policies(audit: Audit) -> Html:
    known = {one.id: one for one in audit.policies}
    force = _in_force(audit)
    reviewed = sum(one.standing in (REVIEWED, CARRIED) for one in audit.commits)
    rows = []
    for rule, ones in sorted(force.items()):
        policy = known.get(rule, Cited(id=rule))
        days = sorted(one.at[:10] for one in ones)
        cited = "; ".join(policy.references) or "-"
        title = policy.title or "not a policy of this version: the project's own, or an older one"
        rows.append((isolated(rule, "code"), title, cited, _span(days), str(len(ones))))
    if not rows:
        return section(
            "policies", "Policies in force", el("p", "None: no commit of the period has a receipt of a review.")
        )
    heads = ("Policy", "What it asks", "Cites", "First and last commit", "Commits")
    told = f"Of {count(reviewed, 'reviewed commit')}; titles and citations are those of agentreview {audit.version}."
    return section("policies", "Policies in force", el("p", told, class_="quiet"), table(heads, rows, caption=f"Policies that completed ({len(rows)})", numbers=1))  # fmt: skip


def _cited(audit: Audit) -> Html | None:
    """The same from the side of the regulation."""
    force = _in_force(audit)
    by: dict[str, list[str]] = {}
    for policy in audit.policies:
        if policy.id in force:
            for reference in policy.references:
                by.setdefault(reference, []).append(policy.id)
    if not by:
        return None
    rows = [
        (
            text(reference),
            join(*(isolated(rule, "code") for rule in sorted(rules)), between=", "),
            str(len({one.oid for rule in rules for one in force[rule]})),
        )
        for reference, rules in sorted(by.items())
    ]
    heads = ("Regulation or control", "Policies that cite it", "Commits")
    return section(
        "regulations", "Regulations", table(heads, rows, caption="What the policies in force cite", numbers=1)
    )


def _settings(audit: Audit) -> Html:
    """Which versions, settings and agents stood behind the reviews, by the digests that receipts hold."""
    held = [one for one in audit.commits if one.receipt]
    versions = Counter(one.version for one in held)
    settings = Counter((one.configuration, one.configured_in) for one in held if one.configuration)
    agents = Counter(agent for one in held for agent in one.agents)
    parts: list[Content] = []
    if versions:
        rows = [(isolated(f"agentreview {name}"), str(number)) for name, number in sorted(versions.items())]
        parts.append(table(("Version", "Commits"), rows, caption="Versions of the tool", numbers=1))
    if settings:
        lines = [
            (isolated(digest, "code"), isolated(file or "defaults", "code"), str(number))
            for (digest, file), number in sorted(settings.items())
        ]
        parts.append(table(("Digest", "From", "Commits"), lines, caption="Configurations", numbers=1))
    if agents:
        ran = [
            (isolated(agent, "code"), isolated(digest, "code"), isolated(model) if model else "-", outcome, str(number))
            for (agent, digest, model, outcome), number in sorted(agents.items())
        ]
        heads = ("Agent", "Digest of its rules", "Model", "Outcome", "Commits")
        parts.append(table(heads, ran, caption="Agents, and how their runs ended", numbers=1))
    none = el("p", "No commit of the period has a receipt.")
    return section("settings", "Versions, configurations, agents", *(parts or [none]))


def _verify(audit: Audit) -> Html:
    steps: Sequence[tuple[str, str]] = (
        ("Bring the receipts of others", "agentreview receipts fetch"),
        ("Check every receipt: name, contents, signature, trees", "agentreview receipts verify --require-signed"),
        ("Read one in full", "agentreview receipts show ID"),
        ("The commits of this page, for programs", f"agentreview log {audit.head} --since {audit.first} --until {audit.last} --json"),
        ("Review one of them again, by the same rules", "agentreview --commit SHA"),
        ("Write this page again", f"agentreview report --period {audit.first}..{audit.last} --of {audit.head} --html FILE"),
    )  # fmt: skip
    items = [el("li", words, el("pre", el("code", command))) for words, command in steps]
    told = (
        "A receipt is a file that is named by the hash of its bytes, on the ref refs/agentreview/receipts of the repository."
        " It holds the two trees, every file between them, the findings and what was done about them, agents and settings."
    )
    return section("verify", "How to verify this", el("p", told), el("ol", *items, class_="steps"))
