"""What a verdict adds up to: counts, exit code, and the decision in words. Shared by every reporter.

Nothing here is escaped: agent and rule names come from the repository, so whoever prints must escape first.
"""

from __future__ import annotations

from agentreview.errors import ExitCode
from agentreview.model import (
    NOT_CONFIGURED,
    NOT_CONFIRMED,
    AgentRun,
    CommitSeen,
    Cover,
    Coverage,
    Decision,
    Edit,
    Finding,
    Outcome,
    Severity,
    Skipped,
    Status,
    Verdict,
    Waiver,
)

EXIT_CODES = {
    Decision.PASS: ExitCode.PASS,
    Decision.BLOCK: ExitCode.BLOCKED,
    Decision.INCOMPLETE: ExitCode.INCOMPLETE,
}

BEYOND = (
    "What no diff shows: whether the store is encrypted; who keeps, reads and can change the logs; roles, second factors, "
    "feature flags and row-level security in production; contracts with vendors; gateways; backups; risk analysis and training.",
    "A pass is evidence for change control. It is not a statement that a law is met.",
)
"""What every report leaves open, whatever it found."""

LOOK_ALIKE = (
    "No receipt says that no gate left one here, and no more: --no-verify, a hook that was skipped or is not installed, a rebase"
    " over changed files and an edit on the web look alike. The policies ran over all of it all the same."
)
"""What a missing receipt does and does not say."""


def bucket(finding: Finding) -> str:
    """Name the one count a finding goes into: ``blocking``, ``advisory``, ``waived``, or ``existing`` (old debt)."""
    return finding.status.value


def tally(verdict: Verdict) -> dict[str, int]:
    """Count, in the order of the reports. The first four add up to the number of findings."""
    counts = {"blocking": 0, "advisory": 0, "waived": 0, "existing": 0}
    for finding in verdict.findings:
        counts[bucket(finding)] += 1
    return {**counts, "skipped": len(verdict.skipped)}


