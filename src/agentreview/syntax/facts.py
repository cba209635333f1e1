"""What the code of one file does, in framework-neutral words: facts, found once per file version.

:func:`analyse` reads every unit of a module in document order and returns an :class:`Analysis`. Facts of anonymous
callbacks belong to the unit around them (a transaction callback is part of its handler); route handlers are units of
their own. :mod:`agentreview.syntax.reach` answers which facts hold for a unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentreview.records import dataclass, field
from agentreview.syntax.lexicon import Lexicon
from agentreview.syntax.tree import Expr, Module, Stmt, Unit

if TYPE_CHECKING:
    from agentreview.syntax.frameworks import Matchers
    from agentreview.syntax.patterns import Glob


@dataclass(slots=True, eq=False, repr=False)
class Fact:
    """One thing the code does. ``call`` is its callee chain, ``labels`` what a sink would reveal."""

    concept: str
    unit: Unit
    start: int
    end: int
    line: int
    end_line: int
    call: str
    resource: str = ""
    phi: bool = False
    certain: bool = True
    keyed: bool = False
    alone: bool = False  # a query with no condition but the key from the client
    scoped: bool = False
    owned: bool = False
    single: bool = False
    countable: bool = False  # the key is a number that can be counted up
    bulk: bool = False
    dynamic: bool = False
    tainted: bool = False
    text: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    framework: str = ""
    via: str = ""  # the helper or base class that lends it
    only: frozenset[str] = frozenset()  # of a filter of a controller: the methods it holds for, none named = all
    but: frozenset[str] = frozenset()  # and those it does not hold for

    def holds_for(self, name: str) -> bool:
        """Whether a fact of a class holds for its method of this name."""
        return (not self.only or name in self.only) and name not in self.but


@dataclass(slots=True, eq=False, repr=False)
class Endpoint:
    """A unit that answers requests: where it is registered and what runs in front of it."""

    unit: Unit
    framework: str
    router: str = ""
    path: str = ""
    line: int = 0
    guessed: bool = False  # by its parameters alone: a helper or a middleware looks the same
    handler: str = ""  # of a registration: the function of another file that answers
    placed: bool = False  # its router says what stands in front of it; the function around it does not
    shaped: bool = False  # what it returns is cut to a schema: a response model, a type of GraphQL
    client: Glob | None = None  # which parameters the client fills, by name or position; None: those that look like it


@dataclass(slots=True, eq=False, repr=False)
class UnitFacts:
    """Facts a unit itself holds: in its body, its decorators and parameters; and the helpers it calls."""

    unit: Unit
    facts: list[Fact] = field(default_factory=list)
    calls: list[tuple[str, Expr]] = field(default_factory=list)  # names of possible helpers: ``foo``, ``self.foo``
    tries: list[Stmt] = field(default_factory=list)
    catches: list[tuple[Expr, Unit]] = field(default_factory=list)  # promise.catch(callback)
    suppressed: list[Stmt] = field(default_factory=list)  # with suppress(...)
    tenant_inputs: list[Expr] = field(default_factory=list)
    questions: set[str] = field(default_factory=set)  # callees that are given the caller, or ask by their name


@dataclass(slots=True, eq=False, repr=False)
class Analysis:
    """Everything known of one version of one file."""

    module: Module
    path: str
    units: dict[int, UnitFacts]
    endpoints: dict[int, Endpoint]
    routers: dict[str, list[Fact]]
    hooks: list[Unit]
    lexicon: Lexicon
    names: dict[str, Unit]
    shows_tenant: bool = False
    handed: list[tuple[str, list[Fact]]] = field(default_factory=list)  # names of other files, behind these controls
    starts: list[int] | None = None  # of its endpoints, in order, once somebody asked
    lent: dict[int, list[Fact]] = field(default_factory=dict)  # what reach worked out, once a unit
    compared: tuple[Analysis, Any] | None = None  # a later version, and what this one had more, once somebody asked

    def own(self, unit: Unit) -> UnitFacts:
        """Facts of a unit (empty for one that was merged into another)."""
        return self.units.get(id(unit)) or UnitFacts(unit)


def analyse(module: Module, path: str, matchers: Matchers, lexicon: Lexicon) -> Analysis:
    """Read every unit of the module. Linear in its size."""
    from agentreview.syntax.reader import Reader

    return Reader(module, path, matchers, lexicon.for_file(path, module.source)).run()
