"""A test that proves less than before: an assertion gone or made trivial, a skip added. Looked for in test files only.

Compared by test: one that is gone went with its subject, or was renamed; whether that is so is not for this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from agentreview.lazyre import lazy
from agentreview.policies.guards import called_anew, own_statements
from agentreview.policies.loss import Loss
from agentreview.syntax.patterns import chain
from agentreview.syntax.tree import Expr, Module, Stmt, Unit, expressions, statements, subexpressions

WEAKER = "tests"
_ASSERTS = lazy(
    r"^(?:assert[A-Z_]\w*|assert|expect|should|must|fail|verify[A-Z]\w*|assertThat|require|toBe\w*|toEqual|toMatch\w*|toHave\w*|toThrow\w*|rejects|resolves|raises|warns|called|calledWith|refute\w*|must_\w+|wont_\w+|is_expected|are_expected|Fatal|Fatalf|Errorf|Equal|NoError|Error|True|False|Nil|NotNil|Contains|Len"
    r"|NotEqual|EqualValues|EqualError|ElementsMatch|ErrorIs|ErrorAs|ErrorContains|NotContains|Empty|NotEmpty|JSONEq|Panics|NotPanics|IsType|Expect|verify|andExpect|andExpectAll|expectStatus|expectBody|expectNext\w*)$"
)
_OUTER = frozenset("expect assert fail should raises warns is_expected are_expected Expect verify".split())
_SKIPS = lazy(
    r"(?:^|\.)(?:skip|skipIf|skip_if|xfail|expectedFailure|only|todo|fixme|Disabled|Ignore|Skip|SkipNow|xit|xdescribe|xtest|fit|fdescribe|xcontext|xspecify|xscenario|xfeature|xexample|fcontext|fspecify|pending)$"
)
_TEST = lazy(r"^(?:test|Test|it\b|it\(|it\.|should|describe)|\.(?:it|test)\(|^test\(")
_TRIVIAL = lazy(
    r"^(?:assert (?:True|1|not False)|expect\((?:true|1)\)\.(?:toBe|toEqual)\((?:true|1)\)|self\.assertTrue\(True\)|assertTrue\(true\)|expect\((?:true|1)\)\.to \w+(?:[( ](?:true|1)\)?)?|assert\(?\s?true\)?"
    r"|(?:assert|require)\.True\(t, true\)|if false|assertThat\(true\)\.isTrue\(\)|Expect\(true\)\.To\(BeTrue\(\)\))$"
)
# What a Go test says of every step: that it did not fail.
_PLUMBING = lazy(
    r"^(?:if err\w* != nil|(?:\w+\.)*(?:T\(\)\.|Require\(\)\.)?(?:NoError|NoErrorf|Nil|FailNow|FailNowf|Error|Fatal|Fatalf)\((?:[\w.()]+, )?(?:err\b.*|err\w*\)))"
)
_GO = frozenset("t b tb".split())  # if got != want { t.Errorf(…) }: the condition is what is asserted
_FAILS = frozenset("Error Errorf Fatal Fatalf Fail FailNow".split())
_MARKS = frozenset("Test ParameterizedTest RepeatedTest TestFactory Property".split())


_RUNNERS = lazy(r"\b[xf]?(it|test|describe|context|suite)(?:\.(?:skip|only|todo|fixme|failing|concurrent))*(?=\()")
_PROTECTS = lazy(
    r"(?i)den(?:y|ied|ies)|forbid|refus|unauth|40[134]|permission|other[_ ]?(?:org|tenant|user|clinic)|cross[_ ]?tenant|foreign|isolat|audit|not[_ ]?allowed|rejects?"
)
_WEAK = lazy(
    r"\.(?:toBeDefined|toBeTruthy|not\.toBeNull|not\.toBeUndefined|not\.toThrow|toBeInstanceOf|toBeGreaterThanOrEqual)\(|(?:is not None|is not null|!= None|!== null|!== undefined)$"
)
_REFUSED = lazy(r"\b40[134]\b|HTTP_40[134]|(?i:forbidden|unauthorized|not_?found|denied)|\b(?:False|false)\b")
_LET_IN = lazy(r"\b20[0124]\b|HTTP_20[0124]|\b(?:True|true)\b|\bin [\[(]|toContain|oneOf")
_AS_TRUE = lazy(r"(?:\bis|==|,) True\)?$|(?:>|!=) 0$|>= 1$")
_SUBJECT = lazy(
    r"^assert (?:not )?(.+?)(?: (?:==|!=|is|in|not in|>|<|>=|<=)(?: not)? |$)|^(?:await )?expect\((.+?)\)\.|^self\.assert\w+\((.+?)(?:,|\)$)"
)


def title(unit: Unit) -> str:
    """What a test is called, run or not: ``it.skip('hides')`` is ``it('hides')``."""
    return _RUNNERS.sub(r"\1", unit.qualname)


def is_test(unit: Unit) -> bool:
    """Whether a function is a test, by its name."""
    return unit.kind == "function" and _TEST.search(unit.name) is not None


def gone(before: Module, unit: Unit) -> Iterator[Loss]:
    """A test about who may, or about the trail, that is no longer there."""
    if is_test(unit) and _PROTECTS.search(unit.name) and _assertions(before, unit):
        yield Loss(WEAKER, "", f"the whole test `{unit.name[:80]}`", unit.line, sure=False)


def _subject(text: str) -> str:
    found = _SUBJECT.match(text)
    return next((one for one in found.groups() if one), "") if found else ""


def weakened(before: Module, old: Unit, after: Module, new: Unit) -> Iterator[Loss]:
    """What a test lost."""
    if old.kind != "function":
        return
    had, has = _assertions(before, old), _assertions(after, new)
    lost, come = list((had - has).elements()), list((has - had).elements())
    if has:
        lost = [text for text in lost if not _PLUMBING.match(text)]  # a step that can no longer fail
    trivial = next((text for text in come if _TRIVIAL.match(text)), "")
    if trivial and lost:
        yield Loss(WEAKER, "an assertion became", f"`{trivial}` (was `{lost[0][:80]}`)", old.line, new.line)
    elif lost and come:
        for was in lost:
            about = _subject(was)
            same = next((now for now in come if about and _subject(now) == about), "")
            same = same or next((now for now in come if _weak(now) and about.startswith(f"{_subject(now)}.")), "")
            if same and _weak(same) and not _weak(was) and not _AS_TRUE.search(was):
                yield Loss(WEAKER, "an assertion became", f"`{same[:80]}` (was `{was[:80]}`)", old.line, new.line)
                break
            if same and _REFUSED.search(was) and _LET_IN.search(same) and not _LET_IN.search(was):
                yield Loss(
                    WEAKER, "a refusal became", f"`{same[:80]}` (was `{was[:80]}`)", old.line, new.line, sure=False
                )
                break
    elif lost and not come and not called_anew(old, new):  # else it was rewritten, or a helper asserts now
        which = "the assertion" if has else "its last assertion"
        yield Loss(WEAKER, "", f"{which} `{lost[0][:100]}`", old.line, new.line, sure=False)
    skipped = _skips(new) - _skips(old)
    marked = {chain(d)[-1].name for d in old.decorators} & _MARKS
    if marked and had and not {chain(d)[-1].name for d in new.decorators} & _MARKS:
        yield Loss(WEAKER, "its run:", f"@{min(marked)} was removed", old.line, new.header_line or new.line, sure=False)
    if skipped and had:
        yield Loss(
            WEAKER,
            "its run:",
            f"{', '.join(sorted(skipped))} was added",
            old.line,
            new.header_line or new.line,
            sure=False,
        )


def _weak(text: str) -> bool:
    """Whether an assertion only asks for some value: that it is there, or that it counts as true."""
    same = _subject(text)
    bare = (f"assert {same}", f"self.assertTrue({same})", f"self.assertIsNotNone({same})")
    return _WEAK.search(text) is not None or text in bare


def _assertions(module: Module, unit: Unit) -> Counter[str]:
    out: Counter[str] = Counter()
    for stmt in own_statements(unit):
        text = " ".join(module.source[stmt.start : stmt.end].replace('"', "'").split())
        if stmt.kind == "assert":
            out[text.rstrip(";")] += 1
        elif stmt.kind == "if" and stmt.value is not None and any(_fails(s) for s in stmt.body):
            out[f"if {' '.join(module.source[stmt.value.start : stmt.value.end].split())}"[:200]] += 1
        elif _fails(stmt):
            continue
        elif stmt.kind in ("expr", "return", "with") and stmt.value is not None:
            spelled = [link.name for link in chain(stmt.value)]
            if any(_ASSERTS.match(name) for name in spelled) and (
                spelled[0] in _OUTER or len(spelled) > 1 or spelled[0].startswith(("assert", "refute"))
            ):
                out[(text if stmt.kind != "with" else text.partition(":")[0]).rstrip(";")[:200]] += 1
    return out


def _fails(stmt: Stmt) -> bool:
    """``t.Errorf(…)``, ``t.Fatal(…)``."""
    links = chain(stmt.value) if stmt.kind == "expr" and stmt.value is not None else []
    return len(links) == 2 and links[0].name in _GO and links[1].name in _FAILS


def _skips(unit: Unit) -> frozenset[str]:
    out = set()
    sources: list[Expr] = list(unit.decorators)
    if unit.call is not None:
        sources.append(unit.call)
    for source in sources:
        spelled = ".".join(link.name for link in chain(source))
        if _SKIPS.search(spelled):
            out.add(spelled)
    every = list(own_statements(unit))
    under = {id(inner) for s in every if s.kind == "if" for inner in statements((*s.body, *s.orelse))}
    for stmt in every:
        for expr in expressions(stmt) if id(stmt) not in under else ():  # if testing.Short() { t.Skip() }
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
                            "t.Skipf",
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


_THRESHOLD = lazy(
    r"(?i)\b(fail_under|fail-under|branches|functions|lines|statements|min_coverage|minimum)\b[\"']?\s*[:=]\s*(\d{1,3})"
)
_SETTINGS = lazy(
    r"(?:^|/)(?:pyproject\.toml|setup\.cfg|tox\.ini|\.coveragerc|package\.json|\.nycrc(?:\.json)?|(?:jest|vitest|karma)\.config\.[cm]?[jt]s|\.simplecov)$"
)


def thresholds(path: str, before: str, after: str) -> Iterator[tuple[int, str]]:
    """(line, what) of coverage that a change asks less of."""
    if not _SETTINGS.search(path):
        return
    had = {m[1].lower(): int(m[2]) for m in _THRESHOLD.finditer(before)}
    for number, line in enumerate(after.split("\n"), 1):
        found = _THRESHOLD.search(line[:300])
        if found and int(found[2]) < had.get(found[1].lower(), 0):
            yield number, f"{found[1]} {found[2]} (was {had[found[1].lower()]})"
