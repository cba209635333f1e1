"""The page of verdicts in a real browser: it shows, filters and searches, by mouse and by keyboard, and runs nothing of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentreview.model import Decision, Evidence, Hit, Origin, Outcome, Severity, Status, Waiver
from agentreview.reporters.page.audit import page as auditpage
from agentreview.reporters.page.chart import Judged
from agentreview.reporters.page.findings import Line
from agentreview.reporters.page.record import (
    BYPASSED,
    CARRIED,
    MISSING,
    REVIEWED,
    SIGNED,
    STRANGER,
    UNCHECKED,
    Accepted,
    Audit,
    Cited,
    Recorded,
)
from agentreview.reporters.page.report import Part, page
from browser import opened, started, violations
from factories import finding, run, skipped, verdict, waived

pytestmark = pytest.mark.slow  # ten seconds of a real browser

HOSTILE = (
    "<script>document.title='owned'</script>", "</script><script>alert(1)</script>", "</style><style>*{display:none}</style>",
    '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "javascript:alert(1)", "{{7*7}} ${7*7} <%= 7*7 %> $body $script",
    "<!--", "]]>", "</title><base href='//evil.example/'>", "\u202egnp.exe", "zero\u200bwidth", "\x1b[31m", "&lt;b&gt;", "a" * 5000,
    "<svg onload=alert(1)>", "<iframe src='https://evil.example'></iframe>", "##[group]x", "::error::x", "<form action=//evil.example>",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as running:
        yield running


def parts() -> list[Part]:
    """Two worktrees with findings of every status, one that was not judged, and one that was left out."""
    gone = finding(
        fingerprint="b2:1111", rule="tenancy.scoped-read", title="Reads are scoped to a tenant", severity=Severity.CRITICAL,
        agent="policy:tenancy", path="clinic/api.py", evidence=(Evidence(path="a.py", line=3, shows="was here", quote="x()"),),
    )  # fmt: skip
    lines = (
        Line(old=1, new=1, text="def f():"),
        Line(old=2, new=0, text="    qs = Patient.objects.filter(org=org)"),
        Line(old=0, new=2, text="    qs = Patient.objects.all()", marked=True),
    )
    asked = finding(
        fingerprint="b2:2222", status=Status.ADVISORY, hit=Hit.SUSPECT, severity=Severity.MEDIUM, needs=("whether it retries",),
        rule="quality.broad-except", title="Errors are not swallowed", agent="reviewer:reliability",
    )  # fmt: skip
    accepted = waived(
        fingerprint="b2:3333",
        waiver=Waiver(rule="r", path="p", line=1, reason="runbook 12", person="Dana Reyes", expires="2027-01-31"),
    )
    old = finding(fingerprint="b2:4444", status=Status.EXISTING, origin=Origin.EXISTING, severity=Severity.LOW)
    first = verdict(
        finding(), gone, asked, accepted, old, files=7, runs=(run(),), skipped=(skipped("logo.bin", "binary"),), notes=("a note",)
    )  # fmt: skip
    second = verdict(
        finding(fingerprint="b2:5555", path="only/here.py"), branch="agent-2",
        decision=Decision.INCOMPLETE, runs=(run(agent="reviewer:security", outcome=Outcome.FAILED, reason="no answer"),),
    )  # fmt: skip
    return [
        Part(path="/w/one", branch="feature/portal", verdict=first, sides={gone.fingerprint: lines}),
        Part(path="/w/two", branch="agent-2", verdict=second),
        Part(path="/w/three", branch="agent-3", error="the index cannot be read"),
        Part(path="/w/bare", branch=None, left_out="a bare repository has nothing staged"),
    ]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    days = [
        Judged(at=f"2026-10-{day:02d}T10:00:00Z", decision=("pass", "block", "unreviewed")[day % 3])
        for day in range(1, 29)
    ]
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page(parts(), days), encoding="utf-8")
    return file


def told(view: Any, start: str) -> None:
    """Wait until the line that counts begins like this."""
    from playwright.sync_api import expect

    expect(view.locator("#shown")).to_have_text(re.compile(f"^{start}"))


def rules(view: Any) -> list[str]:
    return [node.get_attribute("data-rule") for node in view.locator("article:visible").all()]


def test_the_page_says_first_what_was_decided_and_what_nobody_looked_at(browser, shown):
    with opened(browser, shown) as (view, _):
        assert view.locator("h1").inner_text() == "BLOCKED: 3 worktrees: 1 blocked, 2 incomplete"
        links = view.locator("header .unseen a").all_inner_texts()
        assert links == ["1 file not reviewed", "1 agent did not finish", "1 worktree could not be judged"]
        for link in view.locator("header .unseen a").all():
            assert view.locator(link.get_attribute("href")).is_visible()
        assert "logo.bin" in view.locator("section:has(> #unread)").inner_text()
        assert "the index cannot be read" in view.locator("section:has(> #unfinished)").inner_text()
        assert "runbook 12" in view.locator("section:has(> #waivers)").inner_text()
        assert "a bare repository has nothing staged" in view.locator("section:has(> #overview)").inner_text()


def test_what_was_there_before_is_filtered_out_at_first_and_that_is_said(browser, shown):
    with opened(browser, shown) as (view, _):
        assert view.locator("article:visible").count() == 5
        assert view.locator("#shown").inner_text() == "5 of 6 findings are shown, 1 filtered out."
        view.get_by_label("there before (1)").check()
        assert view.locator("#shown").inner_text() == "All 6 findings are shown."


def test_a_list_leaves_what_was_chosen(browser, shown):
    with opened(browser, shown) as (view, _):
        for label, option, left in (
            ("Worktree", "agent-2", ["hipaa.audit-phi-read"]),
            ("Agent", "reviewer:reliability (1)", ["quality.broad-except"]),
            ("Rule", "tenancy.scoped-read (1)", ["tenancy.scoped-read"]),
        ):
            view.get_by_label(label, exact=True).select_option(label=option)
            assert rules(view) == left
            view.get_by_role("button", name="Reset filters").click()
            assert len(rules(view)) == 5


def test_severity_status_and_search_work_together(browser, shown):
    with opened(browser, shown) as (view, _):
        view.get_by_role("checkbox", name="critical (1)").uncheck()
        view.get_by_role("checkbox", name="waived (1)").uncheck()
        assert rules(view) == ["hipaa.audit-phi-read", "quality.broad-except", "hipaa.audit-phi-read"]
        view.get_by_label("Search").fill("ONLY/here audit")
        told(view, "1 of 6")
        assert rules(view) == ["hipaa.audit-phi-read"]
        assert view.locator("section.part:visible h3").all_inner_texts() == ["agent-2 1 finding"]
        view.get_by_label("Search").fill("nothing is like this")
        told(view, "0 of 6")


def test_the_keyboard_alone_is_enough(browser, shown):
    """Skip to the findings, filter, open and close one, and come back out: Tab is never held."""
    with opened(browser, shown) as (view, _):
        keys = view.keyboard
        focused = lambda: view.evaluate("(document.activeElement.id || document.activeElement.tagName)")  # noqa: E731
        keys.press("Tab")
        assert view.evaluate("document.activeElement.textContent") == "Skip to the findings"
        assert view.locator(".skip").bounding_box()["x"] >= 0
        outline = view.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px"
        keys.press("Enter")
        keys.press("Tab")
        assert focused() == "search"
        keys.type("swallowed")
        told(view, "1 of 6")
        visited = []
        for _ in range(40):
            keys.press("Tab")
            visited.append(focused())
            if visited[-1] == "SUMMARY":
                break
        assert {"by-part", "by-agent", "by-rule", "status-blocking", "severity-high", "clear"} <= set(visited)
        keys.press("Enter")
        assert view.locator("article:visible details[open]").count() == 1
        keys.press("Space")
        assert view.locator("article:visible details[open]").count() == 0
        for _ in range(60):
            keys.press("Tab")
            if focused() == "BODY":
                return
        pytest.fail("Tab never left the page")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page for an auditor, with more commits than a sheet of paper holds."""
    waiver = Accepted(
        rule="hipaa.audit-phi-read", path="a.py", line=3, severity="high", reason="runbook 12", person="Sam Ito <sam@clinic.example>",
        expires="2026-11-01", approved_by="", added_here=True, ended=True,
    )  # fmt: skip
    told: dict[str, Any] = {
        "at": "2026-11-02T10:00:00Z",
        "author": "Dana Reyes <dana@clinic.example>",
        "subject": "work",
    }
    held: dict[str, Any] = {
        "receipt": "a" * 64, "reviewed_at": "2026-11-02T09:00:00Z", "person": told["author"], "version": "0.1.0",
        "configuration": "b2:c0ffee", "rules": ("hipaa.audit-phi-read",), "agents": (("policy:hipaa", "b2:00", "", "completed"),),
    }  # fmt: skip
    commits = [
        Recorded(**told, oid=f"{n:040x}", standing=REVIEWED, signature=SIGNED, signed_by="dana", **held)
        for n in range(60)
    ]
    commits += [
        Recorded(**told, oid="b" * 40, standing=BYPASSED, bypass="the portal is down", let_by="Dana", let_at="2026-11-02T09:00:00Z", signature=STRANGER, key="SHA256:x", **held),
        Recorded(**told, oid="c" * 40, standing=MISSING, why="no receipt of any kind"),
        Recorded(**told, oid="d" * 40, standing=CARRIED, signature=UNCHECKED, waived=(waiver,), unread=(("x", "opaque"),), **held),
    ]  # fmt: skip
    found = Audit(
        repository="clinic", head="e" * 40, branch="main", first="2026-10-01", last="2026-12-31", made_at="2026-12-31T10:00:00Z",
        version="0.1.0", signers="none are set", commits=tuple(commits), refused=(("f" * 64, "changed"),), unchecked="no ssh-keygen",
        policies=(Cited(id="hipaa.audit-phi-read", title="Reads are audited", references=("45 CFR 164.312(b)",)),),
        judged=(Judged(at="2026-11-02T10:00:00Z", decision="pass"),),
    )  # fmt: skip
    file = tmp_path_factory.mktemp("record") / "record.html"
    file.write_text(auditpage(found), encoding="utf-8")
    return file


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_axe_finds_nothing_wrong_with_the_record_of_a_period(browser, recorded, colors):
    with opened(browser, recorded, color_scheme=colors, viewport={"width": 800, "height": 900}) as (view, _):
        view.locator("details").evaluate_all("nodes => nodes.forEach((node) => { node.open = true; })")
        assert violations(view) == []


