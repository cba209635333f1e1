"""Receipts: what was reviewed, by what, and what was decided; one immutable file each. Pure.

A receipt is an in-toto Statement about a tree. Its file is canonical JSON and named by the hash of its bytes, so it is
what its name says or it is nothing::

    {"note": …, "schema": "agentreview/receipt/1", "signature": {"key": …, "ssh": …} | null,
     "standing": "signed" | "advisory", "statement": {"_type": "https://in-toto.io/Statement/v1",
      "subject": [{"digest": {"gitTree": …}, "name": "tree"}], "predicateType": "urn:agentreview:receipt:1",
      "predicate": {…}}}

It belongs to the change, not to a commit: a commit gets another name when it is rebased. The content key is the digest
of every entry that git lists between the two trees (paths, modes, object ids on both sides); with the two trees equal a
receipt fits exactly, with only the key equal it is carried over from another base.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agentreview.records import dataclass

from .canonical import canonical_json, sha256
from .model import AgentRun, Decision, FileChange, Finding, Skipped, Status, Verdict

SCHEMA = "agentreview/receipt/1"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:agentreview:receipt:1"
PAYLOAD = "application/vnd.in-toto+json"
UNREVIEWED = "unreviewed"  # the decision of a receipt that records a bypass
MAX_BYTES = 64 * 1024 * 1024

_ABSENT = "000000"
_OPAQUE = frozenset({"binary", "symlink", "submodule", "git-lfs pointer", "too large"})
_DECISIONS = frozenset({Decision.PASS.value, Decision.BLOCK.value, UNREVIEWED})
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One entry of git's raw listing, without renames. The absent side has mode 000000 and an object id of zeros."""

    path: str
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a receipt says beside the verdict: who, when (ISO, UTC, to the second), and the commit if there is one.

    ``settings`` is the tree that the configuration was read from, "" for the reviewed one.
    """

    person: str
    at: str
    commit: str = ""
    settings: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receipt that holds together. ``id`` is the hash of ``data``, its file; ``key`` is the content key."""

    id: str
    key: str
    base: str
    tree: str
    decision: str
    at: str
    person: str
    version: str
    bypass: str  # the stated reason, "" for a review
    expires: str  # the first end of a waiver it rests on, "" for none
    commit: str  # what was reviewed as a commit, "" where it was none yet
    configuration: str  # the digest of the settings, "" for a bypass
    entries: tuple[Entry, ...]
    statement: Mapping[str, Any]
    signature: str  # armored ssh signature, "" for none
    data: bytes

    @property
    def signed(self) -> bool:
        """Whether it carries a signature; not whether that is good."""
        return bool(self.signature)


def entries_of(changes: Iterable[FileChange]) -> tuple[Entry, ...]:
    """Return the raw entries of a snapshot: a rename is one that goes and one that comes."""
    found: list[Entry] = []
    for c in changes:
        if c.old_path is None:
            found.append(Entry(c.path, c.old_mode, c.new_mode, c.old_oid, c.new_oid))
            continue
        zero = "0" * len(c.old_oid)
        found.append(Entry(c.old_path, c.old_mode, _ABSENT, c.old_oid, zero))
        found.append(Entry(c.path, _ABSENT, c.new_mode, zero, c.new_oid))
    return tuple(sorted(found))


def content_key(entries: Iterable[Entry]) -> str:
    """Return the key of a change: 64 hexadecimal digits."""
    rows = [[e.path, e.old_mode, e.new_mode, e.old_oid, e.new_oid] for e in sorted(entries)]
    return sha256(canonical_json(rows))


# -- writing -----------------------------------------------------------------------------------------------------------


def statement(verdict: Verdict, entries: Iterable[Entry], context: Context) -> dict[str, Any]:
    """Return what a receipt of a review says. ``verdict`` is not INCOMPLETE: that is no decision."""
    skipped = {skip.path: skip for skip in verdict.skipped}
    return _statement(
        verdict.base, verdict.tree, tuple(entries), context, decision=verdict.decision.value, version=verdict.version,
        coverage=lambda entry: _covered(skipped.get(entry.path)), branch=verdict.branch,
        configuration={"digest": verdict.configuration, "file": verdict.configured_in, "gitTree": context.settings or verdict.tree},
        findings=[_finding(finding) for finding in verdict.findings], agents=[_agent(run) for run in verdict.runs],
    )  # fmt: skip


