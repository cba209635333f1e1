"""A project's own policies: read from the reviewed tree, run with the built-in ones, and loud when they are wrong."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from agentreview import worker
from agentreview.cli import main
from agentreview.errors import ConfigError
from agentreview.policies.load import cache_dir
from agentreview.policies.project import load_with
from agentreview.policies.selftest import examine
from commandline import agentreview, one_line

FILE = ".agents/policies/no-eval.md"
POLICY = """\
---
id: project.no-eval
title: Values are parsed, not run
severity: high
references: ["ASVS 5.0 1.2.4"]
fix: Use ast.literal_eval.
checks:
  - form: match
    hit: violation
    language: python
    rule: {pattern: eval($VALUE)}
    message: "{unit} runs {call}"
skip: [tests]
---
## Why

eval runs whatever the text holds.

## Examples

```python bad python: a setting is run
def level(text):
    return eval(text)
```

```python good python: a setting is parsed
def level(text):
    return int(text)
```
"""
CODE = {"app/level.py": "def level(text):\n    return eval(text)\n"}
BLOCKED = (1, ["project.no-eval"])


def review(repo, *args: str) -> tuple[int, list[str]]:
    """Exit code and rules of what is staged."""
    done = agentreview("--format", "json", *args, cwd=repo.path)
    report = json.loads(done.out) if done.out else {"findings": []}
    return done.code, [finding["rule"] for finding in report["findings"]]


def mistake(files: dict[str, str | bytes]) -> str:
    """The error that these files of a tree are, without git and workers."""
    data = {path: text if isinstance(text, bytes) else text.encode() for path, text in files.items()}
    with pytest.raises(ConfigError) as caught:
        load_with(data, lambda sources, catalogue: [examine(source, catalogue) for source in sources])
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.fix
    return message


def refused(repo, path: str) -> str:
    """The one line with which the review of a broken file ends."""
    done = agentreview(cwd=repo.path)
    assert (done.code, done.out) == (2, "")
    line = one_line(done.err)
    assert line.startswith(f"agentreview: {path}")
    return line


def test_a_policy_of_the_project_blocks_like_a_built_in_one(repo):
    repo.stage({FILE: POLICY, **CODE})
    assert review(repo) == BLOCKED


def test_the_sub_folder_is_the_pack(repo):
    text = POLICY.replace("project.no-eval", "team.no-eval")
    repo.stage({".agents/policies/team/no-eval.md": text, **CODE})
    assert review(repo) == (1, ["team.no-eval"])
    report = json.loads(agentreview("--format", "json", cwd=repo.path).out)
    assert {run["agent"]: run["outcome"] for run in report["runs"]}["policy:team"] == "completed"


def test_what_lies_in_the_work_tree_is_not_read(repo):
    repo.stage({FILE: POLICY, **CODE})
    repo.write({FILE: "not even a policy"})
    assert review(repo) == BLOCKED
    (repo.path / FILE).unlink()
    assert review(repo, "--fresh") == BLOCKED


def test_a_commit_is_judged_by_the_policies_in_its_tree(repo):
    repo.commit(CODE)
    repo.commit({FILE: POLICY, "app/more.py": CODE["app/level.py"]})
    repo.git("rm", "-q", FILE)
    assert review(repo, "--commit", "HEAD") == BLOCKED


def test_a_changed_policy_is_another_verdict(repo):
    """Verdicts are kept by tree: what was judged under an older policy is not answered from the store."""
    repo.commit({FILE: POLICY})
    repo.stage(CODE)
    assert review(repo) == BLOCKED
    assert review(repo) == BLOCKED
    repo.stage({FILE: POLICY.replace("eval($VALUE)", "'eval($VALUE, $MORE)'").replace("eval(text)", "eval(text, {})")})
    code, rules = review(repo)
    assert (code, "project.no-eval" in rules) == (1, False)  # what is left is the loosened policy itself


@pytest.mark.parametrize("table", ['[policies]\n"project.no-eval" = "{}"\n', '[packs]\nproject = "{}"\n'])
def test_its_level_is_set_like_that_of_a_built_in_one(repo, table):
    repo.commit({FILE: POLICY, "agentreview.toml": table.format("off")})
    repo.stage(CODE)
    assert review(repo) == (0, [])
    repo.commit({"agentreview.toml": table.format("advisory")})
    repo.stage({"app/other.py": CODE["app/level.py"]})
    assert review(repo) == (0, ["project.no-eval"])


def test_it_can_be_waived_in_place(repo):
    waived = (
        "def level(text):\n    # agentreview: ignore[project.no-eval] only the build calls it\n    return eval(text)\n"
    )
    repo.stage({FILE: POLICY, "app/level.py": waived})
    done = agentreview("--format", "json", cwd=repo.path)
    status = {finding["rule"]: finding["status"] for finding in json.loads(done.out)["findings"]}
    assert (done.code, status["project.no-eval"]) == (0, "waived")


def test_it_yields_to_the_paths_it_skips(repo):
    repo.stage({FILE: POLICY, "tests/test_level.py": CODE["app/level.py"]})
    assert review(repo) == (0, [])


# ---- how it fails


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("severity:", "sevrity:", 4, "unknown key 'sevrity'. Did you mean 'severity'?"),
        ("ASVS 5.0 1.2.4", "ASVS 5.0 1.2.99", 5, "is not in policies/citations.yml"),
        ("ASVS 5.0 1.2.4", "ASVS 5.0 1.2.99", 5, "Did you mean 'ASVS 5.0 "),
        ("eval($VALUE)", "eval($VALUE", 11, "the pattern 'eval($VALUE' does not parse as python"),
        ("{pattern: eval($VALUE)}", "{pattren: eval($VALUE)}", 11, "ast-grep refuses the rule"),
        ("{pattern: eval($VALUE)}", "{pattern: exec($VALUE)}", 8, "finds none of its own bad examples: line 21"),
        ("form: match", "form: gate", 8, "unknown form 'gate'"),
        ("python bad python", "python good python", 2, "there is no bad example"),
        ("python bad python", "python bed python", 21, "this fence is no example"),
        ("id: project.no-eval", "id: project.no-evil", 2, "Write id: project.no-eval"),
        (
            "  - form: match\n    hit: violation",
            "  - form: require\n    in: endpoint\n    require: [audti]\n    hit: violation",
            10,
            "Did you mean 'audit'?",
        ),
    ],
)
def test_a_broken_policy_is_one_line_with_file_line_and_way_out(old, new, line, says):
    assert old in POLICY
    text = POLICY.replace(old, new)
    if "form: require" in new:
        text = text.replace("    language: python\n    rule: {pattern: eval($VALUE)}\n", "")
    message = mistake({FILE: text})
    assert message.startswith(f"{FILE}:{line}: ")
    assert says in message


def test_a_broken_policy_refuses_the_commit(repo):
    agentreview("install", cwd=repo.path)
    repo.stage({FILE: POLICY.replace("severity:", "sevrity:")})
    done = subprocess.run(["git", "commit", "-q", "-m", "x"], cwd=repo.path, capture_output=True, check=False)
    assert done.returncode == 1
    assert f"{FILE}:4: unknown key 'sevrity'" in done.stderr.decode()
    assert repo.git("rev-parse", "-q", "--verify", "HEAD", check=False) == ""


def test_every_check_has_to_find_a_bad_example():
    second = POLICY.replace(
        "skip: [tests]", "  - form: match\n    language: python\n    rule: {pattern: exec($X)}\nskip: [tests]"
    )
    message = mistake({FILE: second})
    assert message.startswith(f"{FILE}:13: this check finds none")


def test_an_example_that_is_not_as_it_says_is_a_note(repo):
    noisy = POLICY.replace("return int(text)", "return eval('1')")
    repo.stage({FILE: noisy, **CODE})
    done = agentreview(cwd=repo.path)
    assert done.code == 1
    assert "policy project.no-eval: 1 of its examples is not as they say" in " ".join(done.out.split())
    assert f"{FILE}:26 is noisy" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("files", "path", "says"),
    [
        (
            {".agents/policies/hipaa/audit-phi-read.md": POLICY},
            ".agents/policies/hipaa/audit-phi-read.md",
            "is a built-in policy",
        ),
        (
            {FILE: POLICY, ".agents/policies/project/no-eval.md": POLICY},
            FILE.replace("no-", "project/no-"),
            "is project.no-eval as well",
        ),
        ({".agents/policies/a/b/c.md": POLICY}, ".agents/policies/a/b/c.md", "no policy's"),
        ({".agents/policies/No_Eval.md": POLICY}, ".agents/policies/No_Eval.md", "small letters"),
        ({".agents/policies/no-eval.yml": POLICY}, ".agents/policies/no-eval.yml", "ends in .md"),
        ({".agents/frameworks/django.yml": "id: django\n"}, ".agents/frameworks/django.yml", "built-in framework"),
        ({".agents/frameworks/project.yml": "id: x\n"}, ".agents/frameworks/project.yml", "built-in framework"),
        ({".agents/frameworks/mine.yaml": "id: mine\n"}, ".agents/frameworks/mine.yaml", "ends in .yml"),
        (
            {".agents/frameworks/mine.yml": "id: mine\nlanguages: [python]\n"},
            ".agents/frameworks/mine.yml:1:",
            "'concepts'",
        ),
        ({FILE: b"---\nid: \xff\n---\n"}, f"{FILE}:2:", "not UTF-8"),
        ({FILE: "---\n" + "x" * 300_000}, FILE, "at most"),
        ({FILE: "# no front matter\n"}, f"{FILE}:1:", "no front matter"),
        ({FILE: POLICY.replace("title: V", "title: &a V")}, f"{FILE}:3:", "anchors"),
    ],
)
def test_a_file_that_cannot_be_one_is_refused_and_not_left_out(files, path, says):
    message = mistake(files)
    assert message.startswith(path)
    assert says in message


def test_a_file_of_a_wrong_name_or_size_refuses_the_review(repo):
    """The same through git: what decides which files are read must not leave one of them out."""
    repo.stage({FILE.replace(".md", ".yml"): POLICY})
    assert "ends in .md" in refused(repo, FILE.replace(".md", ".yml"))
    repo.git("rm", "-q", "-f", FILE.replace(".md", ".yml"))
    repo.stage({FILE: "---\n" + "x" * 300_000})
    assert "at most" in refused(repo, FILE)


def test_more_files_than_are_read_are_refused(repo):
    repo.stage({f".agents/policies/p{n}.md": "x" for n in range(201)})
    assert "there are 201 files, at most 200 are read" in refused(repo, ".agents")


@pytest.mark.parametrize("name", [FILE, ".agents/policies"])
def test_a_link_is_refused(repo, name):
    repo.write({"elsewhere/no-eval.md": POLICY})
    place = repo.path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(repo.path / "elsewhere" / ("no-eval.md" if name == FILE else ""), place.parent))
    repo.git("add", "-A")
    assert "this is a link" in refused(repo, name)


def test_other_files_in_the_folder_are_left_alone(repo):
    repo.stage(
        {".agents/policies/README.md": "# Ours\n", ".agents/policies/.gitkeep": "", ".agents/agents.json": "{}", **CODE}
    )
    assert review(repo) == (0, [])


# A pattern that is tried at every pair of places: what it takes grows with the square of the example.
RUNAWAY = POLICY.replace(
    "{pattern: eval($VALUE)}",
    "{all: [" + ", ".join(["{inside: {stopBy: end, has: {stopBy: end, pattern: zz($A, $$$B, $C)}}}"] * 12) + "]}",
).replace(
    "    return eval(text)\n",
    "".join(f"    a = [{'[' * 60}{n}{']' * 60}, f(a, g(a, b, c), {n})]\n" for n in range(400))
    + "    return eval(text)\n",
    1,
)


@pytest.mark.slow
def test_a_runaway_pattern_is_not_checked_and_never_clean(repo, capfd, monkeypatch):
    """In this process, so that it runs for half a second each time and not for five."""
    monkeypatch.setattr(worker, "EXAMPLE_SECONDS", 0.5)
    monkeypatch.chdir(repo.path)
    repo.stage({FILE: RUNAWAY, **CODE})
    code = main(("--format", "json"))
    report = json.loads(capfd.readouterr().out)
    assert (code, report["decision"]) == (3, "incomplete")
    [run] = [run for run in report["runs"] if run["agent"] == "policy:project"]
    assert (run["outcome"], run["required"]) == ("failed", True)
    assert "project.no-eval: its examples were not checked within 0.5 s" in run["reason"]
    assert "project.no-eval" not in {finding["rule"] for finding in report["findings"]}
    assert main(("policies", "list")) == 2
    assert "project.no-eval cannot be used" in one_line(capfd.readouterr().err)


# ---- what is kept


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """A cache that no other test fills."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def kept() -> list[Path]:
    return sorted(cache_dir().glob("project-*.json"))


