"""Edits of one construct: a block that switched something off is opened, a failure goes on, two steps change places, a value leaves a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agentreview.fixes.edits import lines_of, replacing
from agentreview.fixes.messages import formatted, place_of, taken_out
from agentreview.lazyre import lazy
from agentreview.model import Edit, FileChange, Finding
from agentreview.syntax.facts import Analysis
from agentreview.syntax.tree import Expr, Module, Stmt, expressions, statements, subexpressions

_LONGEST = 60  # lines of a block
_WITH = lazy(r"^(\s*)(?:async )?with\s+(?!.*\sas\s)[^,]*:\s*$")
_DO = lazy(r"^(\s*)[\w.:]+(?:\([^()]*\))?\s+do\s*$")
_LEFT = lazy(r"\.catch\(\s*\(\w*\)\s*=>\s*(?:\{\s*\}|null|undefined|false)\s*\)|\s+rescue\s+(?:nil|false)\s*$")
_CATCH = lazy(r"\bcatch\s*\(\s*(?:final\s+)?(?:[\w.|\s]+\s)?(\w+)\s*(?::\s*\w+\s*)?\)\s*\{\s*$")
_OWNER = lazy(r"\b((?:org|organi[sz]ation|tenant|clinic|account|company|workspace|practice|hospital)(?:_id|Id)?)\b")
_BELONGS = lazy(r"^\s*(?:belongs_to|acts_as_tenant)\s*\(?\s*:(\w+)")
_UNIQUE = (
    (lazy(r"(UniqueConstraint\(.*?\bfields\s*=\s*[\[(])(?=[\"'])"), r'\1"TENANT", '),
    (lazy(r"(UniqueConstraint\()(?=[\"']\w+[\"']\s*,)"), r'\1"TENANT", '),
    (lazy(r"(\bunique_together\s*=\s*[\[(]{1,2})(?=[\"'])"), r'\1"TENANT", '),
    (lazy(r"(@(?:Unique|Index)\(\s*\[)(?=[\"'])"), r'\1"TENANT", '),
    (lazy(r"(?i)(\bUNIQUE\s+INDEX\b.*?\bON\s+\S+\s*\()(?=\w)"), r"\1TENANT, "),
    (lazy(r"\buniqueness:\s*true\b"), r"uniqueness: { scope: :TENANT }"),
    (lazy(r"(\bvalidates_uniqueness_of\s+:\w+)\s*$"), r"\1, scope: :TENANT"),
)
_LEADS = lazy(r"(?i)(?:\b(?:with|for|is|of|as|to|by|from|in|on)|[:=(])\s*$")
_SECRETS = "token secret password passwd key api auth authorization credential credentials access refresh bearer session cookie dsn url"


def unwrapped(finding: Finding, change: FileChange) -> Iterator[Edit]:
    """Take the block away that a statement opens to switch something off; what stands in it stays."""
    lines = lines_of(change.after or b"") or []
    number = finding.start_line
    if finding.side == "before" or not 1 <= number <= len(lines):
        return
    line = lines[number - 1].rstrip("\r")
    python, ruby = _WITH.match(line), _DO.match(line)
    if not (python or ruby):
        return
    depth = len((python or ruby or [""])[1])
    last = number
    while last < len(lines) and last - number <= _LONGEST:
        text = lines[last].rstrip("\r")
        if text.strip() and len(text) - len(text.lstrip()) <= depth:
            break
        last += 1
    inside = lines[number:last]
    if any('"""' in text or "'''" in text or "<<~" in text for text in inside):
        return  # its lines are text
    ends = last < len(lines) and lines[last].strip() == "end"
    while inside and not inside[-1].strip():
        inside, last = inside[:-1], last - 1
    step = next((len(text) - len(text.lstrip()) - depth for text in inside if text.strip()), 0)
    if step <= 0 or (ruby and not ends):
        return
    moved = [text[step:] if text.strip() else text for text in inside]
    yield replacing(change.path, "inside of nothing that switches it off", number, last + bool(ruby), moved)