def test_the_record_goes_on_paper_with_a_head_on_every_sheet(browser, recorded):
    with opened(browser, recorded) as (view, _):
        view.emulate_media(media="print")
        style = "(s, p) => getComputedStyle(document.querySelector(s))[p]"
        assert view.evaluate(f"({style})('#commits ~ table thead', 'display')") == "table-header-group"
        assert view.evaluate(f"({style})('#commits ~ table tbody tr', 'breakInside')") == "avoid"
        assert not view.locator("#theme").is_visible()
        pages = view.pdf(prefer_css_page_size=True).count(b"/Type /Page\n")
        assert pages > 3


def test_the_record_fits_a_telephone_and_needs_no_script(browser, recorded):
    with opened(browser, recorded, viewport={"width": 360, "height": 700}, java_script_enabled=False) as (view, _):
        box = view.locator("#commits ~ table tbody tr").first.bounding_box()
        assert box["x"] + box["width"] <= 360
        assert "the portal is down" in view.locator("section:has(> #exceptions)").inner_text()


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_axe_finds_nothing_wrong(browser, shown, colors):
    with opened(browser, shown, color_scheme=colors) as (view, _):
        view.get_by_label("there before (1)").check()
        view.get_by_role("button", name="Open all").click()
        view.locator("main details").evaluate_all("nodes => nodes.forEach((node) => { node.open = true; })")
        assert violations(view) == []


