"""Which commits a CI run is about, from the CI's own environment. Pure: the environment and the event come in as values.

What a system says is a name or an id and nothing more: it is resolved by git afterwards, behind ``--end-of-options``.
Sources: GitHub's event payloads (``pull_request``, ``merge_group``, ``push``) and variables; GitLab's predefined
variables; Azure's ``System.PullRequest.*`` and ``Build.*``; Jenkins' multibranch ``CHANGE_*``; Buildkite's, CircleCI's
and Bitbucket's variables of the same kind. A base that is a branch is looked for at the remote, where the target of the
change is; the local branch of that name may be anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agentreview.errors import UsageError
from agentreview.records import dataclass

_ZERO = frozenset("0")
READ_EVENT = Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class CiRange:
    """``base`` and ``head`` as revisions for git, and who said so. ``bases`` are tried in this order."""

    provider: str
    bases: tuple[str, ...]
    head: str
    about: str  # "pull request 12", "merge group", "push to main": for people


def from_environment(env: Mapping[str, str], read_event: READ_EVENT) -> CiRange | None:
    """Return the range the surrounding CI reviews, or None where no CI is known. Raises UsageError for one that says too little."""
    for detected, find in (
        (env.get("GITHUB_ACTIONS") == "true", _github),
        (env.get("GITLAB_CI") == "true", _gitlab),
        (env.get("TF_BUILD", "").lower() == "true", _azure),
        (bool(env.get("BITBUCKET_BUILD_NUMBER")), _bitbucket),
        (env.get("BUILDKITE") == "true", _buildkite),
        (env.get("CIRCLECI") == "true", _circle),
        (bool(env.get("JENKINS_URL")), _jenkins),
    ):
        if detected:
            return find(env, read_event)
    return None


def _github(env: Mapping[str, str], read_event: READ_EVENT) -> CiRange:
    name = env.get("GITHUB_EVENT_NAME", "")
    event = _event(env.get("GITHUB_EVENT_PATH", ""), read_event)
    head = env.get("GITHUB_SHA", "HEAD")
    if name in ("pull_request", "pull_request_target"):
        pull = _table(event, "pull_request")
        base, tip = _text(pull, "base", "sha"), _text(pull, "head", "sha")
        branch = env.get("GITHUB_BASE_REF", "")
        # The tip of the branch, not GITHUB_SHA: that is a merge commit nobody wrote, and of pull_request_target the base.
        return _range(
            "GitHub", (*_remote(branch), base), tip or head, f"pull request {event.get('number', '')}".strip()
        )
    if name == "merge_group":
        group = _table(event, "merge_group")
        return _range("GitHub", (_text(group, "base_sha"),), _text(group, "head_sha") or head, "merge group")
    default = _text(event, "repository", "default_branch")
    before = _text(event, "before")
    return _range(
        "GitHub", (_known(before), *_remote(default)), head, f"{name or 'run'} on {env.get('GITHUB_REF_NAME', 'a ref')}"
    )


def _gitlab(env: Mapping[str, str], _: READ_EVENT) -> CiRange:
    head = env.get("CI_COMMIT_SHA", "HEAD")
    target = env.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "")
    if env.get("CI_MERGE_REQUEST_IID"):
        bases = (env.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""), *_remote(target))
        # In merged-results pipelines CI_COMMIT_SHA is a merge commit nobody wrote; the tip of the branch has a name of its own.
        tip = env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or head
        return _range("GitLab", bases, tip, f"merge request {env['CI_MERGE_REQUEST_IID']}")
    before = _known(env.get("CI_COMMIT_BEFORE_SHA", ""))
    bases = (before, *_remote(env.get("CI_DEFAULT_BRANCH", "")))
    return _range("GitLab", bases, head, f"push to {env.get('CI_COMMIT_REF_NAME', 'a ref')}")


def _azure(env: Mapping[str, str], _: READ_EVENT) -> CiRange:
    head = env.get("SYSTEM_PULLREQUEST_SOURCECOMMITID") or env.get("BUILD_SOURCEVERSION", "HEAD")
    target = env.get("SYSTEM_PULLREQUEST_TARGETBRANCH", "").removeprefix("refs/heads/")
    about = (
        f"pull request {env['SYSTEM_PULLREQUEST_PULLREQUESTID']}"
        if env.get("SYSTEM_PULLREQUEST_PULLREQUESTID")
        else "build"
    )
    return _range("Azure Pipelines", _remote(target), head, about)


def _bitbucket(env: Mapping[str, str], _: READ_EVENT) -> CiRange:
    bases = (*_remote(env.get("BITBUCKET_PR_DESTINATION_BRANCH", "")), env.get("BITBUCKET_PR_DESTINATION_COMMIT", ""))
    about = f"pull request {env['BITBUCKET_PR_ID']}" if env.get("BITBUCKET_PR_ID") else "build"
    return _range("Bitbucket", bases, env.get("BITBUCKET_COMMIT", "HEAD"), about)


def _buildkite(env: Mapping[str, str], _: READ_EVENT) -> CiRange:
    number = env.get("BUILDKITE_PULL_REQUEST", "false")
    target = env.get("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "") or env.get("BUILDKITE_PIPELINE_DEFAULT_BRANCH", "")
    about = f"pull request {number}" if number != "false" else "build"
    return _range("Buildkite", _remote(target), env.get("BUILDKITE_COMMIT", "HEAD"), about)


def _circle(env: Mapping[str, str], _: READ_EVENT) -> CiRange:
    # CircleCI does not say what a pull request goes into: the remote's default branch, or --base.
    about = "pull request" if env.get("CIRCLE_PULL_REQUEST") else "build"
    return _range("CircleCI", ("refs/remotes/origin/HEAD",), env.get("CIRCLE_SHA1", "HEAD"), about)


def _jenkins(env: Mapping[str, str], _: READ_EVENT) -> CiRange:
    previous = env.get("GIT_PREVIOUS_SUCCESSFUL_COMMIT", "") or env.get("GIT_PREVIOUS_COMMIT", "")
    bases = _remote(env["CHANGE_TARGET"]) if env.get("CHANGE_TARGET") else (previous,)
    about = f"change {env['CHANGE_ID']}" if env.get("CHANGE_ID") else f"build of {env.get('BRANCH_NAME', 'a branch')}"
    return _range("Jenkins", bases, env.get("GIT_COMMIT", "HEAD"), about)


def _range(provider: str, bases: tuple[str, ...], head: str, about: str) -> CiRange:
    named = tuple(dict.fromkeys(base for base in bases if base))
    if not named:
        raise UsageError(
            f"{provider} does not say what this change ({about}) goes into",
            fix="Give it: agentreview ci --base origin/main",
        )
    return CiRange(provider=provider, bases=named, head=head, about=about)


def _remote(branch: str) -> tuple[str, ...]:
    return (f"refs/remotes/origin/{branch}",) if branch else ()


def _known(oid: str) -> str:
    """An object id, or nothing: a push that makes a branch says zeros."""
    return oid if oid and not set(oid) <= _ZERO else ""


def _event(path: str, read_event: READ_EVENT) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        event = json.loads(read_event(path))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not valid JSON"
        raise UsageError(
            f"the event file {path} cannot be read: {reason}", fix="Give the range: agentreview ci --base origin/main"
        ) from error
    return event if isinstance(event, dict) else {}


def _table(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = event.get(key)
    return value if isinstance(value, dict) else {}


def _text(event: Mapping[str, Any], *keys: str) -> str:
    value: Any = event
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
