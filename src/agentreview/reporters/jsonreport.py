r"""``agentreview/report/1``: the whole verdict as JSON, for programs.

Also how the store keeps verdicts, and reads them back.

``loads(dumps(v)) == v``. The text is a function of the verdict alone: fixed key order, ASCII, floats in shortest form,
no clock. ``seconds`` say how long the judging took, so a verdict answered from the store keeps the recorded ones and
only ``cached`` turns true: every report of a stored verdict is the same bytes. File names that are not UTF-8 appear as
lone surrogates (``\udcff``), which makes the round trip exact; the paired ones JSON would join never come from bytes.

The schema is ``agentreview/schemas/report-1.schema.json``. A new key is a new schema number: readers reject unknown
keys, so a reader of 1 can never take half of a later report for the whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from agentreview.model import (
    AgentRun,
    CommitSeen,
    Confidence,
    Cover,
    Coverage,
    Decision,
    Edit,
    Evidence,
    Finding,
    Hit,
    Origin,
    Outcome,
    RefusedReceipt,
    Replacement,
    Rule,
    Severity,
    Skipped,
    Status,
    Verdict,
    Waiver,
)
from agentreview.reporters.summary import BEYOND, EXIT_CODES, commit_tally, tally

SCHEMA = "agentreview/report/1"
TOOL = "agentreview"

Read = Callable[[Any, str], Any]  # (decoded JSON, where it stood) -> value, or ValueError


def render(
    verdict: Verdict,
    *,
    color: bool = False,  # noqa: ARG001
    width: int = 100,  # noqa: ARG001
    verbose: bool = False,  # noqa: ARG001
    quiet: bool = False,  # noqa: ARG001
) -> str:
    """Return the report, indented, ending in a newline. Always complete: nothing is left out for looks."""
    return json.dumps(to_json(verdict), indent=2, allow_nan=False) + "\n"


def dumps(verdict: Verdict) -> str:
    """Return the report on one ASCII line. Raises ValueError for a verdict with a number JSON cannot hold (NaN)."""
    return json.dumps(to_json(verdict), separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Verdict:
    """Read what :func:`dumps` or :func:`render` wrote. Strict: raises ValueError on anything they would not write."""
    try:
        report = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        return _verdict(report)
    except (RecursionError, OverflowError) as error:
        raise ValueError("report: nested too deeply, or a number too large") from error


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return the report as plain dicts, lists, strings and numbers, in the documented key order."""
    plain: dict[str, Any] = _write(verdict)
    if verdict.coverage is not None:
        plain["coverage"] = {"summary": commit_tally(verdict.coverage), **plain["coverage"]}
    return {
        "schema": SCHEMA,
        "tool": {"name": TOOL, "version": verdict.version},
        "decision": plain.pop("decision"),
        "exit_code": int(EXIT_CODES[verdict.decision]),
        **{key: plain.pop(key) for key in ("base", "tree", "source", "worktree", "branch")},
        "files_reviewed": verdict.files,
        "summary": tally(verdict),
        **plain,
        "not_shown": list(BEYOND),
    }


def _write(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_write(item) for item in value]
    shape = _SHAPES.get(type(value))
    return {name: _write(getattr(value, name)) for name in shape} if shape else value


def _verdict(report: Any) -> Verdict:
    record = _object(report, _REPORT, "report")
    decision = record["decision"]
    verdict = Verdict(
        version=record["tool"]["version"],
        files=record["files_reviewed"],
        **{name: record[name] for name in _SHAPES[Verdict]},
    )
    if record["exit_code"] != EXIT_CODES[decision]:
        raise ValueError(f"report.exit_code: {record['exit_code']} does not belong to {decision.value}")
    if record["summary"] != tally(verdict):
        raise ValueError("report.summary: does not add up to the findings")
    return verdict


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("report: a key appears twice")
    return record


def _no_constant(name: str) -> Any:
    raise ValueError(f"report: {name} is not JSON")


def _object(value: Any, fields: Mapping[str, Read], where: str) -> dict[str, Any]:
    if type(value) is not dict or value.keys() != fields.keys():
        odd = sorted(value.keys() ^ fields.keys())[:3] if type(value) is dict else type(value).__name__
        raise ValueError(f"{where}: not an object of the expected keys ({odd})")
    return {name: read(value[name], f"{where}.{name}") for name, read in fields.items()}


def _typed(kind: type) -> Read:
    def read(value: Any, where: str) -> Any:
        if type(value) is not kind:  # not isinstance: true is no number
            raise ValueError(f"{where}: {type(value).__name__} instead of {kind.__name__}")
        return value

    return read


