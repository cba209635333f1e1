"""How verdicts went over time: a small bar chart, and the same as a table."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

from agentreview.records import dataclass
from agentreview.reporters.page.markup import Html, el, table
from agentreview.reporters.summary import count

KINDS = {"pass": "passed", "block": "blocked", "unreviewed": "let through without a review"}
WIDTH, HEIGHT, LEFT, BELOW, TOP = 720, 150, 34, 22, 8
BARS = 40  # at most: then a week, and then a month, is one bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One receipt of the past: ``at`` is ISO text, ``decision`` that of a receipt. Both are untrusted."""

    at: str
    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One stretch of time, and how many verdicts of each kind fell into it."""

    first: date
    last: date
    counts: tuple[int, ...]  # in the order of KINDS


def bars(judged: Sequence[Judged]) -> tuple[tuple[Bar, ...], int]:
    """Return bars without a gap from the first day to the last, and how many receipts state no day that can be read."""
    days = [(day, one.decision) for one in judged if (day := _day(one.at)) is not None and one.decision in KINDS]
    if not days:
        return (), len(judged)
    first, last = min(days)[0], max(days)[0]
    starts = [first]
    while starts[-1] <= last:
        starts.append(_next(starts[-1], (last - first).days + 1))
    totals: list[Counter[str]] = [Counter() for _ in starts]
    for day, decision in days:
        totals[bisect(starts, day) - 1][decision] += 1
    found = [
        Bar(first=start, last=min(end - timedelta(1), last), counts=tuple(total[kind] for kind in KINDS))
        for (start, end), total in zip(pairwise(starts), totals, strict=False)
    ]
    return tuple(found), len(judged) - len(days)


def _next(start: date, span: int) -> date:
    if span <= BARS:
        return start + timedelta(1)
    if span <= 7 * BARS:
        return start + timedelta(7 - start.weekday())
    if span <= 31 * BARS:
        return (start.replace(day=1) + timedelta(32)).replace(day=1)
    return date(start.year + 1, 1, 1)


def _day(at: str) -> date | None:
    try:
        found = date.fromisoformat(at[:10])
    except ValueError:
        return None
    return found if 2000 <= found.year < 2200 else None


def chart(judged: Sequence[Judged]) -> Html:
    """The chart with its legend, and a table with the same figures; one sentence where there is nothing to draw."""
    found, undated = bars(judged)
    if not found:
        return el("p", "There are no receipts of earlier reviews here.", class_="quiet")
    totals = [sum(bar.counts[index] for bar in found) for index in range(len(KINDS))]
    said = ", ".join(f"{total} {word}" for total, word in zip(totals, KINDS.values(), strict=True))
    period = _named(Bar(first=found[0].first, last=found[-1].last, counts=()))
    legend = [
        el("li", el("span", "", class_=f"key {kind}", aria_hidden="true"), f"{total} {word}")
        for total, (kind, word) in zip(totals, KINDS.items(), strict=True)
    ]
    rows = [(_named(bar), *map(str, bar.counts)) for bar in found if any(bar.counts)]
    return el(
        "figure",
        el("ul", *legend, class_="legend"),
        _drawn(found, f"Verdicts from {period}: {said}."),
        el("figcaption", f"{count(sum(totals), 'receipt')}, {period}; as they state it, signatures are not checked here."),
        el("p", f"{count(undated, 'receipt')} without a date that can be read, not drawn.") if undated else None,
        el(
            "details",
            el("summary", "The same as a table"),
            table(("When", *(word.capitalize() for word in KINDS.values())), rows, caption="Verdicts over time", numbers=3),
        ),
        class_="history",
    )  # fmt: skip


def _named(bar: Bar) -> str:
    first, last = bar.first.isoformat(), bar.last.isoformat()
    return first if first == last else f"{first} to {last}"


def _drawn(found: Sequence[Bar], said: str) -> Html:
    top = max(sum(bar.counts) for bar in found)
    room, step = HEIGHT - BELOW - TOP, (WIDTH - LEFT) / max(len(found), 12)
    marks: list[Html] = []
    for share in sorted({0, top // 2, top}):
        y = _n(TOP + room * (1 - share / top))
        marks.append(el("line", x1=LEFT, x2=WIDTH, y1=y, y2=y, class_="grid"))
        marks.append(el("text", str(share), x=LEFT - 6, y=_n(float(y) + 4), text_anchor="end"))
    for index, bar in enumerate(found):
        base = float(TOP + room)
        for kind, number in zip(KINDS, bar.counts, strict=True):
            if not number:
                continue
            tall = room * number / top
            base -= tall
            box = {"x": _n(LEFT + step * index + 1), "y": _n(base), "width": _n(max(step - 2, 1)), "height": _n(tall)}
            told = el("title", f"{_named(bar)}: {number} {KINDS[kind]}")
            marks.append(el("rect", told, class_=f"bar {kind}", **box))
    last = len(found) - 1
    for index in sorted({0, last}):
        anchor = "start" if index == 0 else "end"
        x = LEFT + step * index if index == 0 else LEFT + step * (index + 1)
        day = found[index].first if index == 0 else found[index].last
        if index == 0 or x > LEFT + 160:  # room for both
            marks.append(el("text", day.isoformat(), x=_n(x), y=HEIGHT - 5, text_anchor=anchor))
    return el("svg", *marks, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=said, class_="chart")


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