@pytest.mark.usefixtures("own_cache")
def test_examples_run_once_for_each_content(repo):
    repo.stage({FILE: POLICY, **CODE})
    assert review(repo) == BLOCKED
    [first] = kept()
    stamp = first.stat().st_mtime_ns
    repo.stage({"app/other.py": "x = 1\n"})
    assert review(repo) == BLOCKED
    assert [(path, path.stat().st_mtime_ns) for path in kept()] == [(first, stamp)]
    repo.stage({FILE: POLICY.replace("Values are", "A value is")})
    review(repo)
    assert len(kept()) == 2


@pytest.mark.usefixtures("own_cache")
def test_a_kept_form_that_does_not_read_is_made_again(repo):
    repo.stage({FILE: POLICY, **CODE})
    review(repo)
    [path] = kept()
    for text in ("", "{}", '{"format": 5, "policies": [{}], "frameworks": [], "notes": []}'):
        path.write_text(text)
        assert review(repo, "--fresh") == BLOCKED


@pytest.mark.usefixtures("own_cache")
def test_nothing_is_kept_and_no_yaml_is_read_for_a_project_without_policies(repo):
    """The hook path stays what it was."""
    repo.stage({"app/level.py": "x = 1\n", "agentreview.toml": 'block_at = "high"\n'})
    agentreview("hook", "pre-commit", cwd=repo.path)  # compiles the built-in policies
    repo.stage({"app/level.py": "x = 2\n"})
    done = agentreview("hook", "pre-commit", cwd=repo.path, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0
    imported = {line.rpartition("|")[2].strip() for line in done.err.splitlines() if line.startswith("import time:")}
    assert {"agentreview.hook", "agentreview.policies.project"} <= imported
    assert not imported & {"yaml", "agentreview.policies.compiling", "agentreview.policies.selftest", "difflib"}
    assert kept() == []


# ---- seen from the commands


def test_the_commands_know_it(repo):
    repo.stage({FILE: POLICY, **CODE})
    listed = agentreview("policies", "list", cwd=repo.path)
    assert "project.no-eval" in listed.out
    shown = agentreview("policies", "show", "project.no-eval", cwd=repo.path)
    assert (shown.code, shown.err) == (0, "")
    assert "ASVS 5.0 1.2.4 (guidance)" in shown.out
    assert "level     on" in shown.out
    review(repo)
    assert agentreview("explain", "project.no-eval", cwd=repo.path).out == shown.out
    table = agentreview("policies", "list", "--format", "markdown", cwd=repo.path).out
    [row] = [line for line in table.splitlines() if line.startswith("| `project.no-eval`")]
    assert row.endswith("| python | 1 | 1 |")


def test_a_mistake_in_one_is_told_after_what_could_be_read(repo):
    repo.stage({FILE: POLICY.replace("severity:", "sevrity:")})
    done = agentreview("policies", "list", cwd=repo.path)
    assert done.code == 2
    assert "hipaa.audit-phi-read" in done.out
    assert FILE in one_line(done.err)


# ---- in CI


def ci(repo):
    done = agentreview("ci", "--base", "main", "--format", "json", cwd=repo.path)
    return done.code, {finding["rule"] for finding in json.loads(done.out)["findings"]} if done.out else set(), done.err


def test_in_ci_the_policies_of_the_base_judge(repo):
    repo.commit({FILE: POLICY})
    repo.git("switch", "-q", "-c", "branch")
    repo.git("rm", "-q", FILE)
    repo.commit(CODE)
    code, rules, _ = ci(repo)
    assert (code, {"project.no-eval", "conduct.gate-tampered"} <= rules) == (1, True)


def test_in_ci_a_policy_that_the_change_brings_is_only_checked(repo):
    repo.commit({"README.md": "x"})
    repo.git("switch", "-q", "-c", "branch")
    repo.commit({FILE: POLICY, **CODE})
    assert ci(repo)[:2] == (0, set())
    repo.commit({FILE: POLICY.replace("severity:", "sevrity:")})
    code, _, error = ci(repo)
    assert code == 2
    assert f"{FILE}:4: unknown key 'sevrity'" in error


def test_a_shard_of_ci_asks_the_packs_of_the_project_too(repo):
    repo.commit({".agents/policies/zebra/no-eval.md": POLICY.replace("project.", "zebra.")})
    repo.git("switch", "-q", "-c", "branch")
    repo.commit(CODE)
    shards = [
        agentreview("ci", "--base", "main", "--shard", f"{n}/2", "--format", f"json={n}.json", cwd=repo.path)
        for n in (1, 2)
    ]
    assert {done.code for done in shards} <= {0, 1}
    merged = agentreview("merge-reports", "1.json", "2.json", "--format", "json", cwd=repo.path)
    assert merged.code == 1
    assert "zebra.no-eval" in merged.out


def test_what_a_policy_says_cannot_speak_for_the_report(repo):
    """Its text comes from the reviewed tree, like the code."""
    hostile = "eval\x1b[2J\u202e runs.\n::error::nothing\n"
    repo.stage({FILE: POLICY.replace("eval runs whatever the text holds.\n", hostile), **CODE})
    for arguments in (
        (),
        ("policies", "show", "project.no-eval"),
        ("explain", "project.no-eval"),
        ("--format", "github"),
    ):
        out = agentreview(*arguments, cwd=repo.path).out
        assert "\\x1b[2J\\u202e" in out, arguments
        assert not {"\x1b", "\u202e"} & set(out)
        assert not any(line.startswith("::error::nothing") for line in out.splitlines())
