"""What one file lends to others, small enough to keep: controls by symbol, what it imports, mounts, and settings.

A summary is plain JSON data, so it can be cached by the file's blob and cross a pipe. It says nothing about the file's
own findings: it is only read where another file would otherwise be told that a control is missing.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from agentreview.detect_models import Lines, source_lines
from agentreview.detect_rules import access_default, automatic_audit
from agentreview.lazyre import lazy
from agentreview.syntax.facts import Analysis, Fact
from agentreview.syntax.imports import imported
from agentreview.syntax.names import annotated
from agentreview.syntax.patterns import chain, names
from agentreview.syntax.reach import _CLASS_HOOKS, CONTROLS, called_by, own_and_helpers
from agentreview.syntax.tree import Expr, Unit, expressions, statements, subexpressions

FORMAT = 3
MAX_BYTES = 512 * 1024
_MAX_USES = 40
_MAX_CONSTANTS, _MAX_PARTS = 60, 60  # of a file, of one constant
# Methods through which an object guards: a dependency, a middleware, a permission class, an interceptor.
_GUARDING = frozenset(
    "__call__ canActivate use intercept has_permission has_object_permission handle preHandle call".split()
)
_MOUNTS = frozenset(
    "include_router use route get post put patch delete all path re_path url register mount add_url_rule register_blueprint "
    "register_router Handle HandleFunc Group GET POST PUT PATCH DELETE Get Post Put Patch Delete add_api_route".split()
)
_RLS = lazy(
    r"ALTER\s+TABLE\s+(?:ONLY\s+)?[\"`]?(?:\w+\.)?[\"`]?(\w+)[\"`]?\s+(?:ENABLE|FORCE)\s+ROW\s+LEVEL\s+SECURITY", re.I
)
_RULES = r"(authenticated|fullyAuthenticated|hasRole|hasAnyRole|hasAuthority|hasAnyAuthority|denyAll|access|permitAll|anonymous)\b"
_SPRING = lazy(r"(?:anyRequest|anyExchange)\(\)\s*\.\s*" + _RULES)
_MATCHERS = lazy(
    r"(?:requestMatchers|antMatchers|mvcMatchers|pathMatchers)\(\s*((?:[^()]|\([^()]*\)){1,2000})\)\s*\.\s*" + _RULES
)
_METHOD = lazy(r"HttpMethod\.(\w+)")
_QUOTED = lazy(r'"([^"\n]{1,200})"')

Summary = dict[str, Any]
Row = list[Any]  # [concept, call, line], and for a filter of a controller: [..., only, but]


def settings_of(path: str, content: bytes) -> Summary:
    """What lines alone say, in any language: the default of endpoints, trails that need no call, row-level security."""
    lines: Lines = source_lines(content)
    found = [(access_default(lines, at), lines[at][0]) for at in range(len(lines))]
    default = [[value, number] for value, number in found if value]
    joined = "\n".join(line for _, line in lines)
    spring = _SPRING.search(joined) if path.endswith((".java", ".kt")) else None
    if spring is not None:
        default.append(["allow" if spring[1] == "permitAll" else "deny", joined.count("\n", 0, spring.start()) + 1])
    return {
        "format": FORMAT,
        "default": default[:10],
        "places": _places(joined) if path.endswith((".java", ".kt")) else [],
        "automatic": [[how, model, number] for how, model, number, _ in automatic_audit(path, lines)][:200],
        "rls": sorted({m.lower() for m in _RLS.findall(joined)})[:500],
        "symbols": {}, "imports": {}, "routers": {}, "reexports": [], "mounts": [], "language": "",
    }  # fmt: skip


def _places(text: str) -> list[Row]:
    """[method or '', path pattern, deny or allow] of a filter chain, in its order: ``requestMatchers("/x/**").hasRole("A")``."""
    out: list[Row] = []
    for found in _MATCHERS.finditer(text):
        method = _METHOD.search(found[1])
        answer = "allow" if found[2] in ("permitAll", "anonymous") else "deny"
        out.extend([method[1] if method else "", pattern, answer] for pattern in _QUOTED.findall(found[1]))
    return out[:1000]


def summarise(analysis: Analysis, controls: Any) -> Summary:
    """Return what the analysed file lends. ``controls`` names the concepts an argument spells (a middleware, a wrapper)."""
    module = analysis.module
    out = settings_of(analysis.path, module.source.encode("utf-8", "replace"))
    out["language"] = module.language
    out["imports"] = dict(module.imports)
    for unit in module.units:
        if unit.kind != "module" and not unit.anonymous:
            out["symbols"].setdefault(unit.qualname, _symbol(analysis, unit))
    for name, row in _constants(analysis, controls).items():
        out["symbols"].setdefault(name, row)
    out["routers"] = {name: [_row(f) for f in facts] for name, facts in analysis.routers.items()}
    if module.language in ("typescript", "javascript"):
        out["reexports"] = sorted(
            {s.op for s in module.root.body if s.kind == "import" and s.op.startswith((".", "@/", "~/"))}
        )
    out["mounts"] = _mounts(analysis, controls) if module.language != "go" else _handed(analysis)
    return out


def _handed(analysis: Analysis) -> list[Row]:
    """[imported name, controls] of handlers, and of functions that are given a router, by what stands in front of them."""
    out: list[Row] = []
    for name, controls in analysis.handed[:200]:
        target = imported(analysis, name)
        if target and controls:
            out.append([target, [_row(f) for f in controls if f.concept in CONTROLS]])
    return out


def _symbol(analysis: Analysis, unit: Unit) -> Row:
    """Return [facts, names it uses, names of its bases] of a class or function, nested functions and hooks included."""
    members = [unit]
    for member in members:  # a decorator's work is done in the function it returns
        for child in member.children:
            if (
                child.kind == "function"
                and (unit.kind == "function" or child.name in _CLASS_HOOKS | _GUARDING)
                and len(members) < 50
            ):
                members.append(child)
    facts: dict[tuple[str, str, str], Row] = {}
    uses: dict[str, None] = {}
    for member in members:
        for fact in own_and_helpers(analysis, member):
            if fact.concept in CONTROLS:
                facts.setdefault((fact.concept, fact.call, f"{fact.only or ''}{fact.but or ''}"), _row(fact))
            elif member.name in ("get_queryset", "filter_queryset", "get_object") and fact.concept == "read":
                for held, concept in ((fact.scoped, "scope"), (fact.owned, "object-check")):
                    if held:
                        facts.setdefault((concept, fact.call, ""), [concept, fact.call, fact.line])
        for one in (member, *called_by(analysis, member)):
            uses.update(dict.fromkeys(imported(analysis, name) for name, _ in analysis.own(one).calls))
    uses.pop("", None)
    bases = [b for b in (imported(analysis, names(chain(base))) for base in unit.bases) if b]
    return [list(facts.values()), list(uses)[:_MAX_USES], bases]


def _constants(analysis: Analysis, controls: Any) -> dict[str, Row]:
    """What :func:`_symbol` returns, of the module's constants that a call or a list makes: middleware, chains of guards.

    ``const isAuthed = t.middleware(…)`` lends what its function does, ``base.use(isAuthed)`` what its parts lend; so does a
    type that brings a dependency.
    """
    own = [f for f in analysis.own(analysis.module.root).facts if f.concept in CONTROLS]
    out: dict[str, Row] = {}
    for stmt in analysis.module.root.body:
        value = stmt.value
        made = value is not None and (value.kind in ("call", "list") or annotated(value))
        if stmt.kind != "assign" or value is None or not made or len(out) >= _MAX_CONSTANTS:
            continue
        rows = {(f.concept, f.call): _row(f) for f in own if stmt.start <= f.start < stmt.end}
        uses: dict[str, None] = {}
        parts = list(islice(subexpressions(value), _MAX_PARTS))
        for name in [part.name for part in parts if part.kind == "name"]:
            unit = analysis.names.get(name)
            if unit is not None and unit.kind == "function":
                lent = _symbol(analysis, unit)  # with the function that it returns
                rows.update({(row[0], row[1]): row for row in lent[0]})
                uses.update(dict.fromkeys(lent[1]))
            elif name in out:
                rows.update({(row[0], row[1]): row for row in out[name][0]})
                uses.update(dict.fromkeys(out[name][1]))
            elif imported(analysis, name):
                uses[imported(analysis, name)] = None
        for part in parts:
            if part.kind in ("name", "attr"):
                rows.update({(row[0], row[1]): row for row in controls(part)})
        for target in stmt.targets:
            if target.kind == "name":
                rows.update({(f.concept, f.call): _row(f) for f in analysis.routers.get(target.name, ())})
                out[target.name] = [list(rows.values()), list(uses)[:_MAX_USES], []]
    return out


def _row(fact: Fact) -> Row:
    limits = [sorted(fact.only), sorted(fact.but)] if fact.only or fact.but else []
    return [fact.concept, fact.call, fact.line, *limits]


def _mounts(analysis: Analysis, controls: Any) -> list[Row]:
    """[imported name, controls] of routers, views and handlers that this file puts behind something."""
    out: list[Row] = []
    for unit in analysis.module.units:
        if unit.kind == "class":
            continue
        before: list[Row] = []  # app.use(requireAuth): holds for what is mounted after it
        for stmt in statements(unit.body):
            for expr in expressions(stmt):
                for call in subexpressions(expr):
                    if call.kind != "call" or len(out) >= 200:
                        continue
                    links = chain(call)
                    args = links[-1].args or ()
                    if links[-1].name not in _MOUNTS or not args:
                        continue
                    held: list[Row] = [row for a in args for row in controls(a.value)]
                    targets = [t for a in args for t in _targets(analysis, a.value)]
                    if links[-1].name == "use" and args[0].value.kind not in ("str", "fstr") and held:
                        before.extend(held)
                    out.extend([target, [*before, *held]] for target in targets if before or held)
    return out


def _targets(analysis: Analysis, value: Expr) -> list[str]:
    """Imported names in an argument: a router, a view, ``Show.as_view()``, ``login_required(views.show)``."""
    out = []
    for sub in subexpressions(value):
        if sub.kind in ("name", "attr"):
            dotted = names(chain(sub))
            if dotted.partition(".")[0] in analysis.module.imports:
                target = imported(analysis, dotted)
                if target and target not in out:
                    out.append(target)
    return out[:20]
