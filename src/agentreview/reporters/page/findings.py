"""One finding on the page: what, where, the code, why, what to do, and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence

from agentreview.model import REVIEWER, Edit, Finding, Hit, Status
from agentreview.records import dataclass
from agentreview.reporters.page.markup import Content, Html, el, isolated, join, prose, text
from agentreview.reporters.summary import (
    bucket,
    citations,
    edit_parts,
    edit_told,
    questions,
    waived_by,
    waiving_comment,
)

WORDS = {"blocking": "blocks", "advisory": "advisory", "waived": "waived", "existing": "was there before"}
LONGEST = 400  # characters of a line, as findings have them


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of code around a finding; ``old`` and ``new`` are its numbers before and after, 0 where it is not."""

    old: int
    new: int
    text: str
    marked: bool = False  # it is what the finding is about

    @property
    def sign(self) -> str:
        """``-`` went, ``+`` came, a space stayed."""
        return "+" if not self.old else "-" if not self.new else " "


def article(finding: Finding, handle: str, name: str, *, part: int, opened: bool, sides: Sequence[Line]) -> Html:
    """The whole finding; ``name`` is its id on the page, ``part`` the number of its worktree."""
    status = bucket(finding)
    head = el(
        "summary",
        el("span", finding.severity.value, class_=f"chip {finding.severity.value}"),
        el("span", WORDS[status], class_=f"state {status}"),
        el("h4", finding.title or finding.rule),
        el(
            "span",
            isolated(f"{finding.path}:{finding.start_line}", "code"),
            join(" in ", isolated(finding.unit, "code")) if finding.unit else None,
            class_="where",
        ),
    )
    body = el("div", *_body(finding, handle, sides), class_="body")
    return el(
        "article", el("details", head, body, open=opened), id=name, data_status=status, data_severity=finding.severity.value,
        data_agent=finding.agent, data_rule=finding.rule, data_part=part,
    )  # fmt: skip


def _body(finding: Finding, handle: str, sides: Sequence[Line]) -> list[Content]:
    suspect = finding.hit is Hit.SUSPECT
    asked = "It is a question that a fact or a reader settles, not a certainty." if suspect else None
    said: list[Content] = [el("p", prose(finding.message), class_="message"), _code(finding, sides)]
    if finding.waiver is not None:
        reason = finding.waiver.reason or "no reason given"
        said.append(el("p", el("strong", "Waived: "), prose(reason), waived_by(finding.waiver), class_="waived-by"))
    rows: list[tuple[str, Content]] = []
    if finding.fix:
        rows.append(("What to do", prose(finding.fix)))
    if finding.edit is not None:
        rows.append(("Or this edit", _edit(finding, finding.edit)))
    if finding.why:
        rows.append(("Why it matters", prose(finding.why)))
    if citations(finding):
        rows.append(("Cited", text(citations(finding))))
    rows += [("It rests on", _evidence(finding))] if finding.evidence else []
    rows += [("To settle it", prose(need)) for need in questions(finding)]
    if asked:
        rows.append(("Certainty", f"{finding.confidence.value} confidence. {asked}"))
    by = "model reviewer" if finding.agent.startswith(REVIEWER) else "policy"
    rows.append(("Found by", join(isolated(finding.agent), f" ({by}), rule ", isolated(finding.rule, "code"))))
    more = join(", ", el("code", f"agentreview fix {handle}")) if finding.edit is not None else None
    rows.append(("More", join(el("code", f"agentreview explain {handle}"), more)))
    if finding.status in (Status.BLOCKING, Status.ADVISORY):
        rows.append(("To accept it", _waive(finding, handle)))
    pairs = [el("div", el("dt", term), el("dd", told)) for term, told in rows]
    return [*said, el("dl", *pairs)]


def _edit(finding: Finding, edit: Edit) -> Html:
    """What the edit does and whose it is, and the lines that are different then."""
    figures = [
        el("figure", el("figcaption", said), el("pre", *(_line(Line(old=0, new=0, text=one), both=False) for one in lines)) if lines else None, class_="code")
        for said, lines in edit_parts(edit)
    ]  # fmt: skip
    return join(prose(edit_told(finding)[0]), *figures)


def _evidence(finding: Finding) -> Html:
    items = [
        el(
            "li",
            isolated(f"{item.path}:{item.line}", "code"),
            " ",
            prose(item.shows),
            join(" ", isolated(item.quote.strip()[:LONGEST], "code")) if item.quote else None,
        )
        for item in finding.evidence
    ]
    return el("ul", *items)


def _waive(finding: Finding, handle: str) -> Content:
    if finding.rule == "conduct.waiver-added":
        return "a person settles it, no waiver does"
    words = waiving_comment(finding)
    if words is None:
        return el("code", f'agentreview waive {handle} --reason "<why>"')
    return join(el("code", words), f" on line {finding.start_line} or the line above")


def _code(finding: Finding, sides: Sequence[Line]) -> Html | None:
    """The code with line numbers: both sides of the change where they are known, else the side of the finding."""
    gone = finding.side == "before"
    if sides:
        told = "Before (-) and after (+) this change" if any(line.sign != " " for line in sides) else "Not changed here"
        lines = list(sides)
    else:
        frame = finding.frame or tuple(enumerate(finding.excerpt.splitlines(), finding.start_line))
        told = "As it was before this change" if gone else "As it is after this change"
        lines = [
            Line(old=number, new=number, text=code, marked=finding.start_line <= number <= finding.end_line)
            for number, code in frame
        ]
    if not lines:
        return None
    return el(
        "figure", el("figcaption", told), el("pre", *(_line(line, both=bool(sides)) for line in lines)), class_="code"
    )


def _line(line: Line, *, both: bool) -> Html:
    style = {"+": "came", "-": "went", " ": "stayed"}[line.sign]
    numbers = [line.old, line.new] if both else [line.new]
    return el(
        "span",
        *(el("span", str(number) if number else "", class_="n") for number in numbers),
        el("span", line.sign, class_="sign"),
        el("span", ">" if line.marked else " ", class_="sign"),
        el("code", line.text.rstrip("\r\n").expandtabs(4)[:LONGEST], dir="ltr"),
        class_=f"l {style}{' marked' if line.marked else ''}",
    )  # fmt: skip
