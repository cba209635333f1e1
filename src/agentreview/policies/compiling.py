"""Policy and framework files checked and compiled to plain JSON data: every mistake is an error with its line.

Used when a file is read for the first time; what comes out is kept (:mod:`agentreview.policies.load`). Raw ast-grep
rules are only tried here when asked: trying one costs what its author likes, so files of the reviewed tree are tried
in a worker (:mod:`agentreview.policies.project`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from agentreview.checked import KeyPath, dotted, nearest, shown
from agentreview.errors import ConfigError
from agentreview.facts import KEYS as KEYS_OF_FACTS
from agentreview.lazyre import lazy
from agentreview.model import Hit, Severity
from agentreview.policies.load import FORMAT
from agentreview.policies.yamlfile import SEE, Lines, YamlReader, decoded, document, front_matter
from agentreview.records import dataclass, fields
from agentreview.syntax.frameworks import CONCEPTS, KINDS, MODIFIERS, Entry, compile_entry

# The keys that mean something to a form, beside those that every form has (_COMMON); ``+`` marks those it cannot do without.
# A key that a form does not read is an error: it would look as if it narrowed the check.
FORMS: dict[str, str] = {
    "require": "in when concepts +require unless siblings",
    "present": "in when +concepts unless",
    "flow": "+from +into unless",
    "input": "in unless",
    "removed": "+concepts",
    "loosened": "+when",
    "weakened": "",
    "swallow": "+concepts",
    "match": "+language +rule when",
    "secrets": "",
    "gate": "",
    "waived": "",
    "unique": "",
    "plain-column": "",
    "order": "+concepts +unless",
    "grown": "",
    "suppressed": "",
    "fixture": "",
    "lines": "+lines +files when",
    "untested": "+concepts",
    "memo": "+concepts unless",
    "job": "+concepts unless",
}
BUILT_IN_FORMS = frozenset(
    {"secrets", "gate", "waived"}
)  # they judge the gate itself, or what no project should spell again
KEYS = ("id", "title", "severity", "cwe", "references", "needs", "fix", "checks", "skip", "superseded_by")
FRAMEWORK_KEYS = ("id", "title", "languages", "imports", "concepts")
SEVERITIES = tuple(severity.value for severity in Severity)
PLACES = ("endpoint", "unit", "class", "module", "any")
SOURCES = ("phi-field", "phi-object", "phi-name", "request-body", "secret")
PATH_CLASSES = ("tests", "migrations", "commands", "seeds", "docs", "types")
# Filters of ``when``: what each may be. True stands for true or false, "" for text.
FILTERS: dict[str, Any] = {
    "concepts": (),
    "resource": "",
    "keyed": ("request",),
    "single": True,
    "bulk": True,
    "scoped": True,
    "owned": True,
    "dynamic": True,
    "tainted": True,
    "text": "",
    "explicit": True,
    "also": "",
    "about": ("access", "input"),
    "named": ("credential",),
    "trail": True,
    "tenant-column": True,
    "labelled": True,
    "many": True,
    "nested": True,
    "unit": "",
    "place": PATH_CLASSES,
    "countable": True,
    "beside": "",
}
PLACEHOLDERS = ("unit", "resource", "call", "value", "line", "tenant")
_HOLE = lazy(r"\{([A-Za-z]+)\}")
_COMMON = ("form", "hit", "message", "fix", "severity", "silent")


@dataclass(frozen=True, slots=True)
class Source:
    """A policy file: its id by its name, the path that errors name, and its bytes."""

    id: str
    path: str
    data: bytes


def policy(source: Source, citations: Collection[str], *, own: bool = True) -> tuple[dict[str, Any], Lines]:
    """Check and compile one policy file; raw rules are not tried. Raises ConfigError for the first mistake.

    ``own``: whether it is one of ours. Project policies may not use the forms that judge the gate itself.
    """
    text = decoded(source.data, source.path)
    data, lines, body, _ = front_matter(text, source.path)
    reader = YamlReader(source.path, lines)
    reader.table(data, (), KEYS)
    for key in ("id", "title", "severity", "fix", "checks"):
        if data.get(key) is None:
            reader.fail((key,) if key in data else (), f"the key {key!r} is missing", f"Write {key}: … . {SEE}")
    if data["id"] != source.id:
        given = shown(data["id"]) if isinstance(data["id"], str) else "no text"
        reader.fail(("id",), f"id is {given}, the file name says {shown(source.id)}", f"Write id: {source.id}")
    checks = reader.array(data["checks"], ("checks",), "checks")
    if not checks:
        reader.fail(("checks",), "there is no check, so it would never find anything", SEE)
    references = list(reader.strings(data.get("references", []), ("references",)))
    for number, reference in enumerate(references):
        if reference not in citations:
            message = f"{shown(reference)} is not in policies/citations.yml, and nothing else is cited"
            reader.fail(("references", number), message, nearest(reference, citations))
    cwe = reader.array(data.get("cwe", []), ("cwe",), "numbers")
    fix = reader.text(data["fix"], ("fix",))
    _placeholders(reader, fix, ("fix",))
    sections = _sections(body)
    return {
        "id": source.id,
        "rule": {
            "id": source.id, "title": reader.text(data["title"], ("title",), most=200),
            "severity": reader.choice(data["severity"], ("severity",), SEVERITIES), "pack": source.id.split(".", 1)[0],
            "why": sections.get("why", "").strip(), "fix": fix, "help": without_examples(body),
            "cwe": [f"CWE-{reader.number(n, ('cwe', i), 1, 9999, whole=True)}" for i, n in enumerate(cwe)], "references": references,
        },
        "checks": [_check(reader, raw, ("checks", number), own=own) for number, raw in enumerate(checks)],
        "needs": _each(reader, data.get("needs", []), ("needs",), KEYS_OF_FACTS, "project fact"),
        "skip": _each(reader, data.get("skip", []), ("skip",), PATH_CLASSES, "path class"),
        "superseded_by": reader.string(data.get("superseded_by", ""), ("superseded_by",), empty=True),
    }, lines  # fmt: skip


def _each(reader: YamlReader, value: Any, key: KeyPath, known: Collection[str], what: str) -> list[str]:
    """Return a list of names out of a closed list."""
    names = reader.strings(value, key)
    for number, name in enumerate(names):
        if name not in known:
            reader.fail((*key, number), f"unknown {what} {shown(name)} in {dotted(key)}", nearest(name, known))
    return list(names)


def _concepts(reader: YamlReader, raw: Mapping[str, Any], name: str, key: KeyPath) -> list[str]:
    return _each(reader, raw.get(name, []), (*key, name), CONCEPTS, "concept")


def _check(reader: YamlReader, raw: Any, key: KeyPath, *, own: bool) -> dict[str, Any]:
    every = {name for keys in FORMS.values() for name in keys.replace("+", "").split()} | set(_COMMON)
    reader.table(raw, key, every)
    forms = tuple(form for form in FORMS if own or form not in BUILT_IN_FORMS)
    if "form" not in raw:
        reader.fail(key, "the key 'form' is missing", f"Use one of {', '.join(forms)}")
    form = raw["form"]
    if form not in forms:
        given = shown(form) if isinstance(form, str) else "no text"
        reader.fail((*key, "form"), f"unknown form {given}", nearest(str(form), forms))
    keys = FORMS[form].split()
    for name in raw:
        if name not in _COMMON and name not in FORMS[form].replace("+", "").split():
            known = [*_COMMON, *(one.lstrip("+") for one in keys)]
            reader.fail(
                (*key, name), f"the form {form} does not read the key {shown(name)}", f"It reads {', '.join(known)}"
            )
    when = _when(reader, raw.get("when", {}), (*key, "when"))
    concepts = _concepts(reader, raw, "concepts", key) or when.pop("concepts", [])
    given_keys = {name for name in raw if raw[name] not in (None, [], "", {})} | ({"concepts"} if concepts else set())
    for name in (one[1:] for one in keys if one.startswith("+")):
        if name not in given_keys:
            reader.fail((*key, name) if name in raw else key, f"the form {form} needs the key {name!r}", SEE)
    if form == "loosened" and "about" not in when:
        reader.fail((*key, "when"), "the form loosened needs when: {about: access} or {about: input}", SEE)
    siblings = raw.get("siblings", False)
    if siblings != "only":
        reader.flag(siblings, (*key, "siblings"))
    message, fix = ("" if name not in raw else reader.text(raw[name], (*key, name)) for name in ("message", "fix"))
    for name, text in (("message", message), ("fix", fix)):
        _placeholders(reader, text, (*key, name))
    if form == "match":
        _language(reader, raw["language"], (*key, "language"))
        if not isinstance(raw["rule"], dict):
            reader.fail((*key, "rule"), "rule must be a mapping: an ast-grep rule such as {pattern: eval($X)}", SEE)
    return {
        "form": form, "hit": reader.choice(raw.get("hit", "suspect"), (*key, "hit"), tuple(h.value for h in Hit)), "message": message,
        "where": reader.choice(raw.get("in", "endpoint" if form in ("require", "input") else "any"), (*key, "in"), PLACES),
        "concepts": list(concepts), "when": [[k, v] for k, v in when.items()], "require": _concepts(reader, raw, "require", key), "unless": _concepts(reader, raw, "unless", key),
        "sources": _each(reader, raw.get("from", []), (*key, "from"), SOURCES, "source"), "sinks": _concepts(reader, raw, "into", key),
        "siblings": "only" if siblings == "only" else "yes" if siblings else "", "language": raw.get("language", ""), "rule": json.dumps(raw["rule"]) if raw.get("rule") else "",
        "fix": fix, "lines": reader.text(raw["lines"], (*key, "lines")).lower() if "lines" in raw else "",
        "files": list(reader.strings(raw.get("files", []), (*key, "files"), glob=True)),
        "severity": reader.choice(raw["severity"], (*key, "severity"), SEVERITIES) if "severity" in raw else None,
        "silent": reader.text(raw["silent"], (*key, "silent")).lower() if "silent" in raw else "",
    }  # fmt: skip


def _when(reader: YamlReader, value: Any, key: KeyPath) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, given in reader.table(value, key, FILTERS, "filter").items():
        here, wanted = (*key, name), FILTERS[name]
        if name == "concepts":
            out[name] = _concepts(reader, value, name, key)
        elif wanted is True:
            out[name] = reader.flag(given, here)
        elif wanted == "":
            out[name] = reader.text(given, here)
        else:
            out[name] = reader.choice(given, here, wanted)
    for number, name in enumerate(str(out.get("also", "")).split("|")):
        if out.get("also") and name not in CONCEPTS:
            reader.fail(
                (*key, "also"), f"unknown concept {shown(name)} in also (number {number + 1})", nearest(name, CONCEPTS)
            )
    return out


def _placeholders(reader: YamlReader, text: str, key: KeyPath) -> None:
    """Refuse what is almost a placeholder; other braces are code."""
    from difflib import get_close_matches

    for name in _HOLE.findall(text):
        near = get_close_matches(name, PLACEHOLDERS, n=1, cutoff=0.75)
        if near and name not in PLACEHOLDERS:
            reader.fail(key, f"{{{name}}} is no placeholder", f"Did you mean {{{near[0]}}}?")


def languages() -> tuple[str, ...]:
    """Languages that are reviewed, by the names that framework files use."""
    from agentreview.syntax.parse import _GRAMMARS

    return tuple(sorted({language for language, _ in _GRAMMARS.values()}))


def _language(reader: YamlReader, value: Any, key: KeyPath) -> None:
    known = (*languages(), "tsx")
    if value not in known:
        given = shown(value) if isinstance(value, str) else "no text"
        reader.fail(key, f"a match check needs a language that is reviewed, not {given}", nearest(str(value), known))


def try_rules(compiled: Mapping[str, Any], path: str, lines: Lines) -> None:
    """Compile the raw rules of a policy once: ast-grep reports a bad one only when it is used."""
    from agentreview.syntax.match import find

    for number, check in enumerate(compiled["checks"]):
        if check["form"] != "match":
            continue
        try:
            find("", check["language"], json.loads(check["rule"]))
        except ValueError as error:
            reader = YamlReader(path, lines)
            reader.fail(
                ("checks", number, "rule"),
                f"ast-grep refuses the rule: {error}",
                "https://ast-grep.github.io says what a rule may be",
            )


def framework(data: bytes, name: str, path: str) -> tuple[dict[str, Any], Lines]:
    """Check and compile one framework file; ``name`` is the file's without its suffix. Raises ConfigError."""
    value, lines = document(decoded(data, path), path)
    reader = YamlReader(path, lines)
    reader.table(value, (), FRAMEWORK_KEYS)
    for key in ("id", "languages", "concepts"):
        if not value.get(key):
            reader.fail((key,) if key in value else (), f"the key {key!r} is missing", f"Write {key}: … . {SEE}")
    if value["id"] != name:
        reader.fail(("id",), f"id is {shown(str(value['id']))}, the file name says {shown(name)}", f"Write id: {name}")
    if "title" in value:
        reader.text(value["title"], ("title",), most=200)
    concepts = reader.table(value["concepts"], ("concepts",), CONCEPTS, "concept")
    for concept, raws in concepts.items():
        entries = reader.array([] if raws is None else raws, ("concepts", concept), "entries")
        for number, raw in enumerate(entries):
            _entry(reader, name, concept, raw, ("concepts", concept, number))
    return {
        "id": name,
        "languages": _each(reader, value["languages"], ("languages",), languages(), "language"),
        "imports": list(reader.strings(value.get("imports") or [], ("imports",))),
        "concepts": concepts,
    }, lines


