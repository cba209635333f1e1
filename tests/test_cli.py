"""The command line: what each command says, where it says it, and how it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from agentreview import cli, console
from agentreview.commands import run
from agentreview.config import parse_config
from agentreview.errors import ExitCode
from agentreview.modelsettings import REVIEW_RULES
from agentreview.policies.load import load, policies_dir
from agentreview.reporters.summary import BEYOND
from commandline import BAD, BAD_VIEW, COMMAND, GOOD, HEAD, MODELS, RULE, agentreview, one_line

ANSI = "\x1b["


@pytest.fixture
def bad(repo: Any) -> Any:
    """A repository with a bad change staged."""
    repo.stage(BAD)
    return repo


def called(*args: str, capfd: Any) -> tuple[int, str, str]:
    """Run the command line in this process: for what is decided before a repository is looked at."""
    code = cli.main(args)
    said = capfd.readouterr()
    return code, said.out, said.err


def commands(group: click.Group = cli.group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command there is, as it is typed."""
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


# ---- help


def test_help_lists_every_command_and_every_exit_code() -> None:
    text = cli.help_text()
    for name in cli.group.commands:
        assert f"\n  {name} " in text
    for code in ExitCode:
        assert f"\n  {int(code):>5}  " in text
    assert max(map(len, text.split("\n"))) <= 100


def test_a_command_is_found_under_its_own_name_and_none_is_loaded_for_another() -> None:
    for name, command in cli.group.commands.items():
        assert command.name == name
    code = (
        "import sys; from agentreview import cli; cli.group.commands['status']\n"
        "print(sorted(name for name in sys.modules if name.startswith('agentreview.commands.')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded == "['agentreview.commands.shared', 'agentreview.commands.status']\n"


def test_help_goes_to_stdout_and_is_no_error(capfd: Any) -> None:
    for args in (("--help",), ("-h",), ("help",)):
        code, out, err = called(*args, capfd=capfd)
        assert (code, err) == (0, "")
        assert "Exit codes:" in out


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...], capfd: Any) -> None:
    code, out, err = called(*command, "--help", capfd=capfd)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: agentreview {' '.join(command)}")
    assert len(out.split("\n")) > 5


def test_the_version_is_printed_also_by_the_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agentreview", "--version"], capture_output=True, cwd=tmp_path, check=True
    )
    assert done.stdout.startswith(b"agentreview 0.")
    assert agentreview("--version", cwd=tmp_path).out == done.stdout.decode()


# ---- mistakes in the command line


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("polices",), "unknown command 'polices'. Did you mean 'policies'?"),
        (("policies", "lst"), "list"),
        (("--fromat", "json"), "--format"),
        (("--format", "xml"), "Use one of terminal, json, sarif, github"),
        (("--format", "json="), "names no file"),
        (("--format", "json", "--format", "sarif"), "mixed on stdout"),
        (("--format", "terminal", "--format", "terminal"), "mixed on stdout"),
        (("--format", "json=x", "--format", "sarif=./x"), "two formats go to"),
        (("--format", "json=x", "--output", "y"), "already goes to x"),
        (("--output", ""), "--output names no file"),
        (("--range", "a..b", "--commit", "c"), "exclude each other"),
        (("-q", "-v"), "exclude each other"),
        (("--color", "blue"), "'blue' is not one of"),
        (("run", "surplus"), "surplus"),
        (("policies", "show", "hipaa.audit-phi-red"), "Did you mean 'hipaa.audit-phi-read'?"),
        (("policies", "test", "hipaa.nothing"), "unknown policy"),
        (("policies", "test", "/nonexistent"), "/nonexistent"),
        (("explain",), "FINDING|POLICY"),
        (("hook",), "Missing argument 'NAME'"),
        (("run", "--range"), "requires an argument"),
        (("\x1b[31mred",), "\\x1b[31mred"),
    ],
)
def test_a_mistake_in_the_command_line_is_one_line_and_exit_code_2(
    args: tuple[str, ...], says: str, capfd: Any
) -> None:
    code, out, err = called(*args, capfd=capfd)
    assert (code, out) == (2, "")
    assert says in one_line(err)
    assert err.startswith("agentreview: ")
    assert ANSI not in err


# ---- run


