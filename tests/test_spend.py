"""What model reviewers cost: estimated before, counted after, and never above a cap, however many worktrees ask at once."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import pytest

from agentreview.config import Config, parse_config
from agentreview.llm import Answer, Block, Failure, Request, Usage, failed
from agentreview.modelsettings import known_model
from agentreview.spend import Entry, Ledger, Metered, cost, estimate
from commandline import agentreview as run
from commandline import one_line

HAIKU = known_model("claude-haiku-5-5")
OPUS = known_model("claude-opus-5-5")
REQUEST = Request("reviewer:tester#1", OPUS.id, (Block("role", cached=True),), (("user", "x" * 3000),), None, 1000)
PLAIN = Usage(1000, 200, 300)
NOON = 1_764_072_000.0  # 2025-11-25 12:00 UTC


class Scripted:
    """Answers with these usages or failures, in turn."""

    def __init__(self, *outcomes, seconds: float = 0.0) -> None:
        self.outcomes = list(outcomes)
        self.asked = 0
        self.seconds = seconds

    def ask(self, request, deadline):
        self.asked += 1
        time.sleep(self.seconds)
        outcome = self.outcomes.pop(0) if self.outcomes else Usage(1000, 1000)
        return outcome if isinstance(outcome, Failure) else Answer("ok", "end_turn", outcome, 0.1, request.model)


def configured(text: str = "") -> Config:
    return parse_config(text.encode(), path="agentreview.toml", known_policies=())


def ledger(tmp_path, name: str = "one", clock=lambda: NOON) -> Ledger:
    (tmp_path / name).mkdir(exist_ok=True)
    return Ledger(tmp_path / "store", tmp_path / name / "agentreview", clock=clock)


def metered(tmp_path, inner, text: str = "", name: str = "one", clock=lambda: NOON) -> Metered:
    return Metered(inner, configured(text), ledger(tmp_path, name, clock), f"/src/{name}")


def refusal(outcome: Answer | Failure, reason: str = "over-budget") -> str:
    assert isinstance(outcome, Failure), outcome
    assert outcome.reason == reason
    return outcome.detail


def test_an_estimate_is_the_most_a_request_can_cost():
    most = estimate(REQUEST, OPUS)
    assert 1000 <= most.input_tokens <= 1100
    assert most.output_tokens == 1000
    paid = cost(Usage(900, 1000), OPUS)
    assert paid is not None
    assert paid < most.dollars < 3 * paid
    assert estimate(replace(REQUEST, messages=(("user", "é" * 3000),)), OPUS).input_tokens > most.input_tokens


def test_what_was_spent_is_written_down_as_the_provider_counted_it(tmp_path):
    meter = metered(tmp_path, Scripted(Usage(1000, 200, 5000, 300)))
    assert isinstance(meter.ask(REQUEST, None), Answer)
    (entry,) = ledger(tmp_path).entries("2025-11-25")
    assert entry == Entry(
        "2025-11-25", "reviewer:tester", "/src/one", OPUS.id, Usage(1000, 200, 5000, 300), pytest.approx(0.0115)
    )
    assert meter.spent == ledger(tmp_path).spent_here() == pytest.approx(0.0115)
    assert (meter.requests, meter.usage) == (1, Usage(1000, 200, 5000, 300))
    assert list((tmp_path / "store" / "spend" / "open").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[reviewers]\nmoney_per_run = 0.01", "money_per_run = 0.01"),
        ("[reviewers]\nmoney_per_worktree = 0.01", "money_per_worktree = 0.01"),
        ("[reviewers]\nmoney_per_day = 0.01", "money_per_day = 0.01"),
        ("[reviewers]\ntokens_per_run = 1500", "tokens_per_run = 1500"),
        ("[reviewers]\nmoney_per_day = 0", "money_per_day = 0"),
    ],
)
def test_a_request_that_could_exceed_a_cap_is_not_sent(tmp_path, text, says):
    inner = Scripted()
    assert says in refusal(metered(tmp_path, inner, text).ask(REQUEST, None))
    assert inner.asked == 0


def test_a_run_goes_on_until_its_cap_and_no_further(tmp_path):
    """One request costs 0.024 dollars, and can cost no more than 0.0254."""
    inner = Scripted()
    meter = metered(tmp_path, inner, "[reviewers]\nmoney_per_run = 0.06")
    outcomes = [meter.ask(REQUEST, None) for _ in range(4)]
    assert [type(one).__name__ for one in outcomes] == ["Answer", "Answer", "Failure", "Failure"]
    assert inner.asked == 2


def test_a_cap_of_the_day_counts_every_worktree_and_ends_with_the_day(tmp_path):
    text = "[reviewers]\nmoney_per_day = 0.06"
    for name in ("one", "two"):
        assert isinstance(metered(tmp_path, Scripted(), text, name).ask(REQUEST, None), Answer)
    assert "money_per_day" in refusal(metered(tmp_path, Scripted(), text, "three").ask(REQUEST, None))
    tomorrow = metered(tmp_path, Scripted(), text, "three", clock=lambda: NOON + 86_400)
    assert isinstance(tomorrow.ask(REQUEST, None), Answer)


def test_a_cap_of_a_worktree_outlives_the_day_and_leaves_others_alone(tmp_path):
    text = "[reviewers]\nmoney_per_worktree = 0.04"
    assert isinstance(metered(tmp_path, Scripted(), text).ask(REQUEST, None), Answer)
    later = metered(tmp_path, Scripted(), text, clock=lambda: NOON + 5 * 86_400)
    assert "money_per_worktree" in refusal(later.ask(REQUEST, None))
    assert isinstance(metered(tmp_path, Scripted(), text, "two").ask(REQUEST, None), Answer)


def test_requests_that_only_wait_for_each_other_are_all_answered(tmp_path):
    """Together they could exceed the cap; what they really cost does not."""
    inner = Scripted(*[Usage(100, 10)] * 6, seconds=0.02)
    meter = metered(tmp_path, inner, "[reviewers]\nmoney_per_run = 0.06")
    outcomes: list[Answer | Failure] = []
    threads = [threading.Thread(target=lambda: outcomes.append(meter.ask(REQUEST, None))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert [type(one) for one in outcomes] == [Answer] * 6


def test_waiting_for_room_ends_with_the_time(tmp_path):
    text = "[reviewers]\nmoney_per_day = 0.03"
    begun, go_on = threading.Event(), threading.Event()

    class Waiting(Scripted):
        def ask(self, request, deadline):
            begun.set()
            go_on.wait(30)
            return super().ask(request, deadline)

    slow = threading.Thread(target=metered(tmp_path, Waiting(), text, "two").ask, args=(REQUEST, None))
    slow.start()
    assert begun.wait(30)
    outcome = metered(tmp_path, Scripted(), text).ask(REQUEST, time.monotonic() + 0.3)
    go_on.set()
    slow.join()
    assert "leave no room" in refusal(outcome)


def test_an_unknown_price_is_no_price_of_zero(tmp_path):
    inner = Scripted()
    unknown = replace(REQUEST, model="somebody-elses-model")
    assert "the price of somebody-elses-model is not known" in refusal(metered(tmp_path, inner).ask(unknown, None))
    assert inner.asked == 0
    free = '[models.deep]\nid = "somebody-elses-model"\ninput = 0\noutput = 0\n[reviewers]\nmoney_per_day = 0'
    assert isinstance(metered(tmp_path, inner, free).ask(unknown, None), Answer)


def test_what_does_not_fit_the_model_is_not_sent(tmp_path):
    text = f'[models.deep]\nid = "{OPUS.id}"\ncontext = 1900'
    assert "do not fit" in refusal(metered(tmp_path, Scripted(), text).ask(REQUEST, None), "over-context")


@pytest.mark.parametrize(
    ("outcome", "dollars", "assumed"),
    [
        (failed("unauthorized", "no"), None, False),
        (failed("rate-limited", "no"), None, False),
        (failed("truncated", "cut", Usage(1000, 1000)), 0.024, False),
        (failed("timeout", "late"), pytest.approx(0.0042, rel=0.05), True),
        (failed("interrupted", "stop"), pytest.approx(0.0042, rel=0.05), True),
    ],
)
def test_a_failure_costs_what_is_billed_for_it(tmp_path, outcome, dollars, assumed):
    metered(tmp_path, Scripted(outcome)).ask(REQUEST, None)
    found = [(entry.dollars, entry.assumed, entry.reason) for entry in ledger(tmp_path).entries("2025-11-25")]
    assert found == ([] if dollars is None else [(dollars, assumed, outcome.reason)])


WORKER = textwrap.dedent(
    """
    import sys, time
    from agentreview.config import parse_config
    from agentreview.llm import Answer, Block, Request, Usage
    from agentreview.spend import Ledger, Metered

    store, state, text = sys.argv[1:4]

    class Slow:
        def ask(self, request, deadline):
            time.sleep(0.02)
            return Answer("ok", "end_turn", Usage(1000, 1000), 0.0, request.model)

    config = parse_config(text.encode(), path="a", known_policies=())
    request = Request("reviewer:x#1", "claude-opus-5-5", (), (("user", "x" * 3000),), None, 1000)
    meter = Metered(Slow(), config, Ledger(store, state, clock=lambda: 1_764_072_000.0), state)
    print(sum(isinstance(meter.ask(request, time.monotonic() + 30), Answer) for _ in range(5)))
    """
)


def test_eight_processes_at_once_never_exceed_the_cap(tmp_path):
    """Eight worktrees want forty requests of 0.024 dollars each; the cap has room for eleven."""
    text = "[reviewers]\nmoney_per_day = 0.27"
    running = []
    for number in range(8):
        (tmp_path / f"w{number}").mkdir()
        command = [sys.executable, "-c", WORKER, str(tmp_path / "store"), str(tmp_path / f"w{number}" / "state"), text]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    answered = sum(int(process.communicate(timeout=120)[0]) for process in running)
    books = ledger(tmp_path)
    spent = sum(entry.dollars for entry in books.entries("2025-11-25"))
    assert answered == 11
    assert spent == pytest.approx(11 * 0.024)
    assert spent <= 0.27


def test_what_a_killed_process_had_reserved_counts_as_spent(tmp_path):
    script = WORKER.replace("time.sleep(0.02)", "print('asking', flush=True); time.sleep(60)")
    (tmp_path / "one").mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "store"), str(tmp_path / "one" / "agentreview"), ""]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "asking\n"
    process.kill()
    process.wait()
    process.stdout.close()
    books = ledger(tmp_path)
    assert "money_per_day" in refusal(
        Metered(Scripted(), configured("[reviewers]\nmoney_per_day = 0.03"), books, "/src/one").ask(REQUEST, None)
    )
    (entry,) = books.entries(books.today())
    assert (entry.assumed, entry.reason) == (True, "interrupted")
    assert entry.dollars == pytest.approx(0.0242, rel=0.1)
    assert books.spent_here() == entry.dollars


def test_a_line_cut_by_a_kill_spoils_no_other(tmp_path):
    metered(tmp_path, Scripted()).ask(REQUEST, None)
    file = tmp_path / "store" / "spend" / "2025-11-25"
    file.write_bytes(file.read_bytes() + b'{"day": "2026-11')
    metered(tmp_path, Scripted()).ask(REQUEST, None)
    entries, bad = ledger(tmp_path).read("2025-11-25")
    assert (len(entries), bad) == (2, 1)


def test_where_nothing_can_be_written_down_nothing_is_sent(tmp_path):
    (tmp_path / "store").write_text("a file, not a directory")
    inner = Scripted()
    assert "cannot be written down" in refusal(metered(tmp_path, inner).ask(REQUEST, None))
    assert inner.asked == 0


# -- agentreview costs


def spend(repo, *, day: float = NOON, agent: str = "reviewer:tester", usage: Usage | Failure = PLAIN):
    state = repo.path / ".git" / "agentreview"
    books = Ledger(repo.path / ".git" / "agentreview", state, clock=lambda: day)
    Metered(Scripted(usage), Config(), books, str(repo.path)).ask(replace(REQUEST, id=f"{agent}#1"), None)


def test_costs_are_added_up_by_day_agent_and_worktree(repo):
    spend(repo)
    spend(repo, agent="reviewer:architect")
    spend(repo, day=NOON + 86_400, usage=failed("timeout", "late"))
    by_day = json.loads(run("costs", "--json", cwd=repo.path).out)
    assert [(row["day"], row["requests"], row["failed"]) for row in by_day["rows"]] == [
        ("2025-11-25", 2, 0),
        ("2025-11-26", 1, 1),
    ]
    assert by_day["total"]["dollars"] == pytest.approx(sum(row["dollars"] for row in by_day["rows"]))
    assert by_day["total"]["assumed_dollars"] > 0
    assert by_day["caps"]["worktree"]["spent"] == pytest.approx(by_day["total"]["dollars"])
    by_agent = json.loads(run("costs", "--by", "agent", "--json", cwd=repo.path).out)
    assert [(row["agent"], row["requests"]) for row in by_agent["rows"]] == [
        ("reviewer:architect", 1),
        ("reviewer:tester", 2),
    ]
    by_tree = json.loads(run("costs", "--by", "worktree", "--json", cwd=repo.path).out)
    assert [row["worktree"] for row in by_tree["rows"]] == [str(repo.path)]
    later = json.loads(run("costs", "--since", "2025-11-26", "--json", cwd=repo.path).out)
    assert later["total"]["requests"] == 1


def test_costs_for_people_have_a_total_and_say_what_the_caps_leave(repo):
    spend(repo)
    spend(repo, usage=failed("timeout", "late"))
    done = run("costs", cwd=repo.path)
    assert done.code == 0
    assert done.err == ""
    head, day, total, _, left = done.out.splitlines()
    assert head.split() == ["day", "requests", "sent", "answered", "from", "cache", "dollars"]
    assert day.split()[:2] == ["2025-11-25", "2"]
    assert total.split()[-1].startswith("~$0.0")
    assert left == f"today, all worktrees: $0.0000 of $20; this worktree: ${total.split()[-1][2:]} of $50"


def test_where_nothing_was_sent_costs_says_so(repo):
    assert run("costs", cwd=repo.path).out == "nothing was sent to a model\n"


def test_a_ledger_that_was_damaged_is_said(repo):
    spend(repo)
    file = repo.path / ".git" / "agentreview" / "spend" / "2025-11-25"
    file.write_bytes(file.read_bytes() + b"\x00\xff\n[]\n")
    done = run("costs", cwd=repo.path)
    assert done.code == 0
    assert "2 lines below" in done.err
    assert "take out the lines that are no JSON" in one_line(done.err)
    assert json.loads(run("costs", "--json", cwd=repo.path).out)["unreadable_lines"] == 2
    file.unlink()
    file.mkdir()  # a day that cannot be read at all
    assert "1 line below" in run("costs", cwd=repo.path).err


def test_status_says_that_more_was_spent_today_than_it_can_read(repo, one_day):
    repo.commit({"a": "1"})
    assert json.loads(run("status", "--json", cwd=repo.path).out)["unreadable_cost_lines"] == 0
    spend(repo, day=time.time())
    (file,) = (repo.path / ".git" / "agentreview" / "spend").glob("20*")
    file.write_bytes(file.read_bytes() + b"half a li\n{}\n")
    done = run("status", cwd=repo.path)
    assert "at least 0.0" in done.out
    assert "costs of today: 2 lines cannot be read, so more was spent than is shown: agentreview costs" in done.out
    assert json.loads(run("status", "--json", cwd=repo.path).out)["unreadable_cost_lines"] == 2


def test_a_reservation_that_cannot_be_read_is_counted_as_one_line(tmp_path):
    metered(tmp_path, Scripted()).ask(REQUEST, None)
    (tmp_path / "store" / "spend" / "open" / "1-2-3").write_bytes(b"{")
    metered(tmp_path, Scripted()).ask(REQUEST, None)
    entries, bad = ledger(tmp_path).read("2025-11-25")
    assert (len(entries), bad) == (2, 1)
    assert list((tmp_path / "store" / "spend" / "open").iterdir()) == []


@pytest.mark.parametrize("damage", ["half a number", "a directory"])
def test_what_a_worktree_spent_is_not_taken_for_nothing_when_it_cannot_be_read(repo, tmp_path, damage):
    spend(repo)
    spent = repo.path / ".git" / "agentreview" / "spent"
    spent.unlink()
    spent.write_text("0.1.2") if damage == "half a number" else spent.mkdir()
    inner = Scripted()
    books = Ledger(spent.parent, spent.parent, clock=lambda: NOON)
    assert "so no cap can hold" in refusal(Metered(inner, Config(), books, "/src").ask(REQUEST, None))
    assert inner.asked == 0
    done = run("costs", cwd=repo.path)
    assert done.code == 2
    assert "agentreview/spent" in one_line(done.err)


def test_a_date_that_is_none_is_a_usage_error(repo):
    assert run("costs", "--since", "2026-13-01", cwd=repo.path).code == 2
    done = run("costs", "--since", "yesterday", cwd=repo.path)
    assert done.code == 2
    assert "Write it as 2026-10-01" in done.err


def test_costs_import_no_sdk(repo):
    spend(repo)
    code = "import sys; from agentreview.cli import main; main(['costs']); print('anthropic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=repo.path, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