def _number(value: Any, where: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{where}: not a whole number of 0 or more")
    return value


def _seconds(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise ValueError(f"{where}: not a finite number of seconds")
    return float(value)


def _const(expected: str) -> Read:
    def read(value: Any, where: str) -> Any:
        if value != expected:
            raise ValueError(f"{where}: not {expected}")
        return value

    return read


def _side(value: Any, where: str) -> str:
    if value not in ("after", "before"):
        raise ValueError(f"{where}: neither after nor before")
    return str(value)


def _source(value: Any, where: str) -> str:
    if value not in ("comment", "file"):
        raise ValueError(f"{where}: neither comment nor file")
    return str(value)


def _enum(kind: type[Enum]) -> Read:
    return lambda value, _where: kind(value)  # raises ValueError itself, also for unhashable values


def _optional(read: Read) -> Read:
    return lambda value, where: None if value is None else read(value, where)


def _many(read: Read) -> Read:
    def read_all(value: Any, where: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise ValueError(f"{where}: not a list")
        return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read_all


def _frame_line(value: Any, where: str) -> tuple[int, str]:
    if type(value) is not list or len(value) != 2:
        raise ValueError(f"{where}: not [line number, text]")
    return _number(value[0], where), _text(value[1], where)


def _coverage(value: Any, where: str) -> Coverage:
    counts = dict.fromkeys(commit_tally(_NOTHING), _number)
    summary: Read = lambda inner, at: _object(inner, counts, at)  # noqa: E731
    record = _object(value, {"summary": summary, **_SHAPES[Coverage]}, where)
    stated = record.pop("summary")
    found = Coverage(**record)
    if stated != commit_tally(found):
        raise ValueError(f"{where}.summary: does not add up to the commits")
    return found


def _record(kind: type) -> Read:
    return lambda value, where: kind(**_object(value, _SHAPES[kind], where))


_text = _typed(str)
_flag = _typed(bool)
_texts = _many(_text)
_NOTHING = Coverage(required="", signers=0, commits=())

# One table for both directions: the keys in the order they are written, and how each is read.
_SHAPES: dict[type, dict[str, Read]] = {
    Finding: {
        "fingerprint": _text,
        "rule": _text,
        "title": _text,
        "severity": _enum(Severity),
        "confidence": _enum(Confidence),
        "hit": _enum(Hit),
        "origin": _enum(Origin),
        "status": _enum(Status),
        "agent": _text,
        "path": _text,
        "side": _side,
        "start_line": _number,
        "end_line": _number,
        "unit": _text,
        "message": _text,
        "excerpt": _text,
        "why": _text,
        "cwe": _texts,
        "references": _texts,
        "fix": _text,
        "evidence": _many(_record(Evidence)),
        "needs": _texts,
        "frame": _many(_frame_line),
        "waiver": _optional(_record(Waiver)),
        "edit": _optional(_record(Edit)),
    },
    Edit: {"path": _text, "replacements": _many(_record(Replacement)), "note": _text},
    Replacement: {"start": _number, "end": _number, "lines": _texts},
    Evidence: {"path": _text, "line": _number, "shows": _text, "quote": _text},
    Waiver: {
        "rule": _text,
        "path": _text,
        "line": _number,
        "reason": _text,
        "added_here": _flag,
        "source": _source,
        "person": _text,
        "created": _text,
        "expires": _text,
        "approved_by": _text,
    },
    AgentRun: {
        "agent": _text,
        "digest": _text,
        "outcome": _enum(Outcome),
        "required": _flag,
        "reason": _text,
        "cached": _flag,
        "seconds": _seconds,
        "rules": _texts,
        "model": _text,
        "prompt": _text,
    },
    Skipped: {"path": _text, "reason": _text, "detail": _text},
    Rule: {
        "id": _text,
        "title": _text,
        "severity": _enum(Severity),
        "pack": _text,
        "why": _text,
        "fix": _text,
        "help": _text,
        "cwe": _texts,
        "references": _texts,
    },
    CommitSeen: {
        "oid": _text,
        "subject": _text,
        "cover": _optional(_enum(Cover)),
        "why": _text,
        "receipt": _text,
        "signed_by": _text,
        "other_settings": _flag,
    },
    RefusedReceipt: {"id": _text, "why": _text},
    Coverage: {
        "required": _text,
        "signers": _number,
        "commits": _many(_record(CommitSeen)),
        "refused": _many(_record(RefusedReceipt)),
        "notes": _texts,
    },
    Verdict: {  # what is left after the parts that the report words differently
        "decision": _enum(Decision),
        "base": _text,
        "tree": _text,
        "source": _text,
        "worktree": _optional(_text),
        "branch": _optional(_text),
        "findings": _many(_record(Finding)),
        "runs": _many(_record(AgentRun)),
        "skipped": _many(_record(Skipped)),
        "rules": _many(_record(Rule)),
        "notes": _texts,
        "until": _text,
        "configuration": _text,
        "configured_in": _text,
        "coverage": _optional(_coverage),
        "cached": _flag,
        "seconds": _seconds,
    },
}
_REPORT: dict[str, Read] = {
    "schema": _const(SCHEMA),
    "tool": lambda value, where: _object(value, {"name": _const(TOOL), "version": _text}, where),
    "exit_code": _number,
    "files_reviewed": _number,
    "summary": lambda value, where: _object(
        value, dict.fromkeys(("blocking", "advisory", "waived", "existing", "skipped"), _number), where
    ),
    **_SHAPES[Verdict],
    "not_shown": _texts,  # the same in every report: not part of the verdict
}
