"""SARIF 2.1.0, for code scanning and every other reader of static analysis results.

Section numbers are those of the OASIS standard (errata 01). What was not reviewed is a tool execution notification
(3.20.21), and an INCOMPLETE verdict or a required agent that did not finish makes the execution unsuccessful
(3.20.14): no results is then never read as clean.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from agentreview.model import (
    Decision,
    Edit,
    Evidence,
    Finding,
    Origin,
    Outcome,
    Replacement,
    Rule,
    Severity,
    Status,
    Verdict,
)
from agentreview.reporters.summary import (
    EXIT_CODES,
    about_facts,
    advice,
    commit_row,
    commit_tally,
    decision_line,
    refused_rows,
    switched_off,
    tally,
    uncovered,
    unfinished,
)
from agentreview.reporters.text import escape

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
BASE_ID = "%SRCROOT%"

_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}

Json = dict[str, Any]


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,  # noqa: ARG001
    quiet: bool = False,  # noqa: ARG001
) -> str:
    """Return the SARIF log, indented, ending in a newline. Always complete: nothing is left out for looks."""
    return json.dumps(to_sarif(verdict), indent=2, allow_nan=False) + "\n"


def to_sarif(verdict: Verdict) -> Json:
    """Return the log as plain dicts and lists: one run."""
    rules = _all_rules(verdict)
    index = {rule.id: number for number, rule in enumerate(rules)}
    driver: Json = {"name": "agentreview", "rules": [_rule(rule) for rule in rules]}
    if verdict.version:
        driver["version"] = verdict.version
    properties = {
        "decision": verdict.decision.value,
        "base": verdict.base,
        "tree": verdict.tree,
        "source": _encodable(verdict.source),
        "filesReviewed": verdict.files,
        "summary": tally(verdict),
        "notes": [_prose(note) for note in verdict.notes],
        **({"commits": commit_tally(verdict.coverage)} if verdict.coverage else {}),
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(verdict)],
        "originalUriBaseIds": {BASE_ID: {"description": {"text": "The root of the repository."}}},
        "results": [_result(finding, index[finding.rule]) for finding in verdict.findings],
        "properties": properties,
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _all_rules(verdict: Verdict) -> list[Rule]:
    """Return the verdict's rules, and one made of the finding for each rule that a finding names and nobody listed."""
    rules = {rule.id: rule for rule in verdict.rules}
    for found in verdict.findings:
        if found.rule not in rules:
            rules[found.rule] = Rule(
                id=found.rule,
                title=found.title,
                severity=found.severity,
                pack=found.rule.split(".")[0],
                why=found.why,
                fix=found.fix,
                cwe=found.cwe,
                references=found.references,
            )
    return list(rules.values())


def _rule(rule: Rule) -> Json:
    cited = "; ".join(dict.fromkeys((*rule.references, *rule.cwe)))
    parts = (rule.why, f"Fix: {rule.fix}" if rule.fix else "", f"References: {cited}" if cited else "")
    plain = "\n\n".join(part for part in parts if part) or rule.title
    tags = ["security", rule.pack, *(f"external/cwe/{cwe.lower()}" for cwe in rule.cwe)]
    return {
        "id": _encodable(rule.id),
        "shortDescription": {"text": _prose(rule.title)},
        "fullDescription": {"text": _prose(rule.why or rule.title)},
        "help": {"text": _prose(plain), "markdown": _lines(rule.help or plain)},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": list(dict.fromkeys(_encodable(tag) for tag in tags if tag)),
            "security-severity": _SCORES[rule.severity],
            "references": [_encodable(reference) for reference in rule.references],
        },
    }


def _result(finding: Finding, rule_index: int) -> Json:
    level = _LEVELS[finding.severity]
    if finding.status in (Status.ADVISORY, Status.EXISTING) and level == "error":
        level = "warning"
    gone = f" (line {finding.start_line} before this change)" if finding.side == "before" else ""
    fix = f"\n\nFix: {finding.fix}" if finding.fix else ""
    result: Json = {
        "ruleId": _encodable(finding.rule),
        "ruleIndex": rule_index,
        "level": level,
        "message": {"text": _prose(finding.message + gone + fix)},
        "locations": [_location(finding)],
        "partialFingerprints": {"agentreview/v1": _encodable(finding.fingerprint)},
        "baselineState": "unchanged" if finding.origin is Origin.EXISTING else "new",
        # 3.27.23: present on every result of a run or on none; empty says that it is not suppressed.
        "suppressions": _suppressions(finding),
        "properties": {
            "status": finding.status.value,
            "severity": finding.severity.value,
            "confidence": finding.confidence.value,
            "hit": finding.hit.value,
            "agent": _encodable(finding.agent),
            "side": finding.side,
            "startLine": finding.start_line,
            "endLine": finding.end_line,
            "excerpt": _encodable(finding.excerpt),
            "why": _prose(finding.why),
            "needs": [_prose(need) for need in finding.needs],
        },
    }
    if finding.edit is not None:
        result["fixes"] = [_fix(finding.edit)]
    if finding.evidence:
        result["relatedLocations"] = [_related(item) for item in finding.evidence]
    return result


def _fix(edit: Edit) -> Json:
    changed = {
        "artifactLocation": {"uri": _uri(edit.path), "uriBaseId": BASE_ID},
        "replacements": [_replacement(one) for one in edit.replacements],
    }
    return {"description": {"text": _prose(edit.note)}, "artifactChanges": [changed]}