def raised(finding: Finding, change: FileChange, analysis: Analysis) -> Iterator[Edit]:
    """Let a failure go on that was caught and left at that."""
    lines, module = lines_of(change.after or b"") or [], analysis.module
    note = "a failure of the control stops the request"
    for number in range(max(1, finding.start_line - 8), min(finding.end_line + 8, len(lines)) + 1):
        line = lines[number - 1]
        waited = _LEFT.search(line) if re.search(r"\b(?:await|return)\b|\brescue\b", line) else None
        if waited is not None:  # else nobody waits for it, and its failure stops no request
            yield replacing(change.path, note, number, number, [line[: waited.start()] + line[waited.end() :]])
        if re.search(r"\?\?\s*true\b", line):
            yield replacing(
                change.path, "no answer is no permission", number, number, [re.sub(r"\?\?\s*true\b", "?? false", line)]
            )
    if module.language == "python":
        yield from _reraised(change.path, lines, module, finding, note)
    if module.language in ("typescript", "javascript", "java"):
        yield from _rethrown(change.path, lines, finding, note)


def _reraised(path: str, lines: Sequence[str], module: Module, finding: Finding, note: str) -> Iterator[Edit]:
    for stmt in _all(module):
        for handler in stmt.handlers:
            if not stmt.line <= finding.end_line or not finding.start_line <= handler.end_line or not handler.body:
                continue
            last = handler.body[-1]
            indent = re.match(r"\s*", lines[last.line - 1])
            if indent is None or last.line == handler.line:
                continue
            given_up = last.kind in ("return", "other") or lines[last.line - 1].strip() in ("pass", "continue", "...")
            start = last.line if given_up else last.end_line + 1
            yield replacing(path, note, start, last.end_line, [f"{indent[0]}raise"])


def _rethrown(path: str, lines: Sequence[str], finding: Finding, note: str) -> Iterator[Edit]:
    for number in range(max(1, finding.start_line - 8), min(finding.end_line + 8, len(lines)) + 1):
        caught = _CATCH.search(lines[number - 1])
        if caught is None:
            continue
        depth = len(lines[number - 1]) - len(lines[number - 1].lstrip())
        end = next((n for n in range(number + 1, min(number + 12, len(lines)) + 1) if lines[n - 1].strip().startswith("}") and len(lines[n - 1]) - len(lines[n - 1].lstrip()) == depth), 0)  # fmt: skip
        if not end:
            continue
        body = lines[number : end - 1]
        unit = body[0][: len(body[0]) - len(body[0].lstrip())] if body else " " * (depth + 2)
        thrown = f"{unit}throw {caught[1]};"
        if body and re.match(r"\s*return\b.*;\s*$", body[-1]):
            yield replacing(path, note, end - 1, end - 1, [thrown])
        else:
            yield replacing(path, note, end, end - 1, [thrown])


def _all(module: Module) -> Iterator[Stmt]:
    for unit in module.units:
        yield from statements(unit.body)


def reordered(finding: Finding, change: FileChange, analysis: Analysis) -> Iterator[Edit]:
    """Let what stands before another thing stand behind it: in a list of arguments, or line by line."""
    lines, source = lines_of(change.after or b"") or [], analysis.module.source
    note = "after the check, so that it runs for those who may"
    number = finding.start_line
    if finding.side == "before" or not 1 <= number <= len(lines):
        return
    here, starts = lines[number - 1], sum(len(line) + 1 for line in lines[: number - 1])
    if number < len(lines) and re.match(r"\s*(?:prepend_)?before_action\b", here):
        if re.match(r"\s*before_action\b", lines[number]):
            yield replacing(change.path, note, number, number + 1, [lines[number], here])
        return
    for call in (e for stmt in _all(analysis.module) for root in expressions(stmt) for e in subexpressions(root)):
        if call.kind != "call" or call.line != number or call.end_line < number or len(call.args) < 2:
            continue
        for one, other in zip(call.args, call.args[1:]):  # noqa: B905
            a, b = one.value, other.value
            if (
                a.kind not in ("name", "attr", "call")
                or b.kind not in ("name", "attr", "call")
                or b.end > starts + len(here)
            ):
                continue
            text = source[b.start : b.end] + source[a.end : b.start] + source[a.start : a.end]
            new = here[: a.start - starts] + text + here[b.end - starts :]
            yield replacing(change.path, note, number, number, [new])


