"""Policy and framework files: a mistake is one line with file, line and way out; the cache is only a cache."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from agentreview.errors import ConfigError
from agentreview.policies import load as loading
from agentreview.policies.examples import examples
from agentreview.policies.load import compile_files, load, policies_dir, sources

POLICY = """\
---
id: hipaa.mine
title: Reads are recorded
severity: high
cwe: [778]
references: ["45 CFR 164.312(b)"]
needs: [audit.calls]
fix: Record it.
checks:
  - form: require
    hit: violation
    in: endpoint
    when: {concepts: [read], resource: phi}
    require: [audit]
    message: "{unit} reads"
skip: [tests]
---
## Why

Because.
"""
FRAMEWORK = """\
id: mine
title: Mine
languages: [python]
imports: [mine]
concepts:
  read:
    - "$R.load"
    - {call: "**.fetch($R)", single: true}
"""
CITATIONS = 'citations:\n  "45 CFR 164.312(b)":\n    kind: standard\n    says: x\n'


def files(policy: str = POLICY, framework: str = FRAMEWORK) -> dict[str, bytes]:
    return {
        "citations.yml": CITATIONS.encode(),
        "hipaa/mine.md": policy.encode(),
        "frameworks/mine.yml": framework.encode(),
    }


def refused(**texts: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        compile_files(files(**texts), "policies")
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.fix
    assert message.startswith("policies/")
    return caught.value


def test_the_files_of_this_test_are_right():
    assert compile_files(files(), "policies")["policies"][0]["id"] == "hipaa.mine"


@pytest.mark.parametrize(
    ("old", "new", "says", "line"),
    [
        ("severity: high", "severity: high\nseverty: low", "unknown key 'severty'", 5),
        ("severity: high", "severity: grave", "severity 'grave'", 4),
        ("id: hipaa.mine", "id: hipaa.yours", "the file name says 'hipaa.mine'", 2),
        ("title: Reads are recorded\n", "", "'title' is missing", 1),
        ("45 CFR 164.312(b)", "45 CFR 164.999", "'45 CFR 164.999' is not in citations.yml", 6),
        ("concepts: [read]", "concepts: [reed]", "unknown concept 'reed'", 13),
        ("require: [audit]", "require: [audits]", "unknown concept 'audits'", 14),
        ("resource: phi", "resorce: phi", "unknown filter 'resorce'", 13),
        ("form: require", "form: requires", "a check needs form", 10),
        ("    hit: violation", "    hit: maybe", "hit 'maybe'", 11),
        ("    in: endpoint", "    in: endpoints", "in 'endpoints' is none of", 12),
        ("    require: [audit]", "    demand: [audit]", "unknown key 'demand' in a check", 14),
        ("skip: [tests]", "skip: [test]", "unknown path class 'test'", 16),
        ("needs: [audit.calls]", "needs: [audit.call]", "unknown project fact 'audit.call'", 7),
        ("cwe: [778]", "cwe: [778", "not valid YAML", None),
        ("cwe: [778]", "cwe: 778", "not of the kind", None),
        ("---\n## Why", "## Why", "no front matter", 1),
        ("title: Reads are recorded", "title: a: b", "not valid YAML", 3),
        ("checks:\n  - form: require", "superseded_by: hipaa.none\nchecks:\n  - form: require", "is no policy", 1),
    ],
)
def test_a_mistake_in_a_policy_names_the_file_and_the_line(old, new, says, line):
    assert old in POLICY
    error = refused(policy=POLICY.replace(old, new))
    assert says in str(error)
    assert error.path == "policies/hipaa/mine.md"
    if line is not None:
        assert error.line == line


def test_a_flow_names_sources_that_exist():
    flow = "  - form: flow\n    from: [phi-fields]\n    into: [log]\nskip: [tests]"
    assert "unknown source 'phi-fields'" in str(refused(policy=POLICY.replace("skip: [tests]", flow)))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("language: cobol\n    rule: {pattern: a}", "language"),
        ("language: python\n    rule: {pattrn: a}", "ast-grep refuses the rule"),
        ("rule: {pattern: a}", "language"),
    ],
)
def test_a_raw_rule_is_tried_when_it_is_loaded(rule, says):
    text = POLICY.replace("skip: [tests]", f"  - form: match\n    {rule}\nskip: [tests]")
    assert says in str(refused(policy=text))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  read:", "  reads:", "unknown concept 'reads'"),
        ("single: true", "singel: true", "unknown key 'singel'"),
        ('"**.fetch($R)"', '"**.fetch($R, x)"', "bad segment"),
        ('"$R.load"', '"**"', "at least one name"),
        ('"$R.load"', "{call: a, decorator: b}", "exactly one of"),
        ("languages: [python]\n", "", "'languages' is missing"),
        ("concepts:", "concepts: [", "not valid YAML"),
        ("concepts:\n  read:", "concepts:\n  - read:", "not of the kind"),
    ],
)
def test_a_mistake_in_a_framework_file_names_the_file(old, new, says):
    assert old in FRAMEWORK
    error = refused(framework=FRAMEWORK.replace(old, new))
    assert says in str(error)
    assert error.path == "policies/frameworks/mine.yml"


def test_an_example_fence_that_does_not_read_is_an_error_with_its_line(tmp_path):
    (tmp_path / "hipaa").mkdir()
    (tmp_path / "hipaa" / "mine.md").write_text(POLICY + "\n```python bad django no colon\nx = 1\n```\n")
    with pytest.raises(ConfigError) as caught:
        examples(tmp_path)
    assert caught.value.line == POLICY.count("\n") + 2


def test_yaml_cannot_make_objects():
    policy = POLICY.replace("title: Reads are recorded", "title: !!python/object/apply:os.system ['true']")
    assert "not valid YAML" in str(refused(policy=policy))


# -- the cache -----------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of policies of its own, so that no other test's cache is met."""
    for name, data in files().items():
        path = tmp_path / "policies" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "policies"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "agentreview"