def count(number: int, noun: str) -> str:
    """``1 finding``, ``2 findings``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def unfinished(verdict: Verdict) -> list[AgentRun]:
    """Return the runs that should have completed and did not, the required ones first."""
    done = (Outcome.COMPLETED, Outcome.OFF)
    return sorted((run for run in verdict.runs if run.outcome not in done), key=lambda run: not run.required)


def switched_off(verdict: Verdict) -> list[AgentRun]:
    """Return the runs that the configuration leaves out: nothing went wrong, and it is counted all the same."""
    return [run for run in verdict.runs if run.outcome is Outcome.OFF]


def off_line(verdict: Verdict) -> str:
    """``, off: policy:tenancy``, or nothing."""
    names = [run.agent for run in switched_off(verdict)]
    return f", off: {', '.join(names)}" if names else ""


def advice(run: AgentRun) -> str:
    """Say what to do about a run that did not complete."""
    if run.outcome is Outcome.FAILED:
        return "run `agentreview run` to try again; `agentreview doctor` checks the set-up"
    if run.outcome is Outcome.OFF:
        return "it did not look at this change; switch it on there to have it reviewed"
    return "it did not look at this change; `agentreview doctor` says what it needs to run"


def skipped_by_reason(verdict: Verdict) -> dict[str, list[Skipped]]:
    """Files that were not reviewed, the most frequent reason first."""
    groups: dict[str, list[Skipped]] = {}
    for skip in verdict.skipped:
        groups.setdefault(skip.reason or "no reason given", []).append(skip)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


def handles(verdict: Verdict) -> dict[str, str]:
    """Map each fingerprint to the shortest prefix, 8 characters after the tag or more, that names it."""
    prints = sorted({finding.fingerprint for finding in verdict.findings})
    short = {}
    for index, full in enumerate(prints):
        size = full.find(":") + 1 + 8
        neighbours = prints[max(0, index - 1) : index] + prints[index + 1 : index + 2]
        while size < len(full) and any(other.startswith(full[:size]) for other in neighbours):
            size += 1
        short[full] = full[:size]
    return short


def citations(finding: Finding) -> str:
    """``45 CFR 164.312(b); CWE-778``, each once."""
    return "; ".join(dict.fromkeys((*finding.references, *finding.cwe)))


def questions(finding: Finding) -> list[str]:
    """What would settle this finding alone. Facts to configure are a note of the whole run: they are said once."""
    from agentreview.facts import KEYS  # not for the look-up of a verdict that is known

    return [need for need in finding.needs if need not in KEYS]


def waiving_comment(finding: Finding) -> str | None:
    """Return the comment that would waive it where it is; None where a comment cannot: a line that is gone, a commit, JSON."""
    from agentreview.reporters.text import comment

    if finding.side == "before" or not finding.excerpt:
        return None
    return comment(finding.path, f"agentreview: ignore[{finding.rule}] <reason>")


WIDEST_EDIT = 400  # characters of a line


def edit_parts(edit: Edit) -> list[tuple[str, tuple[str, ...]]]:
    """Put an edit into words and lines, place by place: ``("lines 12 to 13 become", (…, …))``. Its lines are the repository's.

    Nothing where a line is longer than reports show one: part of an edit could be taken for the whole.
    """
    if any(len(line) > WIDEST_EDIT for one in edit.replacements for line in one.lines):
        return []
    found = []
    for one in edit.replacements:
        where = f"line {one.start}" if one.end <= one.start else f"lines {one.start} to {one.end}"
        many = one.end > one.start
        if one.end < one.start:
            said = f"before {where} {'come' if len(one.lines) > 1 else 'comes'}"
        elif one.lines:
            said = f"{where} {'become' if many else 'becomes'}"
        else:
            said = f"{where} {'go' if many else 'goes'}"
        found.append((said, one.lines))
    return found


def edit_told(finding: Finding) -> tuple[str, list[str]]:
    """Return what the edit of a finding does, and its places with their lines; nothing where there is none."""
    if finding.edit is None:
        return "", []
    rows = [row for said, lines in edit_parts(finding.edit) for row in (f"{said}:", *(f"    {line}" for line in lines))]
    note = finding.edit.note or "one that was reviewed"
    return (note, rows) if rows else (f"{note} (too long to be shown here: agentreview fix)", [])


def about_facts(note: str) -> bool:
    """Whether a note is about the configuration, not about the change."""
    return note.startswith((NOT_CONFIGURED, NOT_CONFIRMED))


def waived_by(waiver: Waiver) -> str:
    """Say whose waiver it is and until when: `` (Dana Reyes <dana@clinic.example>, until 2027-02-21)``."""
    parts = [waiver.person, f"until {waiver.expires}" if waiver.expires else ""]
    if waiver.added_here:
        parts.append("added by this change" + (f", approved by {waiver.approved_by}" if waiver.approved_by else ""))
    said = ", ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def counts_line(verdict: Verdict) -> str:
    """``2 blocked, 1 advisory, 0 waived, 3 existing, 1 skipped, 5 files reviewed``."""
    counts = tally(verdict)
    words = {"blocking": "blocked"}
    parts = [f"{number} {words.get(name, name)}" for name, number in counts.items()]
    return ", ".join([*parts, f"{count(verdict.files, 'file')} reviewed"]) + off_line(verdict)


def commit_tally(coverage: Coverage) -> dict[str, int]:
    """Count commits by how a receipt covers them, and the receipts that do by who signed them."""
    covered = [one for one in coverage.commits if one.receipt]
    covers = {cover.value.replace("-", "_"): sum(one.cover is cover for one in coverage.commits) for cover in Cover}
    signed = sum(bool(one.signed_by) for one in covered)
    return {
        "commits": len(coverage.commits),
        **covers,
        "uncovered": sum(one.cover is None for one in coverage.commits),
        "signed": signed,
        "advisory": len(covered) - signed,
        "other_settings": sum(one.other_settings for one in covered),
        "refused": len(coverage.refused),
    }


def uncovered(verdict: Verdict) -> list[CommitSeen]:
    """Commits of a CI run that no receipt covers."""
    return [one for one in verdict.coverage.commits if one.cover is None] if verdict.coverage else []


def coverage_line(verdict: Verdict) -> str:
    """``5 commits: 3 covered by receipts (2 exact, 1 of the same files on another base), 2 without; …``, or nothing."""
    if verdict.coverage is None or not verdict.coverage.commits:
        return ""
    counts = commit_tally(verdict.coverage)
    words = {
        "exact": "exact",
        "message_only": "of the same trees in another commit",
        "same_blobs": "of the same files on another base",
    }
    kinds = ", ".join(f"{counts[name]} {text}" for name, text in words.items() if counts[name])
    covered = counts["exact"] + counts["message_only"] + counts["same_blobs"]
    parts = [f"{covered} covered by receipts" + (f" ({kinds})" if kinds else "")]
    parts += [f"{counts['empty']} without a change"] if counts["empty"] else []
    parts += [f"{counts['uncovered']} without a receipt that counts"] if counts["uncovered"] else []
    said = [f"{count(counts['commits'], 'commit')}: {', '.join(parts)}"]
    if covered:
        said.append(f"{counts['signed']} signed by signers of the base, {counts['advisory']} advisory")
    if counts["other_settings"]:
        said.append(f"{counts['other_settings']} judged by other settings than the base's")
    if counts["refused"]:
        said.append(f"{count(counts['refused'], 'receipt')} refused")
    return "; ".join(said)


def commit_row(one: CommitSeen) -> str:
    """``4f3c21ab44d0 "fix a typo": no receipt``, for a commit that no receipt covers."""
    return f'{one.oid[:12]} "{one.subject}": {one.why}'


def refused_rows(coverage: Coverage) -> list[str]:
    """``receipt 9f3c21ab44d0 is refused: its name is not the hash of its bytes``, one each."""
    return [f"receipt {one.id[:12]} is refused: {one.why}" for one in coverage.refused]


def decision_line(verdict: Verdict) -> str:
    """Put the decision and what it needs into words. Exactly one line, for whoever reads only the last one."""
    blocking = [finding for finding in verdict.findings if finding.status is Status.BLOCKING]
    if verdict.decision is Decision.INCOMPLETE:
        also = f" {count(len(blocking), 'finding')} must be cleared as well." if blocking else ""
        return (
            f"INCOMPLETE: {_missing(verdict)}, so this is not a pass.{also} Run `agentreview run` to finish the review."
        )
    if verdict.decision is Decision.BLOCK:
        before = "this commit" if verdict.source.startswith(("index", "worktree")) else "this change goes in"
        return (
            f"BLOCKED: {count(len(blocking), 'finding')} must be cleared before {before}{_breakdown(verdict, blocking)}"
        )
    if not verdict.files and (verdict.skipped or not verdict.findings):
        return "PASSED: nothing to review" if not verdict.skipped else "PASSED: no file reviewed"
    return "PASSED: nothing blocks"


def _missing(verdict: Verdict) -> str:
    required = [run for run in unfinished(verdict) if run.required]
    if not required:
        return "something required could not be reviewed"
    names = ", ".join(run.agent for run in required[:5]) + (", …" if len(required) > 5 else "")
    return f"{count(len(required), 'required agent')} did not finish ({names})"


def _breakdown(verdict: Verdict, findings: list[Finding]) -> str:
    """`` (1 high hipaa, 1 high secrets)``, worst first."""
    packs = {rule.id: rule.pack for rule in verdict.rules}
    groups: dict[tuple[Severity, str], int] = {}
    for finding in findings:
        key = (finding.severity, packs.get(finding.rule) or finding.rule.split(".")[0])
        groups[key] = groups.get(key, 0) + 1
    ordered = sorted(groups.items(), key=lambda group: (-group[0][0].rank, -group[1], group[0][1]))
    return " (" + ", ".join(f"{n} {severity.value} {pack}" for (severity, pack), n in ordered) + ")" if ordered else ""
