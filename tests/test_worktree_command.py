"""`agentreview worktree add`, `list` and `remove`: real worktrees, real hooks, and nothing half made or lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentreview import room
from agentreview.config import config_relaxations, parse_config
from agentreview.git import open_repository
from agentreview.install import install
from agentreview.room import read_room
from agentreview.version import engine_version
from agentreview.worktrees import adding
from commandline import BAD, COMMAND, GOOD, MODELS, RULE, agentreview, one_line
from conftest import git_version
from messages_server import MessagesServer, Reply
from reviewing import answer
from test_reviewers_endtoend import CAREFUL, VIEW, reviewer
from waiting import PATIENCE, eventually


@pytest.fixture
def clinic(repo: Any) -> Any:
    """A repository with a commit and installed hooks; its worktrees are made beside it, as repo-NAME."""
    repo.commit({"clinic/models.py": MODELS})
    assert install(open_repository(str(repo.path)), native=True).done
    return repo


def beside(repo: Any, name: str) -> Path:
    return repo.path.parent / f"{repo.path.name}-{name}"


def add(repo: Any, *args: str, code: int = 0, **env: str) -> str:
    """Run add; returns what it prints, or the one line of the failure."""
    done = agentreview("worktree", "add", *args, cwd=repo.path, env=env)
    assert done.code == code, done
    return done.out if code == 0 else [line for line in done.err.splitlines() if line.startswith("agentreview: ")][-1]


def remove(repo: Any, *args: str, code: int = 0) -> str:
    done = agentreview("worktree", "remove", *args, cwd=repo.path)
    assert done.code == code, done
    return done.out if code == 0 else one_line(done.err)


def configure(repo: Any, text: str) -> None:
    repo.write({"agentreview.toml": text})
    repo.git("add", "-A")
    repo.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "--no-verify", "-m", "configure")


def environment(place: Path, name: str = ".agentreview.env") -> dict[str, str]:
    rows = [line.split("=", 1) for line in (place / name).read_text().splitlines() if not line.startswith("#")]
    return dict(rows)  # type: ignore[arg-type]


def nothing_left(repo: Any, name: str) -> bool:
    lists = repo.git("worktree", "list", "--porcelain"), repo.git("branch", "--list", name)
    return not beside(repo, name).exists() and name not in "".join(lists)


def commit(place: Path, files: dict[str, str], *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    import os

    for path, text in files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    argv = ["git", "commit", "-q", "-m", "work", *args]
    return subprocess.run(argv, cwd=place, env={**os.environ, **env}, capture_output=True, text=True, check=False)


# ---- add


def test_a_new_worktree_has_a_branch_hooks_that_refuse_and_a_file_of_its_own_that_git_ignores(clinic: Any) -> None:
    said = add(clinic, "login")
    place = beside(clinic, "login")
    assert "branch login, from HEAD" in said
    assert "fired, and it answered" in said
    assert environment(place)["PORT_OFFSET"] == "100"
    assert environment(place)["COMPOSE_PROJECT_NAME"].startswith("repo-login-")
    assert subprocess.run(["git", "status", "--short"], cwd=place, capture_output=True, check=True).stdout == b""
    refused = commit(place, BAD)
    assert (refused.returncode, RULE in refused.stderr) == (1, True)
    assert commit(place, GOOD).returncode == 0
    assert "agentreview.env" not in clinic.git("ls-tree", "-r", "--name-only", "login")


def test_where_no_hooks_fire_nothing_is_left_behind(repo: Any) -> None:
    repo.commit({"a.py": "a = 1\n"})
    said = add(repo, "login", code=2)
    assert "no gate" in said
    assert said.endswith("Run: agentreview install")
    assert nothing_left(repo, "login")


def test_hooks_that_one_worktree_would_not_run_are_noticed(clinic: Any) -> None:
    """A relative core.hooksPath leads to a folder that the branch has, or has not."""
    (clinic.path / ".hooks").mkdir()
    for hook in (clinic.path / ".git" / "hooks").iterdir():
        (clinic.path / ".hooks" / hook.name).write_bytes(hook.read_bytes())
        (clinic.path / ".hooks" / hook.name).chmod(0o755)
    clinic.git("config", "core.hooksPath", ".hooks")
    assert "no gate: there is none in" in add(clinic, "login", code=2)
    assert nothing_left(clinic, "login")


def test_worktrees_added_at_the_same_time_get_different_ports_and_projects(clinic: Any) -> None:
    configure(clinic, "[worktree]\nports = { WEB_PORT = 8000, DB_PORT = 5432 }\n")
    names = [f"agent-{n}" for n in range(5)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: add(clinic, name), names))
    found = [environment(beside(clinic, name)) for name in names]
    assert sorted(int(one["PORT_OFFSET"]) for one in found) == [100, 200, 300, 400, 500]
    assert len({one["COMPOSE_PROJECT_NAME"] for one in found}) == 5
    ports = [one[name] for one in found for name in ("WEB_PORT", "DB_PORT")]
    assert len(set(ports)) == 10
    assert all(int(one["WEB_PORT"]) == 8000 + int(one["PORT_OFFSET"]) for one in found)
    lines = (clinic.path / ".git" / "info" / "exclude").read_text().splitlines()
    assert lines.count("/.agentreview.env") == 1


def test_an_offset_is_given_again_when_its_worktree_is_gone(clinic: Any) -> None:
    for name in ("one", "two"):
        add(clinic, name)
    remove(clinic, "one")
    add(clinic, "three")
    assert environment(beside(clinic, "three"))["PORT_OFFSET"] == "100"


def test_a_worktree_that_is_removed_while_offsets_are_looked_up_is_no_broken_one(clinic: Any, monkeypatch: Any) -> None:
    add(clinic, "one")
    real = room.read

    def read(path: Path) -> bytes | None:
        if beside(clinic, "one").exists():
            clinic.git("worktree", "remove", "--force", str(beside(clinic, "one")))
        return real(path)

    monkeypatch.setattr(room, "read", read)
    assert room.all_rooms(str(clinic.path / ".git")) == {}


def test_the_set_up_is_that_of_the_default_branch_and_not_of_the_branch_that_is_checked_out(clinic: Any) -> None:
    configure(
        clinic, '[worktree]\nsetup = [["sh", "-c", "echo $WEB_PORT >made; pwd >>made"]]\nports = { WEB_PORT = 80 }\n'
    )
    clinic.git("checkout", "-q", "-b", "theirs")
    configure(clinic, '[worktree]\nsetup = [["sh", "-c", "touch pwned"]]\n')
    assert "1 command of refs/heads/main: done" in add(clinic, "login", "--from", "theirs")
    place = beside(clinic, "login")
    assert (place / "made").read_text().split() == ["180", str(place)]
    assert not (place / "pwned").exists()


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ('[["true"], ["false"], ["touch", "later"]]', "the set-up command false ended with 1"),
        ('[["no-such-program-here"]]', "the set-up command no-such-program-here cannot be run: No such file"),
    ],
)
def test_a_set_up_command_that_fails_leaves_the_worktree_and_says_so(clinic: Any, setup: str, said: str) -> None:
    configure(clinic, f"[worktree]\nsetup = {setup}\n")
    line = add(clinic, "login", code=2)
    assert said in line
    assert "is there, without what it brings" in line
    assert line.endswith("agentreview worktree remove login")
    assert not (beside(clinic, "login") / "later").exists()
    assert environment(beside(clinic, "login"))
    remove(clinic, "login")
    assert nothing_left(clinic, "login")


def test_an_interruption_leaves_nothing_behind(clinic: Any, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    configure(clinic, f'[worktree]\nsetup = [["sh", "-c", "touch {begun}; exec sleep 600"]]\n')
    with subprocess.Popen([*COMMAND, "worktree", "add", "login"], cwd=clinic.path, stderr=subprocess.PIPE) as running:
        eventually(begun.exists)
        running.send_signal(signal.SIGINT)
        assert b"interrupted" in running.communicate(timeout=PATIENCE)[1]
    assert running.returncode == 130
    assert nothing_left(clinic, "login")


def test_an_interruption_while_a_set_up_command_begins_does_not_leave_it_running(clinic, monkeypatch):
    begun = []

    class Interrupted(subprocess.Popen):
        def __init__(self, argv, **more):
            super().__init__(argv, **more)
            if argv[:1] == [b"sleep"]:
                begun.append(self.pid)
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    configure(clinic, '[worktree]\nsetup = [["sleep", "600"]]\n')
    with pytest.raises(KeyboardInterrupt):
        adding.add(str(clinic.path), "login")
    assert len(begun) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(begun[0], 0)
    assert nothing_left(clinic, "login")


def test_words_of_a_set_up_command_are_never_read_by_a_shell(clinic: Any) -> None:
    configure(clinic, '[worktree]\nsetup = [["touch", "a; touch b", "$HOME"]]\n')
    add(clinic, "login")
    made = {path.name for path in beside(clinic, "login").iterdir()}
    assert {"a; touch b", "$HOME"} <= made
    assert "b" not in made


def test_set_up_that_switches_the_hooks_off_is_noticed(clinic: Any) -> None:
    off = '["git", "config", "--worktree", "core.hooksPath", "/dev/null"]'
    configure(clinic, f'[worktree]\nsetup = [["git", "config", "extensions.worktreeConfig", "true"], {off}]\n')
    assert "no gate" in add(clinic, "login", code=2)
    assert nothing_left(clinic, "login")


def test_hooks_that_the_set_up_brings_count(clinic: Any) -> None:
    """husky's hooks are files that git ignores: a new worktree has none until its own set-up has run."""
    stages = ("pre-commit", "pre-merge-commit", "prepare-commit-msg", "pre-push")
    clinic.write({f".husky/{stage}": f'agentreview hook {stage} "$@"\n' for stage in stages})
    loop = "mkdir .husky/_ && for s in " + " ".join(stages)
    loop += r"; do printf '#!/usr/bin/env sh\n. \"$(dirname \"$0\")/h\"' >.husky/_/$s; chmod +x .husky/_/$s; done"
    clinic.write({".husky/setup.sh": loop.replace('\\"', '"') + "\n", ".gitignore": "_/\n"})
    configure(clinic, '[worktree]\nsetup = [["sh", ".husky/setup.sh"]]\n')
    clinic.git("config", "core.hooksPath", ".husky/_")
    assert "husky runs it, and its file names agentreview" in add(clinic, "login")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({".env": "SECRET=1\n"}, ".env is a file of this repository, and is not overwritten"),
        ({".gitignore": "!.env\n"}, "git would not ignore .env: a .gitignore takes it back"),
    ],
)
def test_a_file_that_is_there_or_would_be_staged_is_not_written(clinic: Any, files: dict[str, str], said: str) -> None:
    clinic.write(files)
    configure(clinic, '[worktree]\nenv_file = ".env"\n')
    assert said in add(clinic, "login", code=2)
    assert nothing_left(clinic, "login")