def again(root: Path):
    load.cache_clear()
    return load(root)


def no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "compile_files", lambda *_: pytest.fail("compiled again"))


def test_the_compiled_form_is_kept_and_used(root, cache, monkeypatch):
    first = again(root)
    [kept] = cache.iterdir()
    assert json.loads(kept.read_text())["format"] == loading._FORMAT
    no_compiling(monkeypatch)
    assert again(root).policies == first.policies


def test_any_changed_byte_is_another_cache(root, cache):
    first = again(root)
    (root / "hipaa" / "mine.md").write_text(POLICY.replace("Because.", "Because!"))
    second = again(root)
    assert second.digest != first.digest
    assert len(list(cache.iterdir())) == 2
    assert second.policies[0].rule.why == "Because!"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 2}',
        b'{"format": 2, "policies": [{}], "frameworks": []}',
        b'{"format": 2, "policies": [1], "frameworks": []}',
        b'{"format": 2, "policies": "x", "frameworks": 3}',
        b'{"format": 2, "policies": [], "frameworks": [{"id": "x"}]}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format": 1, "policies": [], "frameworks": []}',
    ],
)
def test_a_cache_that_does_not_read_is_made_again(root, cache, content):
    wanted = again(root)
    [kept] = cache.iterdir()
    kept.write_bytes(content)
    assert again(root).policies == wanted.policies
    assert len(json.loads(kept.read_bytes())["policies"]) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(root, cache):
    cache.parent.write_text("a file where the folder should be")
    assert again(root).policies
    assert cache.parent.is_file()


def test_a_cache_folder_of_the_reviewed_tree_is_not_used(root, tmp_path, monkeypatch):
    """A relative XDG_CACHE_HOME would be looked up in the work tree, where anybody commits files."""
    monkeypatch.setenv("XDG_CACHE_HOME", "cache-in-the-repo")
    monkeypatch.chdir(tmp_path)
    assert again(root).policies
    assert not (tmp_path / "cache-in-the-repo").exists()


def test_the_cache_is_data(root, cache):
    """JSON is read, never imported: what is in the file cannot run."""
    again(root)
    [kept] = cache.iterdir()
    assert kept.suffix == ".json"
    assert isinstance(json.loads(kept.read_text()), dict)
    assert not os.access(kept, os.X_OK)


# -- what is shipped -----------------------------------------------------------------------------------------------


def test_the_shipped_policies_compile_without_a_cache():
    compiled = compile_files(sources(policies_dir()), "policies")
    assert len(compiled["policies"]) >= 12
    assert len(compiled["frameworks"]) >= 10


def test_broken_shipped_files_are_one_line(tmp_path):
    copy = tmp_path / "policies"
    shutil.copytree(policies_dir(), copy)
    target = copy / "frameworks" / "django.yml"
    target.write_text(target.read_text() + "\n  : :\n")
    with pytest.raises(ConfigError, match=r"django\.yml:\d+: not valid YAML"):
        load(copy)


def test_a_check_may_be_less_severe_than_its_policy_and_a_severity_nobody_knows_is_refused():
    raw = files(POLICY.replace("    hit: violation", "    hit: violation\n    severity: medium"))
    (check,) = compile_files(raw, "policies")["policies"][0]["checks"]
    assert check["severity"] == "medium"
    error = refused(policy=POLICY.replace("    hit: violation", "    hit: violation\n    severity: grave"))
    assert "grave" in str(error)