def _entry(reader: YamlReader, name: str, concept: str, raw: Any, key: KeyPath) -> None:
    if not isinstance(raw, str):
        reader.table(raw, key, KINDS | MODIFIERS)
        flags = {one.name for one in fields(Entry) if isinstance(one.default, bool)}
        for one, given in raw.items():
            here = (*key, one)
            if one in flags:
                reader.flag(given, here)
            elif one in ("where", "unless_where"):
                for inner, constant in reader.table(given, here, given if isinstance(given, dict) else ()).items():
                    if not isinstance(constant, (str, bool, int, float)):
                        reader.fail((*here, inner), "a condition is a text, a number, true or false", SEE)
            elif one == "acts" and isinstance(given, list):
                for number, position in enumerate(given):
                    reader.number(position, (*here, number), 0, 99, whole=True)
            elif one in KINDS or isinstance(given, dict) or given is None:
                reader.text(given, here)
    try:
        compile_entry(name, concept, raw)
    except (ValueError, TypeError, KeyError) as error:
        reader.fail(key, str(error), SEE)


def compile_files(files: Mapping[str, bytes], root: str) -> dict[str, Any]:
    """Check and compile a whole folder of policies. Raises ConfigError for the first mistake."""
    where = f"{root}/citations.yml"
    citations = citation_table(files.get("citations.yml"), where)
    policies, frameworks, lines_of = [], [], {}
    for name, data in files.items():
        where = f"{root}/{name}"
        if name.startswith("frameworks/"):
            frameworks.append(framework(data, name.removeprefix("frameworks/").rpartition(".")[0], where)[0])
        elif name.endswith(".md"):
            source = Source(name.removesuffix(".md").replace("/", "."), where, data)
            compiled, lines = policy(source, citations)
            try_rules(compiled, where, lines)
            policies.append(compiled)
            lines_of[source.id] = (where, lines)
    for one in policies:
        superseded(one, [p["id"] for p in policies], *lines_of[one["id"]])
    return {"format": FORMAT, "policies": sorted(policies, key=lambda p: str(p["id"])), "frameworks": frameworks}