def test_colours_follow_the_system_and_the_button_turns_them_over(browser, shown):
    back = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, shown, color_scheme="dark") as (view, _):
        dark, button = view.evaluate(back), view.get_by_role("button", name="Dark")
        assert button.get_attribute("aria-pressed") == "true"
        button.click()
        light = view.evaluate(back)
        assert button.get_attribute("aria-pressed") == "false"
        view.emulate_media(color_scheme="light")
        assert view.evaluate(back) == light
    assert sum(map(int, dark[4:-1].split(","))) < 128 < sum(map(int, light[4:-1].split(",")))


def test_paper_shows_what_is_folded_and_no_controls(browser, shown):
    with opened(browser, shown) as (view, _):
        view.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        view.emulate_media(media="print", color_scheme="dark")
        assert view.locator("article:visible .body:visible").count() == 5
        assert not view.locator("#filters").is_visible()
        assert view.locator("#shown").is_visible()  # that something is filtered out is said on paper as well
        assert view.evaluate("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
        assert view.evaluate("getComputedStyle(document.body).color") == "rgb(28, 33, 39)"
        assert view.pdf().startswith(b"%PDF")
        view.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert view.locator("article details[open]").count() == 3


def test_without_a_script_everything_is_there_to_read(browser, shown):
    with opened(browser, shown, java_script_enabled=False) as (view, _):
        assert view.locator("article:visible").count() == 6
        assert not view.locator("#filters").is_visible()
        assert not view.locator("#theme").is_visible()
        view.locator("article").nth(2).locator("summary").click()
        assert "whether it retries" in view.locator("article").nth(2).inner_text()


def test_a_telephone_has_no_need_to_scroll_sideways(browser, shown):
    with opened(browser, shown, viewport={"width": 360, "height": 700}) as (view, _):
        view.get_by_role("button", name="Open all").click()
        assert view.evaluate("document.documentElement.scrollWidth") <= 360


def test_verdicts_over_time_are_a_picture_and_a_table(browser, shown):
    with opened(browser, shown) as (view, _):
        said = "Verdicts from 2026-10-01 to 2026-10-28: 9 passed, 10 blocked, 9 let through without a review."
        assert view.get_by_role("img", name=said, exact=True).locator("rect").count() == 28
        view.get_by_text("The same as a table").click()
        assert view.locator("figure.history tbody tr").count() == 28


def test_before_and_after_stand_together(browser, shown):
    with opened(browser, shown) as (view, _):
        code = view.locator("article[data-rule='tenancy.scoped-read'] pre")
        assert code.locator(".went").inner_text().split() == "2 - qs = Patient.objects.filter(org=org)".split()
        assert code.locator(".came").inner_text().split() == "2 + > qs = Patient.objects.all()".split()


def hostile(text: str) -> list[Part]:
    one = finding(
        rule=text, title=text, path=text, unit=text, message=text, fix=text, why=text, excerpt=text, agent=text, cwe=(text,),
        references=(text,), needs=(text,), evidence=(Evidence(path=text, line=1, shows=text, quote=text),), frame=((14, text),),
    )  # fmt: skip
    two = waived(
        fingerprint=text, rule=text, path=text,
        waiver=Waiver(rule=text, path=text, line=1, reason=text, added_here=True, person=text, expires=text, approved_by=text),
    )  # fmt: skip
    judged = verdict(
        one, two, runs=(run(agent=text, outcome=Outcome.FAILED, reason=text, model=text, digest=text),), notes=(text,),
        skipped=(skipped(text, text, text),), branch=text, worktree=text, source=text, version=text, configured_in=text,
        decision=Decision.INCOMPLETE,
    )  # fmt: skip
    return [
        Part(path=text, branch=text, verdict=judged, sides={one.fingerprint: (Line(old=0, new=14, text=text),)}),
        Part(path=text, branch=None, error=text),
        Part(path=text, branch=text, left_out=text),
    ]


def test_hostile_texts_are_shown_and_do_nothing(browser, tmp_path):
    """Every text in every place on one page; ``opened`` fails for a request, a message, a dialog or a window."""
    file = tmp_path / "hostile.html"
    every = [part for text in HOSTILE for part in hostile(text)]
    file.write_text(page(every, [Judged(at=text, decision=text) for text in HOSTILE]), encoding="utf-8")
    with opened(browser, file) as (view, _):
        assert view.title() == "INCOMPLETE - 60 worktrees"
        assert view.locator("script").count() == 1
        assert view.locator("style").count() == 1
        for tag in (
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "link",
            "form:not(#filters)",
            "svg",
            "a:not([href^='#'])",
        ):
            assert view.locator(tag).count() == 0, tag
        handlers = "Array.from(document.querySelectorAll('*')).flatMap((e) => e.getAttributeNames()).filter((n) => n.startsWith('on') || n === 'style')"
        assert view.evaluate(handlers) == []
        assert view.locator("article").count() == 2 * len(HOSTILE)
        # A plain run of text per place: what comes back is what went in, with the hidden characters written out.
        for number, text in enumerate(HOSTILE[:10]):
            assert view.locator(f"#f-{3 * number}-0 h4").inner_text() == text
        assert set(view.locator("h4 .odd").all_inner_texts()) == {"\\u202e", "\\u200b", "\\x1b"}
        view.get_by_label("Search").fill("\\u202egnp.exe")
        told(view, "2 of")
        view.get_by_label("Rule", exact=True).select_option(index=3)
        view.get_by_role("button", name="Open all").click()


def test_a_thousand_findings_are_filtered_at_once(browser, tmp_path):
    many = [
        finding(fingerprint=f"b2:{n:08x}", path=f"clinic/m{n % 40}.py", start_line=14, unit=f"unit_{n}")
        for n in range(1000)
    ]
    file = tmp_path / "many.html"
    file.write_text(page([Part(path="/w", branch="big", verdict=verdict(*many))]), encoding="utf-8")
    with opened(browser, file) as (view, _):
        assert view.locator("article details[open]").count() == 20  # the first ones; the rest is a key away
        view.get_by_label("Search").fill("unit_777")
        told(view, "1 of 1000")
        assert view.locator("article:visible").count() == 1
