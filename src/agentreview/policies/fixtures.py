"""The form that looks for data of real-looking people in added lines of tests, seeds, notebooks, documents and data files.

The repository has no access control per patient, so such rows are a disclosure by themselves. What is found is masked
before anybody sees it: the claim says which kinds of identifiers are there and where, never their values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.facts import Facts
from agentreview.lazyre import lazy
from agentreview.model import Claim, FileChange
from agentreview.policies.load import Check, Policy
from agentreview.policies.paths import path_classes
from agentreview.policies.secrets import SSN
from agentreview.syntax.parse import text_of

_LINE = 600  # characters of a line that are looked at
_DATA = lazy(r"\.(?:json|jsonl|ndjson|csv|tsv|ya?ml|xml|hl7|sql|ipynb|md|rst|txt|snap|http|fhir|html)$", re.IGNORECASE)
_GENERATED = lazy(
    r"(?i)\bfaker?\b|@faker-js|factory_?boy|synthea|mimesis|chance\.|synthetic|anonymi[sz]ed|de-?identified|test patient|fictitious|fictional"
)
# Those that everybody knows are nobody's.
_KNOWN_SSN = frozenset({"123-45-6789", "078-05-1120", "219-09-9999", "111-22-3333", "123-45-6788", "555-55-5555"})
_SSN_NAMED = lazy(r"(?i)ssn|social[ _-]?sec")
_DOB = lazy(
    r"(?i)(?:\bdob\b|birth[ _-]?date|date[ _-]?of[ _-]?birth|birthday)\W{1,6}(?:date\()?\W{0,2}(?:19|20)\d\d[-/., ]{1,2}\d{1,2}[-/., ]{1,2}\d{1,2}|(?:\bdob\b|birth[ _-]?date|date[ _-]?of[ _-]?birth)\W{1,6}\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)\d\d|birthTime\W{1,4}value\W{1,3}(?:19|20)\d{6}"
)
_NAME = lazy(
    r"(?i)(?:full|first|last|family|given|patient|maiden)[ _-]?name\W{1,6}([A-Z][a-z]{2,})|\bname\W{1,4}([A-Z][a-z]{2,} [A-Z][a-z]{2,})|\bfamily\W{1,6}([A-Z][a-z]{2,})"
)
_PHONE = lazy(r"(?<![\d.-])(?:\+?1[ .-]?)?\(?([2-9]\d{2})\)?[ .-](\d{3})[ .-](\d{4})(?![\d-])")
_EMAIL = lazy(r"[A-Za-z0-9._%+-]{2,40}@([A-Za-z0-9.-]{3,60}\.[A-Za-z]{2,10})")
_MRN = lazy(
    r"(?i)\b(?:mrn|medical[ _-]?record(?:[ _-]?(?:number|no))?|nhs[ _-]?number|medicare[ _-]?(?:id|number)|member[ _-]?id)\W{1,6}([A-Z]{0,3}\d{6,12})\b"
)
_RESERVED = lazy(
    r"(?i)(?:^|\.)(?:example\.(?:com|org|net|edu)|test|example|invalid|localhost|local)$|^(?:test|fake|foo|bar|mail|email|company|clinic|hospital|acme)\.(?:com|org|net|io)$"
)
_STAND_IN = lazy(
    r"(?i)^(?:john|jane|test|foo|bar|joe|alice|bob|carol|dave|eve|mallory|first|last|patient|demo|sample|example|some|your|my|new|old|updated|anna?|max)"
)
_ASCENDING = "01234567890123456789"
_SEGMENT = lazy(r"^\s*[\"'`]?PID\|[^|]*\|[^|]*\|[^|]*\|[^|]*\|[A-Z][A-Za-z]+\^[A-Z]")
_NEAR = 6  # lines that make up one person


def scan(policy: Policy, check: Check, change: FileChange, facts: Facts) -> Iterator[Claim]:
    """Claim places where added lines hold the identifiers of one real-looking person."""
    classes = path_classes(change.path, facts.tests.paths)
    if change.after is None or not (classes & {"tests", "seeds", "docs"} or _DATA.search(change.path)):
        return
    text = text_of(change.after)
    if (
        text is None
        or _GENERATED.search(text[:200_000])
        or any(m.lower() in text.lower() for m in facts.tests.synthetic_markers)
    ):
        return
    lines = text.split("\n")
    added = sorted({n for hunk in change.hunks for n in hunk.added})
    found: dict[int, set[str]] = {}
    header = _header(change.path, lines)
    for number in added:
        if number <= len(lines):
            kinds = _kinds(lines[number - 1][:_LINE]) | (
                _cells(header, lines[number - 1][:_LINE]) if number > 1 else set()
            )
            if kinds:
                found[number] = kinds
    told = -100
    for number in sorted(found):
        near = set().union(*(found.get(n, set()) for n in range(number, number + _NEAR)))
        if number - told < _NEAR or not _identifies(near, table=bool(header[0])):
            continue
        told = number
        what = ", ".join(sorted(near))
        yield Claim(
            rule=policy.id, path=change.path, unit="", start_line=number, end_line=number, quote=lines[number - 1], side="after",
            identity=f"fixture:{what}", message=check.message.replace("{value}", what), fix=policy.rule.fix.replace("{value}", what),
            hit=check.hit, evidence=(), confirmed=facts.settle(policy.needs), personal=True,
        )  # fmt: skip


_COLUMNS = (
    ("a name", lazy(r"(?i)^(?:full|first|last|family|given|patient|maiden|sur)[ _-]?name$|^name$|^surname$")),
    ("a date of birth", lazy(r"(?i)^dob$|birth[ _-]?date|date[ _-]?of[ _-]?birth|^birthday$")),
    ("a social security number", lazy(r"(?i)^ssn$|social[ _-]?security")),
    ("a record number", lazy(r"(?i)^mrn$|medical[ _-]?record|nhs[ _-]?number|member[ _-]?id$")),
)  # telephone numbers and addresses are known by their own look


def _header(path: str, lines: list[str]) -> tuple[str, tuple[str, ...]]:
    """The separator and the kinds of the columns of a table of values; an empty separator for any other file."""
    first = lines[0] if lines else ""
    mark = "\t" if path.lower().endswith(".tsv") else ";" if ";" in first else ","
    if not path.lower().endswith((".csv", ".tsv")) or len(first) > _LINE:
        return "", ()
    cells = [cell.strip().strip("\"'") for cell in first.split(mark)]
    return mark, tuple(next((kind for kind, pattern in _COLUMNS if pattern.search(cell)), "") for cell in cells)


def _cells(header: tuple[str, tuple[str, ...]], line: str) -> set[str]:
    """Kinds of identifiers that one row of a table holds."""
    mark, kinds = header
    out = set()
    for kind, cell in zip(kinds, line.split(mark) if mark else (), strict=False):
        value = cell.strip().strip("\"'")
        digits = re.sub(r"\D", "", value)
        real = not _STAND_IN.match(value) if kind == "a name" else len(digits) >= 6 and not _dull(digits)
        if kind and value and real:
            out.add(kind)
    return out


def _identifies(kinds: set[str], *, table: bool = False) -> bool:
    """A number that names one person, or a name with two things that go with it; in a table of people a birth date is enough."""
    if kinds & {"a social security number", "a patient segment (HL7)"}:
        return True
    rest = kinds - {"a name"}
    if table and {"a name", "a date of birth"} <= kinds:
        return True
    return ("a name" in kinds and len(rest) >= 2) or ("a record number" in kinds and "a date of birth" in kinds)


def _kinds(line: str) -> set[str]:
    out: set[str] = set()
    for match in SSN.finditer(line):
        if _plausible(match) and (_SSN_NAMED.search(line) or line.count("-") < 8):
            out.add("a social security number" if _SSN_NAMED.search(line) else "a number like a social security number")
    if _SEGMENT.match(line):
        out.add("a patient segment (HL7)")
    if _DOB.search(line):
        out.add("a date of birth")
    name = _NAME.search(line)
    if name and not _STAND_IN.match(name[1] or name[2] or name[3]):
        out.add("a name")
    if any(m[2] != "555" and m[1] != "555" and m[0] and not _dull(m[1] + m[2] + m[3]) for m in _PHONE.finditer(line)):
        out.add("a telephone number")
    if any(not _RESERVED.search(m[1]) for m in _EMAIL.finditer(line)):
        out.add("an e-mail address")
    record = _MRN.search(line)
    if record and not _dull(re.sub(r"\D", "", record[1])):
        out.add("a record number")
    return out


def _plausible(match: re.Match[str]) -> bool:
    return match[0] not in _KNOWN_SSN and not _dull(match[1] + match[2] + match[3])


def _dull(digits: str) -> bool:
    """``1234567890``, ``0000000``, ``5551234``: nobody's."""
    return (
        len(set(digits)) <= 2
        or digits in _ASCENDING
        or digits in _ASCENDING[::-1]
        or digits.startswith(("123456", "000000"))
    )