def superseded(compiled: Mapping[str, Any], known: Collection[str], path: str, lines: Lines) -> None:
    """Refuse a policy that yields to one that does not exist."""
    better = compiled["superseded_by"]
    if better and better not in known:
        YamlReader(path, lines).fail(
            ("superseded_by",), f"superseded_by names {shown(better)}, which is no policy", nearest(better, known)
        )


def citation_table(data: bytes | None, path: str) -> dict[str, dict[str, str]]:
    """Read the table of citations: name to what it says and of which kind it is. Raises ConfigError."""
    if data is None:
        raise ConfigError(
            "the table of citations is missing",
            path=path,
            fix="Reinstall: pip install --force-reinstall agentreview-gate",
        )
    value, lines = document(decoded(data, path), path)
    reader = YamlReader(path, lines)
    table = reader.table(
        reader.table(value, (), ("citations",)).get("citations", {}), ("citations",), value.get("citations") or ()
    )
    for name, item in table.items():
        key = ("citations", name)
        for one in ("kind", "says"):
            reader.text(reader.table(item, key, ("kind", "says")).get(one), (*key, one))
    return table


def _sections(body: str) -> dict[str, str]:
    out: dict[str, list[str]] = {}
    current = ""
    for line in body.split("\n"):
        if line.startswith("## "):
            current = line[3:].strip().lower()
        else:
            out.setdefault(current, []).append(line)
    return {k: "\n".join(v) for k, v in out.items()}


def without_examples(body: str) -> str:
    """Return the text of a policy without the examples at its end."""
    return f"\n{body}".split("\n## Examples", 1)[0].strip()