def test_the_bare_command_is_run(bad: Any) -> None:
    bare, named = agentreview(cwd=bad.path), agentreview("run", "--fresh", cwd=bad.path)
    assert (bare.code, bare.err) == (named.code, named.err) == (1, "")
    assert RULE in bare.out
    assert bare.out == named.out
    assert bare.out.rstrip().split("\n")[-1].startswith("BLOCKED: 1 finding")


def test_a_good_change_passes(repo: Any) -> None:
    repo.stage(GOOD)
    done = agentreview("-q", cwd=repo.path)
    assert done == type(done)(0, "", "")


def test_a_verdict_that_is_known_is_not_computed_again_unless_fresh(bad: Any) -> None:
    report = lambda *args: json.loads(agentreview("--format", "json", *args, cwd=bad.path).out)  # noqa: E731
    first, second, fresh = report(), report(), report("--fresh")
    assert [one["cached"] for one in (first, second, fresh)] == [False, True, False]
    assert first["findings"] == second["findings"] == fresh["findings"]


def test_a_range_and_a_commit_are_judged_like_the_index(repo: Any) -> None:
    repo.commit({"README.md": "clinic\n"})
    repo.commit(BAD)
    base, head = "HEAD^", "HEAD"
    for args in (("--range", f"{base}..{head}"), ("--range", f"{base}...{head}"), ("--commit", head)):
        done = agentreview(*args, cwd=repo.path)
        assert done.code == 1, done
        assert RULE in done.out
    nothing = agentreview(cwd=repo.path)
    assert (nothing.code, nothing.out) == (0, "PASSED: nothing to review\n")
    assert "--range BASE..HEAD" in one_line(nothing.err)


def test_another_worktree_is_judged_even_from_within_a_hook_of_this_one(repo: Any, tmp_path: Path) -> None:
    repo.commit({"README.md": "clinic\n"})
    other = tmp_path / "agent-2"
    repo.git("worktree", "add", "-q", str(other), "-b", "agent-2")
    for name, text in BAD.items():
        (other / name).parent.mkdir(exist_ok=True)
        (other / name).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=other, check=True)
    hook = {"GIT_DIR": str(repo.path / ".git"), "GIT_INDEX_FILE": str(repo.path / ".git/index")}
    assert agentreview(cwd=repo.path, env=hook).code == 0
    done = agentreview("--worktree", "../agent-2", "--format", "json", cwd=repo.path, env=hook)
    assert done.code == 1
    report = json.loads(done.out)
    assert (report["worktree"], report["branch"]) == (str(other), "agent-2")
    handle = report["findings"][0]["fingerprint"]
    assert agentreview("explain", handle, "--worktree", str(other), cwd=tmp_path).code == 0


# ---- reports


def test_machine_formats_carry_nothing_but_themselves(bad: Any) -> None:
    forced = {"FORCE_COLOR": "1"}
    for name in ("json", "sarif"):
        done = agentreview("--format", name, "--color", "always", "-v", cwd=bad.path, env=forced)
        assert done.code == 1
        assert done.err == ""
        assert ANSI not in done.out
        assert json.loads(done.out)
    done = agentreview("--format", "github", "--color", "always", cwd=bad.path, env=forced)
    assert ANSI not in done.out
    assert "::error " in done.out


def test_several_formats_come_out_of_one_run(bad: Any) -> None:
    done = agentreview("--format", "terminal", "--format", "json=a.json", "-f", "sarif", "-o", "b.sarif", cwd=bad.path)
    assert (done.code, done.err) == (1, "")
    assert RULE in done.out
    assert json.loads((bad.path / "a.json").read_text())["exit_code"] == 1
    assert json.loads((bad.path / "b.sarif").read_text())["version"] == "2.1.0"
    both = agentreview("--format", "terminal", "--format", "github", cwd=bad.path)
    assert "BLOCKED" in both.out
    assert "::error " in both.out


def test_a_report_in_a_file_leaves_the_decision_on_stderr(bad: Any) -> None:
    done = agentreview("--output", "report.txt", cwd=bad.path, env={"FORCE_COLOR": "1"})
    assert (done.code, done.out) == (1, "")
    assert "BLOCKED: 1 finding" in one_line(done.err)
    text = (bad.path / "report.txt").read_text()
    assert RULE in text
    assert ANSI not in text
    assert agentreview("-q", "--output", "report.txt", cwd=bad.path).err == ""


