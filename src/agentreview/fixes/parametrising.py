"""Values out of the text of a statement: into its parameters, where the driver's placeholder is known."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentreview.fixes.edits import replacing
from agentreview.lazyre import lazy
from agentreview.model import Edit, Finding
from agentreview.syntax.facts import Analysis
from agentreview.syntax.tree import Expr, Module, expressions, statements, subexpressions

_PERCENT = ("django", "psycopg", "psycopg2", "MySQLdb", "pymysql")
_VALUE = lazy(
    r"(?:=|<|>|<>|!=|\b(?:NOT\s+)?I?LIKE|\bVALUES\s*\((?:[^()]*,)?|\bIN\s*\((?:[^()]*,)?|\bLIMIT|\bOFFSET|\bBETWEEN|\bAND)\s*$",
    re.IGNORECASE,
)
_OPENED, _CLOSED = lazy(r"'([%_]*)$"), lazy(r"^([%_]*)'")
_PRISMA = lazy(r"\$(query|execute)RawUnsafe\(\s*$")
_NOTE = "values as parameters of the statement"


def parametrised(finding: Finding, analysis: Analysis) -> Iterator[Edit]:
    """Yield edits of the statements on the finding's lines whose values stand where a value may stand."""
    module = analysis.module
    for call in _calls(module, finding):
        text = _call(module, call)
        if text is not None:
            first, last = call.line, call.end_line
            start = module.source.rfind("\n", 0, call.start) + 1
            end = module.source.find("\n", call.end)
            end = len(module.source) if end < 0 else end
            whole = module.source[start : call.start] + text + module.source[call.end : end]
            yield replacing(finding.path, _NOTE, first, last, whole.split("\n"))


def _calls(module: Module, finding: Finding) -> Iterator[Expr]:
    for unit in module.units:
        for stmt in statements(unit.body):
            for root in expressions(stmt):
                for expr in subexpressions(root):
                    at = (
                        finding.start_line <= expr.line <= finding.end_line
                        or expr.line <= finding.start_line <= expr.end_line
                    )
                    if at and expr.kind == "call" and len(expr.args) == 1 and expr.args[0].value.kind == "fstr":
                        yield expr


def _call(module: Module, call: Expr) -> str | None:
    """Return the call with placeholders in its text and the values behind it; None where that is not sure."""
    source, statement = module.source, call.args[0].value
    head, tail = source[call.start : statement.start], source[statement.end : call.end]
    prisma = _PRISMA.search(head)
    style = "${}" if prisma else _style(module)
    if not style or not statement.items or tail.strip(" \t\n,") != ")":
        return None
    out, values, position = "", [], statement.start
    for number, hole in enumerate(statement.items, 1):
        opened, closed = _around(source, hole, statement)
        if opened < position or closed > statement.end:
            return None
        text, value = source[position:opened], source[hole.start : hole.end]
        before, after = _OPENED.search(text), _CLOSED.match(source[closed : statement.end])
        if before and after:
            text = text[: before.start()]
            closed += after.end()
            value = _affixed(before[1], value, after[1], module)
        if not value or not _VALUE.search(out + text):
            return None
        out += text + style.replace("{}", f"{{{value}}}").replace("$1", f"${number}")
        values.append(value)
        position = closed
    out += source[position : statement.end]
    if prisma:
        return f"{head[: prisma.start()]}${prisma[1]}Raw{out}"
    if style == "%s" and out.count("%") != len(values):
        return None
    if module.language == "python":
        out = re.sub(r"^(?:[fF]|[rR][fF]|[fF][rR])(?=[\"'])", "", out)
    elif out[:1] == "`" and "${" not in out and "\n" not in out and '"' not in out:
        out = f'"{out[1:-1]}"'
    return f"{head}{out}, [{', '.join(values)}]{tail.replace(',', '')}"


def _affixed(before: str, value: str, after: str, module: Module) -> str:
    """Return a value with the wildcards that stood around it in the text."""
    if not before and not after:
        return value
    if module.language == "python":
        return "" if '"' in value or "\\" in value else f'f"{before}{{{value}}}{after}"'
    return f"`{before}${{{value}}}{after}`"


def _around(source: str, hole: Expr, statement: Expr) -> tuple[int, int]:
    """Return where the braces of a hole begin and end; a conversion or format in it makes that end before it starts."""
    start = source.rfind("{", statement.start, hole.start)
    end = source.find("}", hole.end, statement.end) + 1
    if source[hole.end : end - 1].strip() or source[start + 1 : hole.start].strip():
        return -1, -1
    return (start - 1 if source[start - 1] == "$" else start), end


def _style(module: Module) -> str:
    came_from = set(module.imports.values())
    roots = {name.split(".")[0] for name in came_from}
    if module.language == "python":
        if "sqlite3" in roots:
            return "?"
        known = any(name == one or name.startswith(f"{one}.") for name in came_from for one in _PERCENT)
        return "%s" if known else ""
    if module.language in ("typescript", "javascript") and "pg" in roots:
        return "$1"
    return ""
