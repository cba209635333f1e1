"""The first ``agentreview.toml``, written from what detection found: every setting, explained, with its evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentreview.facts import CHOICES
from agentreview.policies.secrets import mask
from agentreview.settings import FACTS, SETTINGS, TABLES, split
from agentreview.tomledit import quoted

if TYPE_CHECKING:
    from agentreview.detect.values import Detection, Found

_HEAD = """\
# agentreview configuration. Every setting is optional; what is commented out is an example.
# A change to this file is itself reported, so that the gate cannot be loosened unseen.
"""
_FACTS = """\

# ---- Facts about this project -------------------------------------------------------------------------
# Written by detection: a proposal, each value below the place that shows it. Read them, correct them, then put your
# name under all of them (agentreview facts confirm) or under a part (agentreview facts confirm tenant phi.models).
# Confirming says: these names are right, and what is not listed does not count. A list written as [] says that there
# is none. Until then findings that rest on these facts are shown as advice and do not block.
"""
_WIDE = 29  # columns of a setting before what it means

_TEXT = 100


def render(detection: Detection) -> str:
    """Write the whole file. Whatever was detected is active below its evidence, the rest is a commented example.

    Everything from the repository is untrusted: it is cut, escaped, and either a comment or a quoted string.
    """
    lines = [_HEAD, *_settings(), _FACTS, *(f"# Note: {safe(note, 300)}" for note in detection.notes)]
    if detection.unread:
        lines.append(f"# Note: {detection.unread} files were too large, binary or too many, and were not looked at")
    lines += ["[facts]", 'confirmed_by = ""    # the person who checked all of the facts below']
    table = ""
    for fact, example, meaning in FACTS:
        section, _, key = fact.rpartition(".")
        if section != table:
            lines += ["", f"[facts.{section}]"]
            table = section
        lines.append(f"# {meaning}" if section else f"\n# {meaning}")
        found = list(active(detection, fact, key))
        lines += found or [f"# {key} = {example}"]
    return "\n".join(lines) + "\n"


def _settings() -> Iterator[str]:
    """Every setting that is no fact, as a commented example with what it means."""
    table = ""
    for key, example, meaning in SETTINGS:
        section, name = split(key)
        if section != table:
            head = f"[{section}]"
            yield f"\n{head:<{_WIDE}}  # {TABLES[section]}" if section in TABLES else f"\n{head}"
            table = section
        yield f"{f'# {name} = {example}':<{_WIDE}}  # {meaning}"


def active(detection: Detection, fact: str, key: str) -> Iterator[str]:
    """Lines that set a fact under the name ``key``: each value below its evidence, what is in doubt as a comment."""
    found = [one for one in detection.get(fact) if _usable(one.value)]
    sure = [one for one in found if not one.doubt]
    if fact == "access.evidence":
        default = detection.get("access.default")
        if default:
            yield f"{key} = {quoted(safe(f'{default[0].path}:{default[0].line} {default[0].text}', 200))}"
    elif not found:
        return
    elif fact == "audit.automatic":
        yield from _automatic(found, key)
    elif fact == "egress.approved":
        yield from _approved(found, key)
    elif fact in CHOICES or fact in SINGLE:
        for number, one in enumerate(found[:3]):
            yield _evidence(one)
            first = not number and not one.doubt
            value = one.value if one.value.isdecimal() and fact in NUMBERS else quoted(one.value)
            yield f"{'' if first else '# or: ' if sure else '# '}{key} = {value}"
    else:
        yield from _list(sure, key)
        yield from _offered([one for one in found if one.doubt], key)


SINGLE = frozenset({"tenant.key", "session.idle_minutes", "session.absolute_hours", "retention.audit_years"})
NUMBERS = SINGLE - {"tenant.key"}


def _list(found: list[Found], key: str) -> Iterator[str]:
    if found:
        yield f"{key} = ["
        for one in found:
            yield "  " + _evidence(one)
            yield f"  {quoted(one.value)},"
        yield "]"


def _offered(found: list[Found], key: str) -> Iterator[str]:
    """Values in doubt, as a comment: each with its place and what would have to be true."""
    for one in found:
        yield _evidence(one)
    if found:
        yield f"# {key} = [{', '.join(quoted(one.value) for one in found)}]   # {safe(found[0].doubt)}"


def _approved(found: list[Found], key: str) -> Iterator[str]:
    """Destinations, as a comment: nothing in the code can show a contract."""
    for one in found:
        yield _evidence(one)
    yield f"# {key} = ["
    for one in found:
        yield f'#   {{ match = {quoted(one.value)}, contract = "BAA of …", allows = ["ids"] }},'
    yield "# ]"


def _automatic(found: list[Found], key: str) -> Iterator[str]:
    yield f"{key} = ["
    for how in CHOICES["audit.automatic.how"]:
        mine = [one for one in found if one.value.startswith(how + ":")]
        for one in mine:
            yield "  " + _evidence(one)
        if mine:
            models = ", ".join(quoted(one.value.partition(":")[2]) for one in mine)
            yield f'  {{ models = [{models}], how = "{how}" }},'
    yield "]"


def _evidence(found: Found) -> str:
    where = f"{safe(found.path)}:{found.line}" if found.line else safe(found.path)
    times = f" (seen {found.count} times)" if found.count > 1 else ""
    return f"# {where} {safe(found.text)}".rstrip() + times


def _usable(value: str) -> bool:
    return bool(value.strip()) and len(value) <= 200 and value.isprintable()


def safe(text: str, limit: int = _TEXT) -> str:
    """Cut untrusted text to one printable line: values hidden as in a report, what is invisible or a lone surrogate escaped."""
    text = mask(text)
    shown = text[:limit] + ("…" if len(text) > limit else "")
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in shown)