def test_a_file_that_cannot_be_written_is_an_error_and_the_verdict_is_still_told(bad: Any) -> None:
    done = agentreview("--format", "terminal", "--format", "sarif=no/such/folder.sarif", cwd=bad.path)
    assert done.code == 2
    assert done.out.rstrip().split("\n")[-1].startswith("BLOCKED")
    assert "the sarif report cannot be written to no/such/folder.sarif: No such file or directory" in done.err
    alone = agentreview("--format", "json", "-o", ".git", cwd=bad.path)
    assert (alone.code, alone.out) == (2, "")
    assert "BLOCKED: 1 finding" in alone.err


def test_a_reader_that_goes_away_does_not_change_the_verdict(bad: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = agentreview(cwd=bad.path, stdout=writing)
    assert (done.code, done.err) == (1, "")
    assert agentreview("--help", cwd=bad.path, stdout=writing) == type(done)(0, "", "")
    os.close(writing)


def test_an_output_that_is_full_or_closed_is_no_pass_and_no_traceback(repo: Any) -> None:
    repo.stage(GOOD)
    with Path("/dev/full").open("wb") as full:
        done = agentreview("--format", "json", cwd=repo.path, stdout=full)
    assert done.code == 2
    assert "cannot be written to stdout: No space left on device" in done.err
    with Path("/dev/full").open("wb") as full:
        listed = agentreview("policies", "list", cwd=repo.path, stdout=full)
    assert listed.code == 2
    assert "No space left on device" in one_line(listed.err)
    closed = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *COMMAND, "--fresh"], cwd=repo.path, check=False)
    assert closed.returncode == 0


