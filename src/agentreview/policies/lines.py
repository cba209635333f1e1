"""The form for files no parser reads (SQL, schemas, settings): globs over added lines, in any case of letters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.facts import Facts
from agentreview.globs import matches
from agentreview.lazyre import lazy
from agentreview.model import Claim, FileChange
from agentreview.policies.load import Check, Policy
from agentreview.policies.paths import path_classes
from agentreview.syntax.lexicon import Lexicon
from agentreview.syntax.parse import text_of
from agentreview.syntax.patterns import glob

_LINE = 400  # characters of a line that are looked at
_WORD = lazy(r"[A-Za-z_]\w*")
_TABLE = lazy(
    r"(?i)\b(?:table|on|from|into|truncate|view|model)\s+(?:if\s+(?:not\s+)?exists\s+|only\s+)?[\"`\[]?(?:\w+\.)?[\"`\[]?(\w+)"
)


def scan(policy: Policy, check: Check, change: FileChange, lexicon: Lexicon, facts: Facts) -> Iterator[Claim]:
    """Claim added lines that match. ``when: {resource: …}`` asks for the table the line (or its statement) names."""
    if (
        change.after is None
        or not matches(change.path, check.files)
        or set(policy.skip) & path_classes(change.path, facts.tests.paths)
    ):
        return
    text = text_of(change.after)
    wanted, pattern = dict(check.when).get("resource"), glob(check.lines)
    lines = text.split("\n")
    for number in sorted({n for hunk in change.hunks for n in hunk.added}):
        line = lines[number - 1][:_LINE] if number <= len(lines) else ""
        flat = " ".join(line.lower().split())
        if flat.startswith(("--", "//", "#")) or not pattern.matches(flat):
            continue
        table = next(
            (
                m[1]
                for m in (_TABLE.search(one) for one in (line, lines[number - 2][:_LINE] if number > 1 else ""))
                if m
            ),
            "",
        )
        if wanted in ("phi", "record") and not (
            lexicon.phi_resource(table) or (wanted == "record" and is_trail(table))
        ):
            continue
        if wanted == "tenant" and not (lexicon.phi_resource(table) or lexicon.tenant_resource(table)):
            continue
        if lexicon.tenant_resource(table) is False:  # a table that is nobody's
            continue
        if "tenant-column" in dict(check.when) and any(lexicon.tenant_key(word) for word in _WORD.findall(line)):
            continue
        if check.silent and any(
            glob(check.silent).matches(name) for name in (flat, change.path.lower(), table.lower())
        ):
            continue
        shown = " ".join(line.split())[:100]
        yield Claim(
            rule=policy.id, path=change.path, unit="", start_line=number, end_line=number, quote=lines[number - 1], side="after",
            identity=f"lines:{flat[:120]}", message=check.message.replace("{value}", shown).replace("{resource}", table or "a table"),
            fix=_filled(check.fix or policy.rule.fix, shown, table or "the table", facts.tenant.key), hit=check.hit, evidence=(),
            needs=tuple(n for n in policy.needs if not facts.is_set(n)), confirmed=facts.settle(policy.needs), severity=check.severity,
        )  # fmt: skip


def is_trail(table: str) -> bool:
    """Whether a table is an audit trail, by its name."""
    return re.search(r"(?i)audit|history|^versions$|access_?log|crudevent|logentry|pgh_", table) is not None


def _filled(template: str, shown: str, table: str, tenant: str) -> str:
    """A remediation about a line of a file that has no functions."""
    words = {
        "value": shown,
        "call": shown,
        "resource": table,
        "unit": "this file",
        "tenant": tenant or "the tenant key",
    }
    for name, word in words.items():
        template = template.replace("{" + name + "}", word)
    return template