def together(finding: Finding, change: FileChange, tenant: str) -> Iterator[Edit]:
    """Make what is unique over all tenants unique together with the tenant: by each name of the file that may be one."""
    lines = lines_of(change.after or b"") or []
    if finding.side == "before" or not 1 <= finding.start_line <= len(lines):
        return
    names = (
        [] if change.path.endswith(".sql") else _owners(lines, change.path)
    )  # of several tables, whose they are is not known
    for name in dict.fromkeys([*([tenant] if tenant else []), *names]):
        for number in range(finding.start_line, min(finding.end_line, finding.start_line + 3, len(lines)) + 1):
            for pattern, into in _UNIQUE:
                new, count = pattern.subn(into.replace("TENANT", name), lines[number - 1], 1)
                if count:
                    yield replacing(change.path, f"unique within {name}", number, number, [new])


def _owners(lines: Sequence[str], path: str) -> list[str]:
    """Names in a file that may say to whom a row belongs, the way its language writes a column of them."""
    found = [name for line in lines for name in _OWNER.findall(line)]
    if path.endswith(".rb"):
        found = [match[1] + "_id" for line in lines if (match := _BELONGS.search(line))] + found
    return found[:6]


def unsaid(finding: Finding, analysis: Analysis) -> Iterator[Edit]:
    """Take a credential out of a message, with the words that introduce it."""
    module = analysis.module
    for own in analysis.units.values():
        for fact in own.facts:
            if (
                fact.concept != "log"
                or not fact.labels
                or not fact.line <= finding.end_line
                or fact.end_line < finding.start_line
            ):
                continue
            exprs = [e for stmt in _all(module) if stmt.start < fact.end and fact.start < stmt.end for root in expressions(stmt) for e in subexpressions(root) if fact.start <= e.start and e.end <= fact.end]  # fmt: skip
            sink = max(exprs, key=lambda e: e.end - e.start, default=None)
            for expr in exprs if sink is not None else ():
                edit = _without(finding.path, module, exprs, sink or expr, expr)
                if expr.kind in ("attr", "name", "call", "sub") and edit is not None:
                    yield edit


def _without(path: str, module: Module, exprs: Sequence[Expr], sink: Expr, expr: Expr) -> Edit | None:
    source = module.source
    place = place_of(module, exprs, sink, expr.start, expr.end)
    if place is None or expr is sink or (place.parent is sink and place.index == 0):
        return None
    place = formatted(module, exprs, place)
    if place.hole is None and (module.language == "go" or _dangling(place.parent, place.index)):
        return None  # a key without its value, or words that lead to nothing
    changes = taken_out(module, place, "", _SECRETS)
    if changes is None:
        return None
    start = source.rfind("\n", 0, min(a for a, _, _ in changes)) + 1
    end = source.find("\n", max(b for _, b, _ in changes))
    end = len(source) if end < 0 else end
    text = source[start:end]
    for a, b, new in sorted(changes, reverse=True):
        text = text[: a - start] + new + text[b - start :]
    first = source.count("\n", 0, start) + 1
    note = "the message without the value"
    return replacing(path, note, first, first + source.count("\n", start, end), text.split("\n"))


def _dangling(call: Expr, index: int) -> bool:
    before = call.args[index - 1].value if call.kind == "call" and 0 < index < len(call.args) else None
    return before is not None and before.kind == "str" and bool(_LEADS.search(before.name))
