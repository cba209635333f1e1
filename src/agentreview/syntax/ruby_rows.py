"""Active Record: what a chain is about, which rows an object keeps, and the SQL text that is spliced into a clause."""

from __future__ import annotations

from agentreview.records import replace
from agentreview.syntax.lexicon import Lexicon, resource_name
from agentreview.syntax.patterns import Link, chain
from agentreview.syntax.queries import Sql, sql_of
from agentreview.syntax.tree import Arg, Unit, statements
from agentreview.syntax.values import Evaluator, Value
from agentreview.vocabulary import singular


def model_name(resource: str) -> str:
    """The class behind an association or a variable: ``care_plans`` is ``CarePlan``."""
    if not resource.islower() or not resource.isidentifier():
        return resource
    return "".join(part.title() for part in singular(resource.replace("_", " ")).split())


_ROWS = frozenset(
    "find find_by find_by! find_sole_by first last take all where new build create create! find_or_initialize_by find_or_create_by find_or_create_by! first_or_initialize order includes".split()
)


def instance_rows(unit: Unit) -> dict[str, Value]:
    """Ruby: what a method keeps for the others of its object: ``@patient = Patient.find(params[:id])``."""
    out: dict[str, Value] = {}
    for stmt in statements(unit.body):
        for target in stmt.targets if stmt.kind == "assign" and stmt.value is not None else ():
            if target.kind != "attr" or target.base is None or target.base.name != "self" or stmt.value is None:
                continue
            links = chain(stmt.value)
            at = next((n for n, link in enumerate(links) if link.name in _ROWS), 0)
            held = [link.name for link in links[: at or 1]]
            resource = constant(held) or (held[-1] if at and "_" not in held[-1] else "")
            if resource and (at or links[0].args is not None):
                out[f"self.{target.name}"] = Value(resource=resource_name(resource), record=True)
    return out


_NUMBERS = frozenset(
    "count size length sum average minimum maximum ids human_attribute_name model_name table_name column_names".split()
)


def counted(links: list[Link]) -> bool:
    """Whether a chain ends in numbers, or in a yes or no: ``Patient.group(:ward).count.values.max``."""
    return any(link.name in _NUMBERS or link.name.endswith("?") for link in links)


def associated(links: list[Link]) -> bool:
    """Whether rows are reached through something that was found before: ``current_user.patients``, ``@ward.patients``."""
    return links[0].name not in ("?", "params") and not links[0].name[:1].isupper()


def constant(held: list[str]) -> str:
    """The class a chain begins with: ``Clinic.Patient.active`` is about ``Patient``."""
    found = ""
    for name in held:
        if not name[:1].isupper():
            break
        found = name
    return found


# Active Record takes SQL text in these as well as hashes and names.
_CLAUSES = frozenset(
    "where not rewhere having order reorder group joins left_joins from select pluck pick find_by find_by! exists? delete_by destroy_by update_all lock sum count average minimum maximum or and".split()
)
_COLUMNS = frozenset("order reorder group select pluck pick".split())
_WHOLE = frozenset(
    "sql find_by_sql count_by_sql execute exec_query exec_update exec_delete exec_insert select_all select_one select_rows select_value select_values".split()
)


def clauses_of(links: list[Link], evaluator: Evaluator) -> Sql:
    """Ruby: the most telling SQL text in a chain of calls. A clause counts only when something is spliced into it."""
    best = Sql()
    for link in links:
        for position, arg in enumerate(link.args or ()):
            if arg.name is not None or (position and link.name not in _COLUMNS):
                continue  # what follows the text is bound
            text = Arg(None, arg.value.items[0]) if arg.value.kind == "list" and arg.value.items else arg
            found = sql_of([Link(link.name, (text,), None, link.expr)], evaluator)
            if link.name in _CLAUSES and not found.dynamic:
                continue
            if not found.text and link.name in _WHOLE:
                known = evaluator.value(arg.value)
                chosen = known.request and not known.inert
                found = Sql("{}" if chosen else "", dynamic=chosen, tainted=chosen)
            if link.name in _CLAUSES:
                found = replace(found, table="")
            if (found.tainted, found.dynamic, bool(found.text)) > (best.tainted, best.dynamic, bool(best.text)):
                best = found
    return best


def subject(links: list[Link], index: int, lexicon: Lexicon) -> int:
    """Ruby: the link that names what a query is about: ``Clinic.Patient.active``, ``account.patients.active``."""
    if links[index].name[:1].isupper():
        while index + 1 < len(links) and links[index].args is None and links[index + 1].name[:1].isupper():
            index += 1
        return index
    for at in range(index, 0, -1):
        if lexicon.phi_resource(links[at].name):
            return at
    return index
