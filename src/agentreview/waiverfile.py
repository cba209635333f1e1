"""``.agentreview/waivers.toml``: findings that a person accepted, each with a reason, a name and an end.

    [[waiver]]
    fingerprint = "b2:9f3c21ab44d0e17755aa"
    rule = "hipaa.audit-phi-read"
    path = "clinic/views.py"
    unit = "patient_detail"
    reason = "the gateway records every read of this route, see runbook 12"
    person = "Dana Reyes <dana@clinic.example>"
    created = 2026-11-23
    expires = 2027-02-21

Every key is needed: an entry that lacks one, or names more than one finding, does not count and is said. Dates are ISO
texts here, so they compare as they are. Entries are kept in the order of their fingerprints: two branches that each add
one seldom touch the same lines.
"""

from __future__ import annotations

from typing import Any

from agentreview.lazyre import lazy
from agentreview.records import dataclass, replace

from .canonical import digest
from .config import file_layout, load_toml
from .errors import ConfigError, UsageError
from .tomledit import put, quoted

WAIVERS_NAME = ".agentreview/waivers.toml"
SIGNERS_NAME = ".agentreview/allowed_signers"  # whose ssh key is whose, as ssh-keygen reads it
KEYS = ("fingerprint", "rule", "path", "unit", "reason", "person", "created", "expires")
SHORTEST_REASON = 3  # characters
LONGEST = {"reason": 500, "person": 200, "path": 4096, "unit": 1000}

_FINGERPRINT = lazy(r"[a-z0-9]{1,8}:[0-9a-f]{16,128}")
_RULE = lazy(r"[a-z0-9]+(?:[.-][a-z0-9]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*")
_FIRST_LINES = """\
# Findings that a person accepted, each with a reason and an end: agentreview waive FINGERPRINT --reason …
# A change that adds one is itself reported, and settled by a person.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One waiver. ``line`` is where it begins in the file, and no part of what it says."""

    fingerprint: str
    rule: str
    path: str
    unit: str
    reason: str
    person: str
    created: str
    expires: str
    line: int = 0

    @property
    def id(self) -> str:
        """Digest of everything it says: another reason or another end is another waiver."""
        return digest({key: getattr(self, key) for key in KEYS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Waivers:
    """A waivers file. ``problems`` are (line, why that entry does not count)."""

    records: tuple[Record, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()


def parse(data: bytes | None) -> Waivers:
    """Read the file; ``None`` is a tree without one. Raises ConfigError when it is no such file at all."""
    if data is None or not data.strip():
        return Waivers()
    document, reader = load_toml(data, WAIVERS_NAME)
    reader.table(document, (), ("waiver",))
    entries = reader.array(document.get("waiver", []), ("waiver",), "tables: write [[waiver]]")
    lines = reader.locate()
    records: list[Record] = []
    problems: list[tuple[int, str]] = []
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        line = lines.get(("waiver", index), 1)
        wrong = _wrong(entry)
        if not wrong and entry["fingerprint"] in first:
            wrong = f"line {first[entry['fingerprint']]} waives the same finding"
        if wrong:
            problems.append((line, wrong))
            continue
        first[entry["fingerprint"]] = line
        values = {key: entry[key] if isinstance(entry[key], str) else entry[key].isoformat() for key in KEYS}
        records.append(Record(**values, line=line))
    return Waivers(records=tuple(records), problems=tuple(problems))


def _wrong(entry: Any) -> str:
    """Say why an entry does not count, or ""."""
    from datetime import date, datetime

    if not isinstance(entry, dict):
        return "it is no table"
    missing = [key for key in KEYS if key not in entry]
    unknown = sorted(entry.keys() - set(KEYS))
    if missing or unknown:
        return f"it has no {missing[0]}" if missing else f"it has the unknown key {unknown[0][:40]!a}"
    for key in KEYS[:6]:
        value = entry[key]
        if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST.get(key, 200):
            return f"{key} is not one line of text"
    for key in KEYS[6:]:
        if not isinstance(entry[key], date) or isinstance(entry[key], datetime):
            return f"{key} is no date: write {key} = 2027-02-21, without quotes"
    if not _FINGERPRINT.fullmatch(entry["fingerprint"]):
        return "fingerprint is not the whole fingerprint of one finding"
    if not _RULE.fullmatch(entry["rule"]):
        return "rule is not the id of one policy"
    if not entry["path"]:
        return "path names no file"
    if len(entry["reason"].strip()) < SHORTEST_REASON:
        return "it gives no reason"
    if not entry["person"].strip():
        return "it names no person"
    return "it expires before it was made" if entry["expires"] < entry["created"] else ""


def added(before: Waivers, after: Waivers) -> tuple[Record, ...]:
    """Return what ``after`` accepts and ``before`` did not. The same waiver with an earlier end accepts nothing new."""
    known = {one.fingerprint: one for one in before.records}

    def new(record: Record) -> bool:
        old = known.get(record.fingerprint)
        if old is None or record.expires > old.expires:
            return True
        return replace(old, expires="", line=0) != replace(record, expires="", line=0)

    return tuple(record for record in after.records if new(record))


def written(name: str) -> str:
    """Return a path or unit as the file holds it: one printable line, whatever it is made of."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


# -- adding one by text, so that comments and the order of keys stay ---------------------------------------------------


def edited(text: str, record: Record) -> str:
    """Return the file with the waiver added, or renewed where the same finding has one. Raises UsageError."""
    before = parse(text.encode())
    known = next((one for one in before.records if one.fingerprint == record.fingerprint), None)
    result = _inserted(text, before, record) if known is None else _renewed(text, known, record)
    expected = [replace(one, line=0) for one in before.records if one.fingerprint != record.fingerprint]
    if _said(result) != {replace(one, line=0) for one in (*expected, record)}:
        by_hand = "\n".join(_entry(record))
        raise UsageError(
            f"{WAIVERS_NAME} is written in a way that cannot be edited safely", fix=f"Add the entry by hand:\n{by_hand}"
        )
    return result


def _said(text: str) -> set[Record]:
    try:
        return {replace(one, line=0) for one in parse(text.encode()).records}
    except ConfigError:
        return set()


def _entry(record: Record) -> list[str]:
    return ["[[waiver]]", *(f"{key} = {_value(record, key)}" for key in KEYS)]


def _value(record: Record, key: str) -> str:
    value = str(getattr(record, key))
    return value if key in KEYS[6:] else quoted(value)


def _inserted(text: str, before: Waivers, record: Record) -> str:
    """Put the entry above the first one with a larger fingerprint and the comment over that one, else at the end."""
    lines = (text if text.strip() else _FIRST_LINES).replace("\r\n", "\n").rstrip("\n").split("\n")
    later = next((one.line for one in before.records if one.fingerprint > record.fingerprint), None)
    if later is None:
        return "\n".join([*lines, "", *_entry(record), ""])
    at = later - 1
    while at > 0 and lines[at - 1].lstrip().startswith("#"):
        at -= 1
    if at == 0:  # a comment that reaches up to the first line is about the file, not about its first entry
        at = later - 1
    return "\n".join([*lines[:at], *_entry(record), "", *lines[at:], ""])


def _renewed(text: str, known: Record, record: Record) -> str:
    """Set what may change, and leave every other byte as it is."""
    for key in KEYS[4:]:
        text, layout = file_layout(text.encode(), WAIVERS_NAME)
        entry = next((name for name, line in layout.lines.items() if line == known.line and len(name) == 2), ("", 0))
        text = put(text, layout, (*entry, key), _value(record, key)) or text
    return text
