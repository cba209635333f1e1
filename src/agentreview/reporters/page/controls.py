"""What a reader can set on the page: filters, search and the theme. Without a script all of it stays hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agentreview.model import Finding, Severity
from agentreview.reporters.page.markup import Content, Html, el
from agentreview.reporters.summary import bucket

STATUSES = ("blocking", "advisory", "waived", "existing")
LABELS = {"existing": "there before"}


def theme() -> Html:
    """A button that turns the colours over; without it the system decides."""
    return el("button", "Dark", type="button", id="theme", aria_pressed="false", hidden=True)


def filters(findings: Sequence[Finding], parts: Sequence[tuple[int, str]]) -> Html:
    """The form, and the line that says how many findings are shown."""
    agents = Counter(one.agent for one in findings)
    rules = Counter(one.rule for one in findings)
    owned = [(str(index), name) for index, name in parts]
    statuses = Counter(map(bucket, findings))
    severities = Counter(one.severity.value for one in findings)
    order = [one.value for one in sorted(Severity, key=lambda one: -one.rank)]
    live = any(statuses[word] for word in STATUSES[:-1])
    boxes = [
        _boxes(
            "Status", "status", [word for word in STATUSES if statuses[word]], statuses, off="existing" if live else ""
        ),
        _boxes("Severity", "severity", [word for word in order if severities[word]], severities),
    ]
    lists = [
        _list("Worktree", "part", owned) if len(owned) > 1 else None,
        _list("Agent", "agent", _counted(agents)),
        _list("Rule", "rule", _counted(rules)),
    ]
    search = el(
        "div", el("label", "Search", for_="search"),
        el("input", type="search", id="search", autocomplete="off", spellcheck="false", aria_describedby="shown"), class_="field",
    )  # fmt: skip
    # None is called like a method of forms (reset, submit): the element would take its place.
    buttons = [
        el("button", word, type="button", id=name)
        for name, word in (("unfold", "Open all"), ("fold", "Close all"), ("clear", "Reset filters"))
    ]
    form = el(
        "form", el("div", search, *lists, class_="row"), el("div", *boxes, el("div", *buttons, class_="buttons"), class_="row"),
        id="filters", role="search", aria_label="Findings", hidden=True,
    )  # fmt: skip
    return el("div", form, el("p", id="shown", role="status", hidden=True), class_="controls")


def _counted(counts: Counter[str]) -> list[tuple[str, str]]:
    return [(name, f"{name} ({number})") for name, number in sorted(counts.items())]


def _boxes(legend: str, name: str, words: Sequence[str], counts: Counter[str], *, off: str = "") -> Html:
    boxes: list[Content] = [
        el(
            "label",
            el("input", type="checkbox", name=name, value=word, checked=word != off, id=f"{name}-{word}"),
            f"{LABELS.get(word, word)} ({counts[word]})",
        )
        for word in words
    ]
    return el("fieldset", el("legend", legend), *boxes)


def _list(label: str, name: str, options: Sequence[tuple[str, str]]) -> Html:
    shown = [el("option", "all", value="")]
    shown += [el("option", text[:120], value=value) for value, text in options]
    return el("div", el("label", label, for_=f"by-{name}"), el("select", *shown, id=f"by-{name}", name=name), class_="field")  # fmt: skip
