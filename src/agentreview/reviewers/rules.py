"""What a reviewer may claim beside the policies: the closed list ``review.*``. A claim about anything else does not count."""

from __future__ import annotations

from agentreview.model import Rule, Severity

PACK = "review"


def _rule(name: str, severity: Severity, title: str, why: str, fix: str, help_: str) -> Rule:
    return Rule(id=f"{PACK}.{name}", title=title, severity=severity, pack=PACK, why=why, fix=fix, help=help_)


_HIGH, _MEDIUM, _LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW

RULES: tuple[Rule, ...] = (
    _rule(
        "access", _HIGH, "Everybody who gets through may do this",
        "A check that is there and does not hold looks like one that does, and no tool that counts calls finds it.",
        "Make the check decide: refuse first, and let through only what was proved.",
        "Questions: Who reaches this line, with which rights? What does the check answer for nobody, for an empty list, for another "
        "customer? Is its answer used? Stay silent when: the refusing line is shown.",
    ),
    _rule(
        "wrong-result", _HIGH, "The code computes something else than its callers need",
        "The change compiles, its tests pass, and the answer is wrong for an input that occurs.",
        "Correct the condition or the value, and add the input that showed it as a test.",
        "Questions: For which input that really occurs is which result wrong? A filter built and dropped, a bound off by one, an inverted "
        "condition, a unit mixed up. Stay silent when: the input cannot occur (quote what rules it out).",
    ),
    _rule(
        "data-loss", _HIGH, "Data is lost, doubled or overwritten",
        "What is gone or written twice is not found by looking at it.",
        "Do it in one transaction, make it repeatable, and refuse what was changed meanwhile.",
        "Questions: What happens when this runs twice, or stops half way? Which row is overwritten? Stay silent when: a transaction or a key "
        "that makes it repeatable is shown.",
    ),
    _rule(
        "concurrency", _HIGH, "Two at once break it",
        "Between a look and an act somebody else acts; it shows only under load.",
        "Let the database decide: a constraint, a lock, a conditional update.",
        "Questions: Which two callers, in which order, get which wrong state? Stay silent when: there is one caller, or the lock is shown.",
    ),
    _rule(
        "contract", _HIGH, "Callers that the change does not touch break",
        "What a function promised is relied on elsewhere, and nothing points there.",
        "Change the callers in the same change, or keep the old form working.",
        "Questions: Which shown caller passes or expects what no longer holds? Quote the caller. Stay silent when: no caller is shown.",
    ),
    _rule(
        "error-path", _MEDIUM, "A failure is hidden or leaves things half done",
        "Somebody is told that it worked.",
        "Let the failure through, or undo and say so.",
        "Questions: Which call can fail, who learns of it, what is already done by then? Stay silent when: the caller handles it (quote it).",
    ),
    _rule(
        "unbounded-work", _MEDIUM, "The work grows with data nobody bounds",
        "It is fast on a developer's machine.",
        "Bound it: a page, a limit, one query in place of one a row.",
        "Questions: What grows, how large does it get here, who can make it grow? Stay silent when: a limit is shown.",
    ),
    _rule(
        "untested", _MEDIUM, "Behaviour changed, and no test would fail without it",
        "The next change takes it back unseen.",
        "Add a test that fails before this change and passes after it.",
        "Questions: Which behaviour is new, and which shown test would notice its loss? For a bug fix: which test reproduces the bug? "
        "Stay silent when: nothing that runs changed, or a shown test covers it.",
    ),
    _rule(
        "proves-nothing", _MEDIUM, "A test that passes whatever the code does",
        "It counts as proof and is none.",
        "Assert what the code must do, on the real code, with a value that is right for the right reason.",
        "Questions: Which wrong implementation would still pass? Stay silent when: another assertion in the test would fail.",
    ),
    _rule(
        "behaviour-changed", _MEDIUM, "What was meant to stay the same does not",
        "A refactoring is read as one: nobody looks for a change of behaviour in it.",
        "Keep the old behaviour, or name the change and test it in a commit of its own.",
        "Questions: For which input do before and after differ? Quote both. Stay silent when: the change is meant to change behaviour.",
    ),
    _rule(
        "architecture", _MEDIUM, "A dependency or responsibility in the wrong place",
        "Each such line makes the next change harder, and it is cheapest to move while it is new.",
        "Move it to where the rules of the project put it.",
        "Questions: Which written rule of the project, or which pattern all its neighbours follow, does this break? Quote it. Stay silent "
        "when: it is a matter of taste.",
    ),
    _rule(
        "duplicate", _LOW, "A second implementation of something that is there",
        "Two copies get fixed once.",
        "Use the existing one, or replace it in this change.",
        "Questions: Which shown function does the same? Quote it. Stay silent when: the two have to differ.",
    ),
    _rule(
        "client-trust", _HIGH, "The client's word decides",
        "What a browser or an app sends is chosen by whoever uses it.",
        "Decide on the server, from the session and the stored record.",
        "Questions: Which value that a user can change decides about price, role, owner or visibility? Stay silent when: the server checks it "
        "(quote it).",
    ),
    _rule(
        "interface", _MEDIUM, "Somebody cannot use what is shown",
        "Waiting, failure, emptiness and a keyboard are where an interface is judged.",
        "Show waiting, failure and emptiness; name controls; keep the focus where the user is.",
        "Questions: What does the user see while it waits, when it fails, when there is nothing? Can it be reached and read without a mouse? "
        "Stay silent when: a shown parent does it.",
    ),
)  # fmt: skip
BY_ID = {rule.id: rule for rule in RULES}
