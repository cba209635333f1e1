"""What somebody who can commit may try. Where it works on their own machine, the test shows what finds it later."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agentreview.git import open_repository, read_blobs
from agentreview.history import raw_entries
from agentreview.issuing import issue
from agentreview.model import Decision, Verdict
from agentreview.snapshot import base_tree, staged_tree
from agentreview.store import Store
from commandline import BAD, RULE, agentreview
from test_hooks import Gated


@pytest.fixture
def gated(repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gated:
    repo.commit({"a.py": "a = 1\n", "b.py": "b = 1\n"})
    return Gated(repo, tmp_path, monkeypatch)


@pytest.fixture
def remote(gated: Gated, make_repo: Any) -> str:
    bare = make_repo("remote.git", "--bare")
    gated.git("remote", "add", "origin", str(bare.path))
    gated.git("push", "-q", "--no-verify", "origin", "main")
    return str(bare.path)


def forge_verdict(repo: Any, version: str) -> None:
    """Write a passing verdict for what is staged, seal and all, as anybody who may write the git directory can."""
    opened = open_repository(str(repo.path))
    store = Store(opened.store_dir, opened.state_dir)
    assert store.save(base_tree(opened), staged_tree(opened), version, Decision.PASS, b"{}") is None


def forge_receipt(repo: Any, version: str) -> None:
    opened = open_repository(str(repo.path))
    base, tree = base_tree(opened), staged_tree(opened)
    (entries,) = raw_entries(opened, [(base, tree)])
    verdict = Verdict(decision=Decision.PASS, base=base, tree=tree, version=version)
    assert issue(opened, verdict, entries, {}) is None
    assert read_blobs(opened, [entries[0].new_oid])


def refused_push(gated: Gated) -> bool:
    code, output = gated.try_git("push", "-q", "origin", "main")
    return code == 1 and "BLOCKED" in output


def test_a_forged_verdict_passes_its_own_machine_and_not_the_push(gated: Gated, remote: str) -> None:
    gated.stage({"a.py": "BAD\n"})
    forge_verdict(gated, "9.9")
    assert gated.commit() == (0, "")
    assert refused_push(gated)


def test_a_forged_receipt_passes_the_push_and_not_ci(repo: Any, make_repo: Any) -> None:
    repo.commit({"README.md": "clinic\n"})
    assert agentreview("install", cwd=repo.path).code == 0
    repo.git("checkout", "-q", "-b", "feature")
    version = re.split(r"\s+", agentreview("--version", cwd=repo.path).out.strip())[-1]
    repo.stage(BAD)
    forge_receipt(repo, version)
    repo.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "x")
    repo.git("remote", "add", "origin", str(make_repo("remote.git", "--bare").path))
    repo.git("push", "-q", "--no-verify", "origin", "main")
    repo.git("push", "-q", "origin", "feature")
    done = agentreview("ci", "--base", "main", cwd=repo.path)
    assert (done.code, RULE in done.out) == (1, True)


@pytest.mark.parametrize("state", ["CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "MERGE_HEAD"])
def test_a_state_file_made_by_hand_lets_a_commit_go_unreviewed_and_not_the_push(
    gated: Gated, remote: str, state: str
) -> None:
    gated.stage({"a.py": "BAD\n"})
    path = gated.path / ".git" / state
    if state.startswith("rebase"):
        path.mkdir()
    else:
        path.write_text(gated.head() + "\n")
    assert gated.commit("--no-verify")[0] == 0
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    assert refused_push(gated)


@pytest.mark.parametrize(
    "way",
    [
        lambda gated: gated.git("config", "core.hooksPath", "/dev/null"),
        lambda gated: [hook.unlink() for hook in (gated.path / ".git/hooks").glob("p*") if "push" not in hook.name],
        lambda gated: [hook.chmod(0o644) for hook in (gated.path / ".git/hooks").glob("p*") if "push" not in hook.name],
    ],
    ids=["another hooks path", "deleted", "not executable"],
)
def test_hooks_that_were_switched_off_for_a_commit_are_caught_up_with_by_the_push(
    gated: Gated, remote: str, way: Any
) -> None:
    way(gated)
    gated.stage({"a.py": "BAD\n"})
    assert gated.commit()[0] == 0
    gated.git("config", "--unset", "core.hooksPath", check=False)
    assert refused_push(gated)


def test_a_hook_that_stages_something_after_the_review_is_seen(gated: Gated) -> None:
    later = gated.path / ".git/hooks/prepare-commit-msg.agentreview-chained"
    later.write_text("#!/bin/sh\necho BAD >evil.py\ngit add evil.py\n")
    later.chmod(0o755)
    gated.stage({"a.py": "good\n"})
    code, output = gated.commit()
    assert (code, "the index changed during the review" in output) == (1, True)


def test_a_verdict_of_another_change_put_under_this_ones_name_is_no_verdict_for_the_reviewer(gated: Gated) -> None:
    gated.stage({"a.py": "good\n"})
    gated.commit()
    (verdict,) = (gated.path / ".git/agentreview/verdicts/9.9").iterdir()
    gated.stage({"a.py": "BAD\n"})
    repo = open_repository(str(gated.path))
    base, tree = base_tree(repo), staged_tree(repo)
    verdict.rename(verdict.with_name(f"{base}-{tree}"))
    assert Store(repo.store_dir, repo.state_dir).load(base, tree, "9.9") is None


@pytest.mark.parametrize(
    "name", ["AGENTREVIEW_BYPASS", "SKIP", "AGENTREVIEW_SKIP", "HUSKY", "PRE_COMMIT_ALLOW_NO_CONFIG"]
)
def test_no_variable_switches_the_native_hooks_off(gated: Gated, name: str) -> None:
    gated.stage({"a.py": "BAD\n"})
    value = "0" if name == "HUSKY" else "agentreview, for a good reason"
    code, output = gated.commit(**{name: value})
    assert (code, "BLOCKED" in output) == (1, True)


def test_the_program_that_the_hooks_run_is_not_looked_up_on_the_path(
    gated: Gated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "fake/agentreview"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexit 0\n")
    fake.chmod(0o755)
    gated.stage({"a.py": "BAD\n"})
    code, _ = gated.commit(PATH=f"{fake.parent}:/usr/bin:/bin")
    assert code == 1


def test_a_module_in_the_work_tree_is_not_imported_by_the_gate(repo: Any) -> None:
    """`agentreview` runs in the repository: what lies there must not shadow a library."""
    assert agentreview("install", cwd=repo.path).code == 0
    evil = "open('ran', 'w').write('x')\nraise SystemExit(0)\n"
    names = ("click", "yaml", "git", "unidiff", "tomli", "ast_grep_py", "json", "sitecustomize", "agentreview")
    repo.stage({**BAD, **{f"{name}.py": evil for name in names}})
    done = agentreview(cwd=repo.path)
    assert (done.code, RULE in done.out) == (1, True)
    with pytest.raises(AssertionError):
        repo.git("commit", "-q", "-m", "x")
    assert not (repo.path / "ran").exists()