def _replacement(one: Replacement) -> Json:
    """Whole lines: a region without columns ends before the line's end (3.30.8), one that ends in column 1 takes it along."""
    text = _encodable("\n".join(one.lines))
    if one.lines and one.start <= one.end:
        return {"deletedRegion": {"startLine": one.start, "endLine": one.end}, "insertedContent": {"text": text}}
    region = {"startLine": one.start, "startColumn": 1, "endLine": one.end + 1, "endColumn": 1}
    return {"deletedRegion": region, **({"insertedContent": {"text": f"{text}\n"}} if one.lines else {})}


def _suppressions(finding: Finding) -> list[Json]:
    if finding.status is not Status.WAIVED:
        return []
    waiver = finding.waiver
    if waiver is None:
        return [{"kind": "external", "status": "accepted"}]
    properties = {"addedByThisChange": waiver.added_here, "approvedBy": _encodable(waiver.approved_by)}
    if waiver.source == "file":
        properties |= {"person": _encodable(waiver.person), "created": waiver.created, "expires": waiver.expires}
    return [
        {
            "kind": "external" if waiver.source == "file" else "inSource",
            # 3.35.3: one that nobody but the change's author has looked at is not accepted yet.
            "status": "underReview" if waiver.added_here and not waiver.approved_by else "accepted",
            "justification": _prose(waiver.reason),
            "location": _place(waiver.path, waiver.line),
            "properties": properties,
        }
    ]


def _location(finding: Finding) -> Json:
    if finding.side == "before":
        # The line is one of the old file: in the file as it is now, or gone, it would point at something else.
        # Code scanning drops results without a region, so it is the first line; the real one is in the message.
        location = _place(finding.path, 1)
    else:
        location = _place(finding.path, finding.start_line, finding.end_line, finding.excerpt)
        if finding.frame:
            numbers = [number for number, _ in finding.frame]
            first, last = min(numbers), max(numbers)
            if 1 <= first <= finding.start_line and finding.end_line <= last:
                text = "\n".join(_encodable(text) for _, text in finding.frame)
                context = {"startLine": first, "endLine": last, "snippet": {"text": text}}
                location["physicalLocation"]["contextRegion"] = context
    if finding.unit:
        name = finding.unit.rsplit(".", 1)[-1]
        location["logicalLocations"] = [{"fullyQualifiedName": _encodable(finding.unit), "name": _encodable(name)}]
    return location


def _related(item: Evidence) -> Json:
    return {**_place(item.path, item.line, quote_text=item.quote), "message": {"text": _prose(item.shows)}}


def _place(path: str, line: int, end: int = 0, quote_text: str = "") -> Json:
    region: Json = {"startLine": max(line, 1), "endLine": max(end, line, 1)}
    if quote_text:
        region["snippet"] = {"text": _encodable(quote_text)}
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(path), "uriBaseId": BASE_ID}, "region": region}}


def _invocation(verdict: Verdict) -> Json:
    notes = []
    if verdict.decision is Decision.INCOMPLETE:
        notes.append(_notification("incomplete", "error", decision_line(verdict)))
    for run in (*unfinished(verdict), *switched_off(verdict)):
        level = "error" if run.required else "warning" if run.outcome is Outcome.FAILED else "note"
        reason = run.reason or "no reason given"
        text = f"agent {run.agent} {run.outcome.value}: {reason}; {advice(run)}"
        notes.append(_notification(f"agent-{run.outcome.value}", level, text))
    for skip in verdict.skipped:
        detail = f" ({skip.detail})" if skip.detail else ""
        note = _notification("file-not-reviewed", "warning", f"{skip.path} was not reviewed: {skip.reason}{detail}")
        note["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": _uri(skip.path), "uriBaseId": BASE_ID}}}]
        notes.append(note)
    notes += [
        _notification("commit-without-receipt", "note", f"commit {commit_row(one)}") for one in uncovered(verdict)
    ]
    if verdict.coverage:
        notes += [_notification("receipt-refused", "warning", row) for row in refused_rows(verdict.coverage)]
        notes += [_notification("receipts", "note", note) for note in verdict.coverage.notes]
    settings = [_notification("facts", "note", note) for note in verdict.notes if about_facts(note)]
    return {
        "executionSuccessful": all(note["level"] != "error" for note in notes),  # 3.20.21: an error is a failed run
        "exitCode": int(EXIT_CODES[verdict.decision]),
        "exitCodeDescription": _prose(decision_line(verdict)),
        "toolExecutionNotifications": notes,
        **({"toolConfigurationNotifications": settings} if settings else {}),
    }


def _notification(kind: str, level: str, text: str) -> Json:
    return {"descriptor": {"id": f"agentreview/{kind}"}, "level": level, "message": {"text": _prose(text)}}


def _uri(path: str) -> str:
    """Percent-encode the path's own bytes, all but unreserved characters: a colon would begin a scheme."""
    try:
        data = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no decoded bytes: a path that an agent made up
        data = path.encode("utf-8", "backslashreplace")
    return quote(data, safe="/")


def _prose(text: str) -> str:
    """Make one message: like :func:`_lines`, and ``[text](target)``, which 3.11.6 makes a link, is broken."""
    return _lines(text).replace("](", "] (")


def _lines(text: str) -> str:
    """Escape what is not printable, keep the line ends."""
    return "\n".join(map(escape, text.expandtabs(4).replace("\r\n", "\n").split("\n")))


def _encodable(text: str) -> str:
    r"""Keep source text as it is, except lone surrogates: readers in other languages refuse them."""
    return text.encode("utf-8", "backslashreplace").decode()