def bypass_statement(
    base: str, tree: str, entries: Iterable[Entry], context: Context, *, reason: str, version: str, branch: str | None,
    findings: Iterable[Finding] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return what a receipt of a commit says that a person let through against the gate, or without it.

    ``findings`` are those of a review that refused it, where there was one.
    """
    return _statement(
        base, tree, tuple(entries), context, decision=UNREVIEWED, version=version, branch=branch,
        coverage=lambda _: ("not reviewed", "bypassed"), configuration=None, findings=[_finding(finding) for finding in findings], agents=[],
        bypass={"person": context.person, "reason": reason},
    )  # fmt: skip


def _statement(
    base: str, tree: str, entries: tuple[Entry, ...], context: Context, *, decision: str, version: str, branch: str | None,
    coverage: Callable[[Entry], tuple[str, str]], configuration: Mapping[str, str] | None, findings: list[Any], agents: list[Any],
    bypass: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    predicate = {
        "agents": agents,
        "at": context.at,
        "base": {"gitTree": base},
        "bypass": bypass,
        "change": content_key(entries),
        "configuration": configuration,
        "coverage": [_entry(entry, *coverage(entry)) for entry in sorted(entries)],
        "decision": decision,
        "findings": findings,
        "person": context.person,
        "result": {"gitTree": tree},
        "source": {"branch": branch, "commit": context.commit or None},
        "tool": {"name": "agentreview", "version": version},
    }
    subject = [{"digest": {"gitTree": tree}, "name": "tree"}]
    return {"_type": STATEMENT, "predicate": predicate, "predicateType": PREDICATE, "subject": subject}


def _covered(skip: Skipped | None) -> tuple[str, str]:
    if skip is None:
        return "reviewed", ""
    how = "opaque" if skip.reason in _OPAQUE else "excluded" if skip.reason == "excluded" else "not reviewed"
    return how, f"{skip.reason}: {skip.detail}" if skip.detail else skip.reason


def _entry(entry: Entry, how: str, why: str) -> dict[str, Any]:
    sides = {"before": (entry.old_mode, entry.old_oid), "after": (entry.new_mode, entry.new_oid)}
    shown = {name: {"mode": mode, "oid": oid} if mode != _ABSENT else None for name, (mode, oid) in sides.items()}
    return {"path": entry.path, **shown, "how": how, "why": why}


def _finding(finding: Finding) -> dict[str, Any]:
    """What identifies a finding and what was done about it; no code and no message."""
    waiver = finding.waiver
    return {
        "fingerprint": finding.fingerprint,
        "line": finding.start_line,
        "path": finding.path,
        "rule": finding.rule,
        "severity": finding.severity.value,
        "side": finding.side,
        "status": finding.status.value,
        "unit": finding.unit,
        "waiver": waiver
        and {
            "added_here": waiver.added_here,
            "approved_by": waiver.approved_by,
            "expires": waiver.expires,
            "person": waiver.person,
            "reason": waiver.reason,
            "source": waiver.source,
        },
    }


def _agent(run: AgentRun) -> dict[str, Any]:
    return {
        "agent": run.agent,
        "digest": run.digest,
        "model": run.model or None,
        "outcome": run.outcome.value,
        "prompt": run.prompt or None,
        "reason": run.reason,
        "required": run.required,
        "rules": list(run.rules),
    }


def seal(stated: Mapping[str, Any], *, key: str = "", signature: str = "", note: str = "") -> bytes:
    """Return the file of a receipt. Without a signature it is advisory, and ``note`` says why."""
    signed = {"key": key, "ssh": signature} if signature else None
    standing = "signed" if signature else "advisory"
    return canonical_json(
        {"note": note, "schema": SCHEMA, "signature": signed, "standing": standing, "statement": stated}
    )


def preauthenticated(stated: Mapping[str, Any]) -> bytes:
    """Return the bytes that a signature is over: DSSE's encoding of type and payload."""
    payload = canonical_json(stated)
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def dsse(receipt: Receipt) -> dict[str, Any]:
    """Wrap a receipt in a DSSE envelope, the form that other tools read."""
    import base64

    signatures = []
    if receipt.signature:
        sealed = json.loads(receipt.data)["signature"]
        encoded = base64.b64encode(receipt.signature.encode()).decode()
        signatures.append({"keyid": sealed["key"], "sig": encoded})
    payload = base64.b64encode(canonical_json(receipt.statement)).decode()
    return {"payload": payload, "payloadType": PAYLOAD, "signatures": signatures}


# -- reading -----------------------------------------------------------------------------------------------------------


def identifier(data: bytes) -> str:
    """Return the name of a receipt's file."""
    return sha256(data)


def parse(data: bytes) -> Receipt:
    """Read a receipt and check that it holds together. Raises ValueError with what is wrong."""
    if len(data) > MAX_BYTES:
        raise ValueError("too large")
    try:
        sealed = json.loads(data)
        if canonical_json(sealed) != data:
            raise ValueError("not in the canonical form")
        return _receipt(sealed, data)
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"not a receipt ({type(error).__name__})") from error