# ---- colour and progress


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "choice", "expected"),
    [
        ({}, "auto", True),
        ({}, "never", False),
        ({"NO_COLOR": "1"}, "auto", False),
        ({"NO_COLOR": ""}, "auto", True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, "auto", False),
        ({"NO_COLOR": "1"}, "always", True),
        ({"TERM": "dumb"}, "auto", False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, "auto", True),
        ({"FORCE_COLOR": "0"}, "auto", True),
    ],
)
def test_colour_is_a_choice_of_the_person_at_the_terminal(
    environment: dict[str, str], choice: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert console.colored(Screen(), choice) is expected


def test_a_pipe_is_coloured_only_when_that_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not console.colored(io.StringIO())
    assert not console.colored(None)
    assert console.colored(io.StringIO(), "always")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert console.colored(io.StringIO())


def test_on_a_real_terminal_the_report_is_coloured_and_stderr_stays_empty(bad: Any) -> None:
    coloured, plain = (_on_a_terminal(bad.path, env) for env in ({"TERM": "xterm"}, {"TERM": "xterm", "NO_COLOR": "1"}))
    assert ANSI in coloured
    assert "BLOCKED" in coloured
    assert ANSI not in plain
    assert "BLOCKED" in plain


def _on_a_terminal(path: Path, env: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    done = agentreview(cwd=path, env=env, stdout=theirs)
    os.close(theirs)
    assert (done.code, done.err) == (1, "")
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    return shown.decode()


def test_progress_is_counted_after_a_second_and_wiped_away(capfd: Any) -> None:
    with run.Counter(shown=True) as counter:
        counter(1, 40)
        assert capfd.readouterr().err == ""
        counter.started -= run.PROGRESS_AFTER
        counter(2, 40)
        counter(2, 40)
        assert capfd.readouterr().err == "\rreviewing: 2 of 40 files\x1b[K"
    assert capfd.readouterr().err == "\r\x1b[K"
    with run.Counter(shown=False) as counter:
        counter.started -= run.PROGRESS_AFTER
        counter(2, 40)
    assert capfd.readouterr().err == ""


# ---- install, uninstall, doctor


def test_the_gate_is_put_in_place_checked_and_taken_out(bad: Any) -> None:
    missing = agentreview("doctor", cwd=bad.path)
    assert missing.code == 2
    assert "agentreview install" in missing.out
    installed = agentreview("install", cwd=bad.path)
    assert (installed.code, installed.err) == (0, "")
    assert f"git hooks in {bad.path}/.git/hooks" in installed.out
    assert agentreview("doctor", cwd=bad.path).code == 0
    refused = subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=bad.path, capture_output=True, check=False)
    assert refused.returncode == 1
    assert RULE.encode() in refused.stderr
    removed = agentreview("uninstall", cwd=bad.path)
    assert (removed.code, removed.err) == (0, "")
    assert "pre-commit: removed" in removed.out


def test_with_a_hook_manager_the_entry_is_shown_and_the_gate_is_not_called_installed(bad: Any) -> None:
    bad.write({".pre-commit-config.yaml": "repos: []\n"})
    done = agentreview("install", cwd=bad.path)
    assert done.code == 2
    assert "this repository uses pre-commit" in done.out
    assert "entry: agentreview hook auto" in done.out
    assert agentreview("install", "--native", cwd=bad.path).code == 0


# ---- init


def test_init_writes_the_facts_it_found_and_says_what_is_next(bad: Any) -> None:
    done = agentreview("init", cwd=bad.path / "clinic")
    assert (done.code, done.err) == (0, "")
    assert "PHI models:            Patient" in done.out
    assert "agentreview facts confirm" in done.out
    assert "agentreview install" in done.out
    data = (bad.path / "agentreview.toml").read_bytes()
    config = parse_config(data, path="agentreview.toml", known_policies=load().ids())
    assert "Patient" in config.facts.phi.models
    assert not config.facts.confirmed_by
    bad.git("add", "-A")
    assert agentreview(cwd=bad.path).code == 1


def test_init_replaces_nothing_unless_it_is_told_to(bad: Any) -> None:
    target = bad.path / "agentreview.toml"
    target.write_text("# mine\n")
    done = agentreview("init", cwd=bad.path)
    assert (done.code, done.err) == (0, "")
    assert "agentreview.toml is there and stays as it is" in done.out
    assert "phi.models: Patient (clinic/models.py:4)" in done.out
    assert target.read_text() == "# mine\n"
    shown = agentreview("init", "--stdout", cwd=bad.path)
    assert shown.code == 0
    assert target.read_text() == "# mine\n"
    assert agentreview("init", "--force", cwd=bad.path).code == 0
    assert target.read_text() == shown.out


def test_init_does_not_write_through_a_link(bad: Any, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (bad.path / "agentreview.toml").symlink_to(elsewhere)
    assert agentreview("init", cwd=bad.path).code == 2
    assert agentreview("init", "--force", cwd=bad.path).code == 0
    assert not elsewhere.exists()
    assert not (bad.path / "agentreview.toml").is_symlink()


def test_init_does_not_make_a_second_configuration(bad: Any) -> None:
    bad.write({"pyproject.toml": '[tool.agentreview]\nblock_at = "high"\n'})
    assert "pyproject.toml is there and stays as it is" in agentreview("init", cwd=bad.path).out
    done = agentreview("init", "--force", cwd=bad.path)
    assert done.code == 2
    assert "pyproject.toml configures agentreview already" in one_line(done.err)
    assert not (bad.path / "agentreview.toml").exists()


def test_init_in_an_empty_repository_writes_the_examples(repo: Any) -> None:
    done = agentreview("init", cwd=repo.path)
    assert done.code == 0
    assert "no code to read yet" in done.out
    assert '# models = ["Patient", "Encounter"]' in (repo.path / "agentreview.toml").read_text()


# ---- policies


def test_the_list_says_what_each_policy_may_do_here(repo: Any, tmp_path: Path) -> None:
    repo.stage({"agentreview.toml": '[packs]\nhipaa = "advisory"\n'})
    done = agentreview("policies", "list", cwd=repo.path)
    assert (done.code, done.err) == (0, "")
    rows = {line.split()[0]: line for line in done.out.split("\n")[1:] if line}
    assert rows.keys() == load().ids() | set(REVIEW_RULES)
    assert " advisory " in rows[RULE]
    assert " critical " in rows["secrets.hardcoded"]
    assert " on " in rows["secrets.hardcoded"]
    listed = json.loads(agentreview("policies", "list", "--format", "json", cwd=repo.path).out)
    levels = {one["id"]: one["level"] for one in listed}
    assert (levels[RULE], levels["secrets.hardcoded"]) == ("advisory", "on")
    outside = agentreview("policies", "list", "--format", "json", cwd=tmp_path)
    assert (outside.code, {one["level"] for one in json.loads(outside.out)}) == (0, {None})


def test_the_list_is_shown_also_when_the_configuration_has_a_mistake(repo: Any) -> None:
    repo.stage({"agentreview.toml": '[policies]\n"hipaa.audit-phi-red" = "off"\n'})
    done = agentreview("policies", "list", cwd=repo.path)
    assert done.code == 2
    assert RULE in done.out
    assert "agentreview.toml:2: unknown policy" in one_line(done.err)
    assert f"Did you mean '{RULE}'?" in done.err


def test_a_policy_is_shown_with_the_words_of_what_it_cites(capfd: Any) -> None:
    code, out, err = called("policies", "show", RULE, capfd=capfd)
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "45 CFR 164.312(b) (standard) Audit controls:" in words
    assert "CWE-778" in out
    assert "facts.audit.calls" in out
    for title in ("Why", "What to do", "Stays silent when", "Citations"):
        assert f"\n{title}\n" in out
    for sentence in BEYOND:
        assert sentence in words
    explained = called("explain", RULE, capfd=capfd)
    assert explained == (0, out, "")


def test_no_policy_claims_that_a_law_is_met(capfd: Any) -> None:
    for policy in load().ids():
        _, out, _ = called("policies", "show", policy, capfd=capfd)
        assert "compliant" not in out.lower()
        assert "\nWhat a diff cannot show\n  - " in out


def test_the_examples_of_a_policy_are_run(capfd: Any) -> None:
    code, out, _ = called("policies", "test", "hipaa.phi-in-errors", "-v", capfd=capfd)
    assert code == 0
    assert "hipaa/phi-in-errors.md:" in out
    assert "0 missing, 0 noisy, 0 unchecked" in out
    assert "Reported" in out
    assert "Quiet" in out


@pytest.fixture
def one_policy(tmp_path: Path) -> Path:
    """A folder with one policy and the framework files, as somebody who writes a policy has it."""
    folder = tmp_path / "policies"
    (folder / "hipaa").mkdir(parents=True)
    (folder / "frameworks").mkdir()
    for file in ("citations.yml", "hipaa/phi-in-errors.md", "frameworks/python.yml", "frameworks/django.yml"):
        (folder / file).write_bytes((policies_dir() / file).read_bytes())
    return folder


def test_a_policy_that_misses_its_bad_example_fails_its_test(one_policy: Path, capfd: Any) -> None:
    policy = one_policy / "hipaa/phi-in-errors.md"
    example = "\n```python bad django: says nothing bad\nx = 1\n```\n"
    policy.write_text(policy.read_text().split("\n## Examples")[0] + "\n## Examples\n" + example)
    code, out, _ = called("policies", "test", str(one_policy), capfd=capfd)
    assert code == 1
    assert f"{policy}:{policy.read_text().count(chr(10)) - 2} bad django: says nothing bad" in out
    assert "nothing in it is what the checks look for" in out
    assert "0 reported, 0 quiet, 1 missing, 0 noisy, 0 unchecked" in out
    policy.write_text(policy.read_text().replace("python bad", "python good"))
    code, out, _ = called("policies", "test", str(one_policy), capfd=capfd)
    assert code == 1
    assert "no bad example" in out


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("severity:", "sevrity:", ":4: unknown key 'sevrity'"),
        ("severity: high", "severity: [high]", ":4: severity is a list"),
        ("hit: ", "hit: not-", "is 'not-"),
        ("---\n", "", ":1: no front matter"),
        ("cwe: [", "cwe: [[", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_policy_is_one_line_with_the_file(
    one_policy: Path, old: str, new: str, says: str, capfd: Any
) -> None:
    policy = one_policy / "hipaa/phi-in-errors.md"
    policy.write_text(policy.read_text().replace(old, new, 1))
    code, out, err = called("policies", "test", str(one_policy), capfd=capfd)
    assert (code, out) == (2, "")
    assert says in one_line(err)
    assert str(policy) in err


def test_a_folder_without_policies_is_no_success(tmp_path: Path, capfd: Any) -> None:
    code, _, err = called("policies", "test", str(tmp_path), capfd=capfd)
    assert code == 2
    assert "there are no policies" in one_line(err)


# ---- explain


def test_a_finding_is_explained_by_the_name_the_report_prints_or_the_beginning_of_it(bad: Any) -> None:
    report = agentreview(cwd=bad.path).out
    name = report.split("agentreview explain ")[1].split()[0]
    assert name.startswith("b2:")
    full, short = (agentreview("explain", one, cwd=bad.path) for one in (name, name[3:9].upper()))
    assert full == short
    assert (full.code, full.err) == (0, "")
    for part in ("> 11 |", "What would settle it", f"ignore[{RULE}]", "Stays silent when", "45 CFR 164.312(b)"):
        assert part in full.out


def test_a_question_says_which_facts_would_settle_it(bad: Any) -> None:
    bad.stage({"clinic/views.py": (bad.path / "clinic/views.py").read_text().replace(", org=request.user.org", "")})
    findings = json.loads(agentreview("--format", "json", cwd=bad.path).out)["findings"]
    suspect = next(one for one in findings if one["hit"] == "suspect")
    done = agentreview("explain", suspect["fingerprint"], cwd=bad.path)
    assert done.code == 0
    assert all(f"facts.{need}" in done.out for need in suspect["needs"])
    assert "agentreview facts confirm tenant.key tenant.isolation" in " ".join(done.out.split())


def test_a_beginning_that_two_findings_share_lists_them(bad: Any) -> None:
    views = HEAD + "".join(BAD_VIEW.replace("patient_detail", f"patient_{number}") for number in range(20))
    bad.stage({"clinic/views.py": views})
    findings = json.loads(agentreview("--format", "json", cwd=bad.path).out)["findings"]
    first = [one["fingerprint"][3] for one in findings]
    shared = next(letter for letter in first if first.count(letter) > 1)
    done = agentreview("explain", f"b2:{shared}", cwd=bad.path)
    assert done.code == 2
    assert f"b2:{shared} names {first.count(shared)} findings: b2:{shared}" in one_line(done.err)
    assert "Give more characters" in done.err


def test_what_is_neither_a_finding_nor_a_policy_is_answered_with_the_nearest(bad: Any, tmp_path: Path) -> None:
    before = agentreview("explain", "b2:00000000", cwd=bad.path)
    assert before.code == 2
    assert "run agentreview first" in one_line(before.err)
    report = json.loads(agentreview("--format", "json", cwd=bad.path).out)
    print_ = report["findings"][0]["fingerprint"]
    wrong = print_[:9] + ("0" if print_[9] != "0" else "1")
    done = agentreview("explain", wrong, cwd=bad.path)
    assert done.code == 2
    assert f"It may be gone by now. The last review here found {print_[:11]}: " in one_line(done.err)
    assert "Did you mean 'hipaa.audit-bypass'?" in agentreview("explain", "hipaa.audit-bypas", cwd=bad.path).err
    assert agentreview("explain", "b2:", cwd=bad.path).code == 2
    assert "not in a git repository" in one_line(agentreview("explain", "nonsense", cwd=tmp_path).err)


def test_hostile_names_are_escaped_wherever_they_are_printed(repo: Any) -> None:
    repo.stage({"clinic/models.py": MODELS, "clinic/\x1b[31mviews.py": HEAD + BAD_VIEW})
    report = agentreview(cwd=repo.path)
    name = report.out.split("agentreview explain ")[1].split()[0]
    explained = agentreview("explain", name, cwd=repo.path)
    assert explained.code == 0
    assert ANSI not in report.out + explained.out
    assert "clinic/\\x1b[31mviews.py" in explained.out


# ---- the hook path

HEAVY = {"click", "yaml", "anthropic", "detect_secrets", "rich", "jsonschema", "unittest", "asyncio", "git.index"}


def test_a_hook_imports_nothing_that_a_commit_should_not_wait_for(bad: Any) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "agentreview", "hook", "pre-commit"]
    cold, warm = (subprocess.run(argv, cwd=bad.path, capture_output=True, check=False) for _ in range(2))
    assert cold.returncode == warm.returncode == 1
    bad.stage({"clinic/views.py": HEAD + BAD_VIEW + "\n# looked at, not looked up\n"})
    fresh = subprocess.run(argv, cwd=bad.path, capture_output=True, check=False)
    assert fresh.returncode == 1
    for done in (warm, fresh):
        lines = [line for line in done.stderr.decode().split("\n") if line.startswith("import time:")]
        names = {line.rsplit("|", 1)[-1].strip() for line in lines}
        assert "agentreview.hook" in names
        assert {name for name in names if name in HEAVY or name.split(".")[0] in HEAVY} == set()


def test_the_documented_hook_command_is_the_one_hooks_run(bad: Any) -> None:
    done = agentreview("hook", "pre-commit", cwd=bad.path)
    assert (done.code, done.out) == (1, "")
    assert RULE in done.err
    spelled = agentreview("hook", "--", "pre-commit", cwd=bad.path)
    assert (spelled.code, spelled.out) == (1, "")
    assert agentreview("hook", "nonsense", cwd=bad.path).code == 2