def test_a_link_in_the_place_of_the_file_is_not_followed(clinic: Any, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (clinic.path / ".agentreview.env").symlink_to(target)
    configure(clinic, "")
    assert "is a file of this repository" in add(clinic, "login", code=2)
    assert not target.exists()
    assert nothing_left(clinic, "login")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("../out",), "'../out' is no name for a worktree"),
        (("HEAD",), "HEAD is no name for a worktree"),
        (("login", "--from", "nowhere"), "--from nowhere names no commit here"),
        (("login", "--from", "--help"), "--from --help names no commit here"),
        (("login", "--workflow", "bugfix"), "there is no workflow bugfix. Did you mean 'bug-fix'?"),
        (("login", "--profile", "backends"), "not there: backends. Did you mean 'backend'?"),
        (("main",), "the branch main is there already"),
        (("x..y",), "x..y is no name for a branch"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_makes_nothing(clinic: Any, args: tuple[str, ...], said: str) -> None:
    before = clinic.git("for-each-ref"), clinic.git("worktree", "list")
    assert said.replace("'", "") in add(clinic, *args, code=2).replace("'", "")
    assert (clinic.git("for-each-ref"), clinic.git("worktree", "list")) == before


def test_where_the_disk_is_full_the_advice_is_to_make_room_and_nothing_is_left(clinic: Any, tmp_path: Path) -> None:
    clinic.commit({"large.bin": os.urandom(200_000)})
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount a file system")
    try:
        said = add(clinic, "login", "--path", str(small / "login"), code=2)
        assert said.endswith(". Check the permissions and the free disk space, then try again")
        assert nothing_left(clinic, "login")
        assert not any(small.iterdir())
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_mistake_in_the_configuration_makes_nothing(clinic: Any) -> None:
    configure(clinic, '[worktree]\nsetup = ["npm ci"]\n')
    assert "agentreview.toml:2: worktree.setup[0] is one string. Write its words" in add(clinic, "login", code=2)
    assert nothing_left(clinic, "login")


def test_a_branch_is_named_so_that_the_workflow_of_the_project_is_its_own(clinic: Any) -> None:
    flow = '---\nname: mend\nbranches: ["fix/*"]\nquestions: ["Why?"]\n---\n'
    configure(clinic, "")
    clinic.write({".agents/workflows/mend.md": flow})
    configure(clinic, "block_at = 'high'\n")
    assert "branch fix/login," in add(clinic, "login", "--workflow", "mend")
    assert "workflow mend, by the name of its branch" in add(clinic, "fix/other")
    rows = listed(clinic)
    assert {(r["branch"], r["workflow"]) for r in rows[1:]} == {("fix/login", "mend"), ("fix/other", "mend")}
    assert "fix/login" not in remove(clinic, "login").partition("deleted")[0]
    assert clinic.git("branch", "--list", "fix/*").strip() == "+ fix/other"


@pytest.mark.parametrize("kind", [("--bare",), ()])
def test_where_git_may_not_look_for_bare_repositories_a_worktree_comes_and_goes(
    make_repo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: tuple[str, ...]
) -> None:
    seed, store = make_repo("seed"), make_repo("store.git", *kind)
    seed.commit({"README.md": "x\n"})
    store.git("fetch", "-q", str(seed.path), "main:trunk")
    store.git("worktree", "add", "-q", str(tmp_path / "trunk"), "trunk")
    (tmp_path / "settings").write_text("[safe]\nbareRepository = explicit\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    here = type(seed)(tmp_path / "trunk")
    assert install(open_repository(str(here.path)), native=True).done
    add(here, "login")
    assert "login" in [row["name"] for row in listed(here)]
    remove(here, "login")
    assert len(listed(here)) == 2
    if kind and git_version() >= (2, 38):  # older ones do not know the setting
        done = agentreview("status", cwd=store.path)
        assert (done.code, "Run it in one of its worktrees" in done.err) == (2, True)


def test_from_a_bare_repository_a_worktree_is_made_beside_it(make_repo: Any, tmp_path: Path) -> None:
    seed, bare = make_repo("seed"), make_repo("store.git", "--bare")
    seed.commit({"a.py": "a = 1\n"})
    seed.git("push", "-q", str(bare.path), "main")
    bare.git("worktree", "add", "-q", str(tmp_path / "main"), "main")
    assert install(open_repository(str(tmp_path / "main")), native=True).done
    assert "fired, and it answered" in add(bare, "login", "--from", "main")
    place = tmp_path / "store-login"
    assert commit(place, BAD).returncode == 1
    assert [row["name"] for row in listed(bare)] == [None, None, "login"]
    assert "2 files staged" in remove(bare, "login", code=2)
    assert "the branch main stays" in remove(bare, str(tmp_path / "main"))


# ---- what it was made with


def test_workflow_and_profile_hold_for_reviews_there_and_nowhere_else(clinic: Any) -> None:
    clinic.write({".agents/profiles/careful.md": CAREFUL})
    configure(clinic, "[reviewers]\nhook_seconds = 600\n")  # the machine may be busy
    said = add(clinic, "login", "--workflow", "refactoring", "--profile", "careful")
    assert "workflow refactoring (reviewer, architect), and careful" in said
    add(clinic, "plain")
    with MessagesServer() as server:
        server.default = Reply(json={})
        for words in ("You read carefully", "reviewer", "architect"):
            server.on(words, reviewer(answer))
        plain = commit(beside(clinic, "plain"), {"clinic/views.py": VIEW}, **server.env)
        assert (plain.returncode, len(server.messages)) == (0, 0)
        room = commit(beside(clinic, "login"), {"clinic/views.py": VIEW}, **server.env)
        assert room.returncode == 0, room.stderr
        assert "careful reads" in room.stderr, "the verdict of the other worktree is none here"
        assert len(server.messages) >= 3
        asked = len(server.messages)
        shown = agentreview("--commit", "HEAD", "--format", "json", cwd=beside(clinic, "login"), env=server.env)
        report = json.loads(shown.out)
        assert {"reviewer:careful", "reviewer:architect"} <= {run["agent"] for run in report["runs"]}
        assert any("workflow refactoring, by the choice of this worktree" in note for note in report["notes"])
        assert len(server.messages) == asked, "what was answered is not asked again"
    status = json.loads(agentreview("status", "--json", cwd=clinic.path).out)["worktrees"]
    assert {Path(row["path"]).name: row["workflow"] for row in status}["repo-login"] == "refactoring"


def test_a_required_reviewer_of_the_room_that_cannot_be_asked_refuses_the_commit(clinic: Any) -> None:
    clinic.write({".agents/profiles/careful.md": CAREFUL})
    configure(clinic, "")
    add(clinic, "login", "--profile", "careful")
    refused = commit(beside(clinic, "login"), {"clinic/views.py": VIEW}, AGENTREVIEW_OFFLINE="1")
    assert refused.returncode == 1
    assert "reviewer:careful (required) failed: offline" in refused.stderr
    assert "required agent did not finish (reviewer:careful), so this is not a pass" in refused.stderr


def test_a_change_that_was_judged_by_the_rooms_reviewers_passes_the_hook_without_python(clinic: Any) -> None:
    clinic.write({".agents/profiles/careful.md": CAREFUL})
    configure(clinic, "")
    add(clinic, "login", "--profile", "careful")
    place = beside(clinic, "login")
    (place / "clinic" / "views.py").write_text(VIEW)
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    with MessagesServer() as server:
        server.on("You read carefully", reviewer(answer))
        assert agentreview("run", cwd=place, env=server.env).code == 0
    kept = [path for path in (clinic.path / ".git/agentreview/verdicts").iterdir() if ".r" in path.name]
    assert [len(list(path.iterdir())) for path in kept] == [1]
    done = commit(place, {}, AGENTREVIEW_OFFLINE="1")  # asking would fail, and the review would say so
    assert (done.returncode, "offline" in done.stderr) == (0, False)


def test_the_hook_in_shell_takes_only_verdicts_of_the_rooms_own_reviewers(clinic: Any, tmp_path: Path) -> None:
    log, version, command = tmp_path / "asked", tmp_path / "VERSION", tmp_path / "agentreview"
    version.write_text(engine_version())
    command.write_text(f'#!/bin/sh\necho "$@" >>{log}\nexec {COMMAND[0]} "$@"\n')
    command.chmod(0o755)
    clinic.write({".agents/profiles/careful.md": CAREFUL})
    configure(clinic, "")
    assert install(open_repository(str(clinic.path)), native=True, command=str(command), version_file=version).done
    add(clinic, "plain")
    add(clinic, "login", "--profile", "careful")
    place = beside(clinic, "login")
    assert commit(beside(clinic, "plain"), {"clinic/views.py": VIEW}).returncode == 0
    log.unlink()
    refused = commit(place, {"clinic/views.py": VIEW}, AGENTREVIEW_OFFLINE="1")
    assert (refused.returncode, log.read_text().split()[:2]) == (1, ["hook", "pre-commit"]), (
        "that verdict is another one"
    )
    with MessagesServer() as server:
        server.on("You read carefully", reviewer(answer))
        assert agentreview("run", cwd=place, env=server.env).code == 0
    log.unlink()
    assert commit(place, {}, AGENTREVIEW_OFFLINE="1").returncode == 0
    assert not log.exists(), "this one was found without Python"


def test_a_room_that_somebody_edited_stops_the_review_instead_of_being_left_out(clinic: Any) -> None:
    add(clinic, "login", "--profile", "backend")
    kept = clinic.path / ".git/worktrees/repo-login/agentreview-room.json"
    kept.write_text(kept.read_text().replace('"profiles"', '"profile"'))
    done = agentreview("run", cwd=beside(clinic, "login"))
    assert done.code == 2
    assert "does not say how this worktree is reviewed" in one_line(done.err)


# ---- list


def listed(repo: Any) -> list[dict[str, Any]]:
    done = agentreview("worktree", "list", "--json", cwd=repo.path)
    found = json.loads(done.out)
    assert (done.code, found["schema"]) == (0, "agentreview/worktrees/1")
    return found["worktrees"]  # type: ignore[no-any-return]


def test_the_list_says_what_each_worktree_was_made_with_and_whether_its_hooks_fire(clinic: Any) -> None:
    add(clinic, "login", "--workflow", "bug-fix", "--profile", "backend", "--profile", "tester")
    clinic.git("worktree", "add", "-q", "--detach", "../plain")
    rows = {Path(row["path"]).name: row for row in listed(clinic)}
    assert set(rows) == {"repo", "repo-login", "plain"}
    login = rows["repo-login"]
    assert (login["workflow"], login["profiles"], login["port_offset"]) == ("bug-fix", ["backend", "tester"], 100)
    assert "fired, and it answered" in login["hooks"]["detail"]
    assert (rows["plain"]["detached"], rows["plain"]["port_offset"], rows["plain"]["name"]) == (True, None, None)
    table = agentreview("worktree", "list", cwd=clinic.path).out.splitlines()
    assert table[0].split() == ["worktree", "branch", "workflow", "reviewers", "ports", "hooks"]
    assert next(line for line in table if "login" in line).split() == [
        "../repo-login",
        "login",
        "bug-fix",
        "backend,",
        "tester",
        "+100",
        "in",
        "place",
    ]


def test_a_worktree_without_a_gate_is_said_in_the_list_with_exit_code_2(clinic: Any) -> None:
    add(clinic, "login")
    clinic.git("config", "extensions.worktreeConfig", "true")
    subprocess.run(
        ["git", "config", "--worktree", "core.hooksPath", "/dev/null"], cwd=beside(clinic, "login"), check=True
    )
    done = agentreview("worktree", "list", cwd=clinic.path)
    assert done.code == 2
    assert "NOT IN PLACE" in done.out
    assert "no gate" in done.out


# ---- remove


def test_a_worktree_without_work_is_removed_with_its_branch(clinic: Any) -> None:
    add(clinic, "login")
    said = remove(clinic, "login")
    assert "removed" in said
    assert "docker compose -p repo-login-" in said
    assert nothing_left(clinic, "login")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda place: (place / "new file.py").write_text("x = 1\n"), "1 file not tracked: new file.py"),
        (lambda place: (place / "clinic/models.py").write_text("x = 1\n"), "1 file changed and not staged: clinic/models.py"),
        (lambda place: put(place, {"b.py": "b = 1\n"}), "1 file staged: b.py"),
        (lambda place: (git_dir(place) / "MERGE_HEAD").write_text("0" * 40 + "\n"), "a merge is under way"),
    ],
)  # fmt: skip
def test_work_that_is_nowhere_else_is_named_and_kept(clinic: Any, prepare: Any, said: str) -> None:
    add(clinic, "login")
    place = beside(clinic, "login")
    prepare(place)
    line = remove(clinic, "login", code=2)
    assert said in line
    assert line.endswith("or drop it: --force")
    assert place.exists()
    assert f"lost: {said}" in remove(clinic, "login", "--force")
    assert nothing_left(clinic, "login")