def _receipt(sealed: Any, data: bytes) -> Receipt:
    stated = sealed["statement"]
    predicate = stated["predicate"]
    base, tree = predicate["base"]["gitTree"], predicate["result"]["gitTree"]
    entries = tuple(_read_entry(row) for row in predicate["coverage"])
    signature = sealed["signature"]["ssh"] if sealed["signature"] else ""
    checks = (
        (sealed["schema"] == SCHEMA, "of another schema"),
        (stated["_type"] == STATEMENT and stated["predicateType"] == PREDICATE, "no statement of this tool"),
        (stated["subject"] == [{"digest": {"gitTree": tree}, "name": "tree"}], "about another tree than it says"),
        (all(_OID.fullmatch(oid) for oid in (base, tree)), "without tree ids"),
        (predicate["decision"] in _DECISIONS, "without a decision"),
        (list(entries) == sorted(set(entries)), "with a coverage that is not in order"),
        (predicate["change"] == content_key(entries), "of another change than its coverage"),
        (sealed["standing"] == ("signed" if signature else "advisory"), "of a standing that its signature denies"),
        ((predicate["decision"] == UNREVIEWED) == bool(predicate["bypass"]), "a bypass without a reason"),
        (predicate["decision"] != Decision.PASS.value or not _blocking(predicate), "a pass with a finding that blocks"),
        (_legible(predicate), "with something else where a text belongs"),
    )
    for right, wrong in checks:
        if not right:
            raise ValueError(wrong)
    ends = [f["waiver"]["expires"] for f in predicate["findings"] if f["waiver"] and f["waiver"]["expires"]]
    commit = predicate["source"]["commit"] or ""
    configuration = (predicate["configuration"] or {"digest": ""})["digest"]
    texts = (
        predicate["at"], predicate["person"], predicate["tool"]["version"], signature, commit, configuration, *ends
    )  # fmt: skip
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("with something else where a text belongs")
    return Receipt(
        id=identifier(data), key=predicate["change"], base=base, tree=tree, decision=predicate["decision"], at=predicate["at"],
        person=predicate["person"], version=predicate["tool"]["version"], entries=entries, statement=stated, signature=signature,
        bypass=str((predicate["bypass"] or {}).get("reason", "")), expires=min(ends, default=""), commit=commit,
        configuration=configuration, data=data,
    )  # fmt: skip


def _legible(predicate: Mapping[str, Any]) -> bool:
    """Whether what is shown of a receipt is text: nothing else of it is looked at by whoever reads one."""
    findings, agents = predicate["findings"], predicate["agents"]
    settings = predicate["configuration"] or {}
    texts = [predicate["source"]["branch"] or "", settings.get("file") or "", *(predicate["bypass"] or {}).values()]
    for one in findings:
        texts += [one[name] for name in ("fingerprint", "path", "rule", "severity", "status")]
        texts += (
            [one["waiver"][name] for name in ("approved_by", "expires", "person", "reason")] if one["waiver"] else []
        )
    for one in agents:
        texts += [one["agent"], one["digest"], one["outcome"], one.get("model") or "", *one["rules"]]
    return all(isinstance(text, str) for text in texts) and all(type(one["line"]) is int for one in findings)


def _blocking(predicate: Mapping[str, Any]) -> bool:
    return any(finding["status"] == Status.BLOCKING.value for finding in predicate["findings"])


def _read_entry(row: Mapping[str, Any]) -> Entry:
    before, after = row["before"], row["after"]
    zero = "0" * len((before or after)["oid"])
    entry = Entry(
        row["path"],
        before["mode"] if before else _ABSENT,
        after["mode"] if after else _ABSENT,
        before["oid"] if before else zero,
        after["oid"] if after else zero,
    )
    values = (entry.path, entry.old_mode, entry.new_mode, entry.old_oid, entry.new_oid, row["how"], row["why"])
    if not all(isinstance(value, str) for value in values):
        raise ValueError("with something else where a text belongs")
    return entry
