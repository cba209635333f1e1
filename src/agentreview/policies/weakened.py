"""A test that proves less than before: an assertion gone or made trivial, a skip added. Looked for in test files only.

Compared by test: one that is gone went with its subject, or was renamed; whether that is so is not for this module.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from agentreview.policies.guards import called_anew, own_statements
from agentreview.policies.loss import Loss
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Expr, Module, Unit, expressions, subexpressions

WEAKER = "tests"
_ASSERTS = re.compile(
    r"^(?:assert[A-Z_]\w*|assert|expect|should|must|fail|verify[A-Z]\w*|assertThat|require|toBe\w*|toEqual|toMatch\w*|toHave\w*|toThrow\w*|rejects|resolves|raises|warns|called|calledWith|refute\w*|must_\w+|wont_\w+|is_expected|are_expected|Equal|NoError|Error|True|False|Nil|NotNil|Contains|Len)$"
)
_OUTER = frozenset("expect assert fail should raises warns is_expected are_expected".split())
_SKIPS = re.compile(
    r"(?:^|\.)(?:skip|skipIf|skip_if|xfail|expectedFailure|only|todo|fixme|Disabled|Ignore|Skip|SkipNow|xit|xdescribe|xtest|fit|fdescribe|xcontext|xspecify|xscenario|xfeature|xexample|fcontext|fspecify|pending)$"
)
_TEST = re.compile(r"^(?:test|Test|it\b|it\(|it\.|should|describe)|\.(?:it|test)\(|^test\(")
_TRIVIAL = re.compile(
    r"^(?:assert (?:True|1|not False)|expect\((?:true|1)\)\.(?:toBe|toEqual)\((?:true|1)\)|self\.assertTrue\(True\)|assertTrue\(true\)|expect\((?:true|1)\)\.to \w+(?:[( ](?:true|1)\)?)?|assert\(?\s?true\)?)$"
)


def weakened(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    """What a test lost."""
    if old.kind != "function":
        return
    had, has = _assertions(before, old), _assertions(after, new)
    gone, come = list((had - has).elements()), list((has - had).elements())
    trivial = next((text for text in come if _TRIVIAL.match(text)), "")
    if trivial and gone:
        yield Loss(WEAKER, "an assertion became", f"`{trivial}` (was `{gone[0][:80]}`)", old.line, new.line)
    elif gone and not come and not called_anew(old, new):  # else it was rewritten, or a helper asserts now
        which = "the assertion" if has else "its last assertion"
        yield Loss(WEAKER, "", f"{which} `{gone[0][:100]}`", old.line, new.line, sure=False)
    skipped = _skips(new) - _skips(old)
    if skipped and had:
        yield Loss(
            WEAKER,
            "its run:",
            f"{', '.join(sorted(skipped))} was added",
            old.line,
            new.header_line or new.line,
            sure=False,
        )


def _assertions(module: Module, unit: Unit) -> Counter[str]:
    out: Counter[str] = Counter()
    for stmt in own_statements(unit):
        text = " ".join(module.source[stmt.start : stmt.end].replace('"', "'").split())
        if stmt.kind == "assert":
            out[text.rstrip(";")] += 1
        elif stmt.kind in ("expr", "return", "with") and stmt.value is not None:
            spelled = [link.name for link in chain(stmt.value)]
            if any(_ASSERTS.match(name) for name in spelled) and (
                spelled[0] in _OUTER or len(spelled) > 1 or spelled[0].startswith(("assert", "refute"))
            ):
                out[(text if stmt.kind != "with" else text.partition(":")[0]).rstrip(";")[:200]] += 1
    return out


def _skips(unit: Unit) -> frozenset[str]:
    out = set()
    sources: list[Expr] = list(unit.decorators)
    if unit.call is not None:
        sources.append(unit.call)
    for source in sources:
        spelled = ".".join(link.name for link in chain(source))
        if _SKIPS.search(spelled):
            out.add(spelled)
    for stmt in own_statements(unit):
        for expr in expressions(stmt):
            for sub in subexpressions(expr):
                if sub.kind == "call":
                    links = chain(sub)
                    spelled = ".".join(link.name for link in links)
                    unconditional = len(links[-1].args or ()) <= 1
                    if (
                        spelled
                        in (
                            "pytest.skip",
                            "self.skipTest",
                            "t.Skip",
                            "t.SkipNow",
                            "test.skip",
                            "this.skip",
                            "skip",
                            "pending",
                        )
                        and unconditional
                        and stmt.kind == "expr"
                    ):
                        out.add(spelled)
    return frozenset(out)
