"""The form that finds new suppressions of security checks without a rule and a reason. Compared by count, so a moved one is silent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.model import Claim
from agentreview.policies.claims import View, make_claim
from agentreview.policies.load import Check, Policy
from agentreview.syntax.facts import Fact
from agentreview.syntax.tree import Module

_MARKS = lazy(
    r"(?i)(?:(?P<bandit>#?\s*\bnosec\b)|(?P<noqa>\bnoqa:\s*[A-Z0-9, ]*\bS\d{3})|(?P<semgrep>\bnosemgrep\b)|(?P<secret>pragma:\s*allowlist\s+(?:nextline\s+)?secret|gitleaks:allow)"
    r"|(?P<eslint>eslint-disable(?:-next-line|-line)?\s+[^*]*?\b(?:security/|no-eval\b|no-implied-eval|no-new-func|react/no-danger|no-unsanitized/|no-secrets/|xss/))"
    r"|(?P<all>\bnoqa\b(?!\s*:)|flake8:\s*noqa\b(?!\s*:)|ruff:\s*noqa\b(?!\s*:)|pylint:\s*disable=all|eslint-disable(?:-next-line|-line)?\s*(?:--|$|\*/))"
    r"|(?P<go>\bnolint(?::\s*[\w,]*(?:gosec|\ball\b)|\s*(?://.*)?$))|(?P<ruby>rubocop:disable\s+[^#]*Security/|brakeman:ignore)|(?P<codeql>\b(?:lgtm|codeql)\s*\[)|(?P<sonar>\bNOSONAR\b)"
    r"|(?P<java>\bSuppressFBWarnings\b|\bSuppressWarnings\((?=[^)]*(?:java:S\d|squid:|findsecbugs|\"all\"))))"
)
_RULE = lazy(
    r"\bB\d{3}\b|\bS\d{3}\b|\bG\d{3}\b|security/|no-[a-z-]+|Security/\w+|CWE-\d+|[\w-]+\.[\w.-]+|java:S\d+|squid:S?\d+|\[[^\]]+\]|secret\b"
)
_NOTE = lazy(r"Suppress(?:FB)?Warnings\b")
_WORD = lazy(r"[A-Za-z]{3,}")
# Bug patterns of SpotBugs itself that are about correctness, style and speed: each begins with the abbreviation of its kind.
_PATTERN = lazy(r"\"([A-Z][A-Za-z0-9]*(?:_[A-Z0-9]+)+)\"")
_QUALITY = lazy(
    r"(?:AM|AT|BC|BIT|BX|CN|CT|DB|DC|DE|DLS|DM|DP|EC|EI2?|EQ|ES|FE|FI|HE|HSC|IA|ICAST|IC|IL|IM|INT|IP|IS|IT|JLM|LI|MC|MF|ML|MS|MT|MWN|NM|NN|NO|NP|NS|OBL|ODR|OS|PZLA|QBA|RC|RCN|RE|REC|RI|RR|RS|RV|SA|SBSC|SC|SE|SF|SI|SIC|SIO|SP|SR|SS|ST|STCAL|STI|SW|THROWS|TLW|UC|UCF|UG|UI|UL|UM|UMAC|UPM|UR|URF|UUF|UW|UWF|USELESS|VA|VO|VR|WA|WL|WMI|WS)_"
)


def suppressed(policy: Policy, check: Check, before: View | None, after: View) -> Iterator[Claim]:
    """Claim suppressions that were not there before and that do not say which rule and why."""
    had = (
        Counter(_key(text) for _, text in _said(before.analysis.module) if _MARKS.search(text))
        if before is not None
        else Counter()
    )
    for line, text in _said(after.analysis.module):
        mark = _MARKS.search(text)
        if mark is None:
            continue
        if had[_key(text)] > 0:
            had[_key(text)] -= 1
            continue
        if _explained(text, mark) or _about_quality(text):
            continue
        module = after.analysis.module
        unit = max(
            (u for u in module.units if u.line <= line <= u.end_line),
            key=lambda u: (u.line, -u.end_line),
            default=module.root,
        )
        shown = " ".join(mark[0].split())[:60]
        fact = Fact("suppressed", unit, 0, 0, line, line, shown)
        yield make_claim(policy, check, after, unit, fact=fact, identity=f"suppressed:{shown.lower()}", value=shown)


def _said(module: Module) -> list[tuple[int, str]]:
    """Comments, and annotations that silence a check with the comment beside them: ``@SuppressWarnings("java:S2077") // …``."""
    if module.language != "java":
        return list(module.comments)
    beside = dict(module.comments)
    notes = [
        d for unit in module.units for d in unit.decorators if _NOTE.match(module.source[d.start : d.end].lstrip("@"))
    ]
    said = [(d.line, module.source[d.start : d.end]) for d in notes]
    return [*module.comments, *((n, f"{text} {beside.get(n, '') or beside.get(n - 1, '')}") for n, text in said)]


def _about_quality(text: str) -> bool:
    """Whether an annotation of SpotBugs names its patterns, and all are of its own kinds but none about security."""
    named: list[str] = _PATTERN.findall(text) if text.startswith("@SuppressFBWarnings") else []
    return bool(named) and all(_QUALITY.match(one) for one in named)


def _key(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", " ", text).strip().lower()


def _explained(text: str, mark: re.Match[str]) -> bool:
    """A rule by name, and at least three words that are not part of the marker."""
    rest = text[mark.end() :]
    named = _RULE.search(text) is not None
    if mark["java"]:
        reason_given = rest.partition("justification")[2] or rest.partition("//")[2]
        return "(" in text and len(_WORD.findall(reason_given)) >= 3
    if mark["eslint"]:  # its rules are words too; a reason stands behind two hyphens
        return len(_WORD.findall(text.partition("--")[2])) >= 3
    reason = re.split(r"--|\s[-\u2013\u2014]\s|:\s|\bbecause\b|#|//", rest, maxsplit=1)
    words = _WORD.findall(reason[-1]) if len(reason) > 1 else _WORD.findall(_RULE.sub("", rest))
    return named and len(words) >= 3