def put(place: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (place / name).write_text(text)
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)


def git_dir(place: Path) -> Path:
    done = subprocess.run(["git", "rev-parse", "--git-dir"], cwd=place, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def test_commits_that_nothing_else_has_are_named_with_those_that_nobody_reviewed(clinic: Any) -> None:
    add(clinic, "login")
    place = beside(clinic, "login")
    assert commit(place, GOOD).returncode == 0
    assert commit(place, {"b.py": "b = 1\n"}, AGENTREVIEW_BYPASS="").returncode == 0
    subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "unseen"],
        cwd=place,
        check=True,
    )
    (place / "c.py").write_text("c = 1\n")
    subprocess.run(["git", "add", "-A"], cwd=place, check=True)
    subprocess.run(["git", "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "unseen"], cwd=place, check=True)
    unseen = clinic.git("rev-parse", "login").strip()
    line = remove(clinic, "login", code=2)
    assert "4 commits that no other branch, tag or remote has" in line
    assert f"1 of them without a review ({unseen[:12]})" in line
    assert "Push or merge login, or keep the branch alone: --keep-branch" in line
    assert "the branch login stays" in remove(clinic, "login", "--keep-branch")
    assert clinic.git("rev-parse", "login").strip() == unseen
    assert len(agentreview("receipts", "list", cwd=clinic.path).out.splitlines()) >= 2


def test_repositories_of_submodules_that_would_go_along_are_named(clinic: Any, make_repo: Any) -> None:
    vendor = make_repo("vendor")
    vendor.commit({"a.txt": "a\n"})
    add(clinic, "login")
    place = beside(clinic, "login")
    submodule = ["git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(vendor.path), "vendor"]
    subprocess.run(submodule, cwd=place, check=True)
    assert commit(place, {}).returncode == 0
    clinic.git("merge", "-q", "login")
    assert "submodules with repositories of their own" in remove(clinic, "login", code=2)
    remove(clinic, "login", "--force")
    assert nothing_left(clinic, "login")


def test_a_merged_branch_is_no_obstacle_and_a_forced_removal_says_how_to_have_it_back(clinic: Any) -> None:
    for name in ("merged", "dropped"):
        add(clinic, name)
        assert commit(beside(clinic, name), {f"{name}.py": "a = 1\n"}).returncode == 0
    clinic.git("merge", "-q", "merged")
    assert "deleted the branch merged" in remove(clinic, "merged")
    head = clinic.git("rev-parse", "dropped").strip()
    assert f"to have it back: git branch dropped {head[:12]}" in remove(clinic, "dropped", "--force")
    assert nothing_left(clinic, "dropped")


def test_detached_commits_count_and_a_branch_that_add_did_not_make_is_never_deleted(clinic: Any) -> None:
    clinic.git("worktree", "add", "-q", "--detach", "../loose")
    loose = clinic.path.parent / "loose"
    assert commit(loose, {"a.py": "a = 1\n"}).returncode == 0
    assert "Give them a branch: git branch NAME" in remove(clinic, "loose", code=2)
    clinic.git("worktree", "add", "-q", "-b", "own", "../mine")
    assert commit(clinic.path.parent / "mine", {"a.py": "a = 1\n"}).returncode == 0
    assert "the branch own stays" in remove(clinic, "mine")
    assert "own" in clinic.git("branch")
    clinic.git(
        "branch",
        "kept",
        subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=loose, capture_output=True, text=True, check=True
        ).stdout.strip(),
    )
    assert "removed" in remove(clinic, "loose")


def test_a_locked_worktree_is_left_alone_unless_forced(clinic: Any) -> None:
    add(clinic, "login")
    clinic.git("worktree", "lock", "--reason", "agent at work", str(beside(clinic, "login")))
    line = remove(clinic, "login", code=2)
    assert "it is locked (agent at work)" in line
    assert "git worktree unlock" in line
    remove(clinic, "login", "--force")
    assert nothing_left(clinic, "login")


def test_a_worktree_whose_directory_is_gone_is_removed_unless_its_index_holds_something(clinic: Any) -> None:
    for name in ("gone", "staged"):
        add(clinic, name)
    put(beside(clinic, "staged"), {"b.py": "b = 1\n"})
    for name in ("gone", "staged"):
        subprocess.run(["rm", "-rf", str(beside(clinic, name))], check=True)
    assert "removed" in remove(clinic, "gone")
    assert nothing_left(clinic, "gone")
    line = remove(clinic, "staged", code=2)
    assert "1 file staged: b.py, in its index" in line
    assert "git write-tree" in line
    assert read_room(clinic.path / ".git/worktrees/repo-staged") is not None
    remove(clinic, "staged", "--force")
    assert nothing_left(clinic, "staged")


def test_the_main_worktree_the_one_you_are_in_and_an_unknown_one_are_not_removed(clinic: Any) -> None:
    add(clinic, "login")
    assert "is the repository itself" in remove(clinic, ".", code=2)
    assert "Did you mean 'login'?" in remove(clinic, "logon", code=2)
    done = agentreview("worktree", "remove", "login", "--force", cwd=beside(clinic, "login"))
    assert (done.code, "you are in that worktree" in one_line(done.err)) == (2, True)
    assert beside(clinic, "login").exists()


# ---- configuration


def parse(text: str) -> Any:
    return parse_config(text.encode(), path="agentreview.toml", known_policies=())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('set_up = [["a"]]', "unknown key 'set_up' in [worktree]. Did you mean 'setup'?"),
        ("setup = [[]]", "worktree.setup[0] is empty"),
        ("setup = [[1]]", "worktree.setup[0][0] must be a string"),
        ('setup = [["a", "b\\u0007"]]', "control or invisible"),
        ('env_file = "../.env"', "'../.env' is no file name for it"),
        ('env_file = ".gitignore"', "'.gitignore' is no file name for it"),
        ("ports = 8000", "worktree.ports must be a table"),
        ("ports = { web = 8000 }", "'web' is no name for a port's variable"),
        ("ports = { GIT_DIR = 8000 }", "'GIT_DIR' is no name for a port's variable"),
        ("ports = { A = 70000 }", "worktree.ports.A is out of range"),
        ("ports = { A = 8000, B = 8100 }", "worktree.ports.B and A differ by a multiple of 100"),
    ],
)
def test_what_is_not_understood_is_an_error_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Exception, match=r"agentreview\.toml:2: ") as caught:
        parse(f"[worktree]\n{text}\n")
    assert said in str(caught.value)


def test_a_new_set_up_command_is_named_as_something_that_loosens_the_gate() -> None:
    old, new = (
        parse('[worktree]\nsetup = [["npm", "ci"]]\n'),
        parse('[worktree]\nsetup = [["npm", "ci"], ["sh", "x"]]\n'),
    )
    assert config_relaxations(old, new) == ("worktree.setup now runs 'sh x' in every new worktree",)
    assert config_relaxations(new, old) == ()
