"""What each CI system says a run is about, as its documentation has it, and what it must not be believed about."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentreview.ciranges import from_environment
from agentreview.errors import UsageError

A, B = "a" * 40, "b" * 40


def found(env, event=None):
    return from_environment(env, lambda _: json.dumps(event).encode() if event is not None else b"{}")


@pytest.mark.parametrize(
    ("env", "event", "bases", "head", "about"),
    [
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_BASE_REF": "main", "GITHUB_SHA": "c" * 40, "GITHUB_EVENT_PATH": "e"},
            {"number": 12, "pull_request": {"base": {"sha": A}, "head": {"sha": B}}},
            ("refs/remotes/origin/main", A), B, "pull request 12",
        ),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "merge_group", "GITHUB_SHA": B, "GITHUB_EVENT_PATH": "e"},
            {"merge_group": {"base_sha": A, "head_sha": B}}, (A,), B, "merge group",
        ),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_SHA": B, "GITHUB_EVENT_PATH": "e", "GITHUB_REF_NAME": "main"},
            {"before": A, "repository": {"default_branch": "main"}}, (A, "refs/remotes/origin/main"), B, "push on main",
        ),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_SHA": B, "GITHUB_EVENT_PATH": "e", "GITHUB_REF_NAME": "new"},
            {"before": "0" * 40, "repository": {"default_branch": "main"}}, ("refs/remotes/origin/main",), B, "push on new",
        ),
        (
            {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_DIFF_BASE_SHA": A, "CI_COMMIT_SHA": "c" * 40, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": B, "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"},
            None, (A, "refs/remotes/origin/main"), B, "merge request 7",
        ),
        (
            {"GITLAB_CI": "true", "CI_COMMIT_BEFORE_SHA": "0" * 40, "CI_COMMIT_SHA": B, "CI_DEFAULT_BRANCH": "main", "CI_COMMIT_REF_NAME": "x"},
            None, ("refs/remotes/origin/main",), B, "push to x",
        ),
        (
            {"TF_BUILD": "True", "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main", "SYSTEM_PULLREQUEST_SOURCECOMMITID": B, "SYSTEM_PULLREQUEST_PULLREQUESTID": "3", "BUILD_SOURCEVERSION": A},
            None, ("refs/remotes/origin/main",), B, "pull request 3",
        ),
        (
            {"BITBUCKET_BUILD_NUMBER": "1", "BITBUCKET_PR_ID": "4", "BITBUCKET_PR_DESTINATION_BRANCH": "main", "BITBUCKET_PR_DESTINATION_COMMIT": "aaaaaaaaaaaa", "BITBUCKET_COMMIT": B},
            None, ("refs/remotes/origin/main", "aaaaaaaaaaaa"), B, "pull request 4",
        ),
        (
            {"BUILDKITE": "true", "BUILDKITE_PULL_REQUEST": "5", "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main", "BUILDKITE_COMMIT": B},
            None, ("refs/remotes/origin/main",), B, "pull request 5",
        ),
        ({"CIRCLECI": "true", "CIRCLE_SHA1": B}, None, ("refs/remotes/origin/HEAD",), B, "build"),
        (
            {"JENKINS_URL": "https://ci.example.org", "CHANGE_TARGET": "main", "CHANGE_ID": "6", "GIT_COMMIT": B},
            None, ("refs/remotes/origin/main",), B, "change 6",
        ),
        (
            {"JENKINS_URL": "https://ci.example.org", "GIT_PREVIOUS_SUCCESSFUL_COMMIT": A, "GIT_COMMIT": B, "BRANCH_NAME": "main"},
            None, (A,), B, "build of main",
        ),
    ],
)  # fmt: skip
def test_the_range_is_what_the_system_says(env, event, bases, head, about):
    said = found(env, event)
    assert (said.bases, said.head, said.about) == (bases, head, about)


def test_no_ci_is_no_range():
    assert found({"CI": "true"}) is None


@pytest.mark.parametrize(
    "env",
    [
        {"TF_BUILD": "True", "BUILD_SOURCEVERSION": B},
        {"JENKINS_URL": "https://ci.example.org", "GIT_COMMIT": B},
        {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "schedule", "GITHUB_SHA": B},
    ],
)
def test_a_system_that_does_not_say_the_base_is_an_error_that_says_what_to_give(env):
    with pytest.raises(UsageError, match="--base"):
        found(env)


def test_an_event_that_cannot_be_read_is_one_clear_error():
    def gone(_):
        raise FileNotFoundError(2, "No such file or directory")

    env = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": "/nowhere"}
    with pytest.raises(UsageError, match="No such file"):
        from_environment(env, gone)
    with pytest.raises(UsageError, match="not valid JSON"):
        from_environment(env, lambda _: b"{")


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_event_of_any_shape_breaks_it(event):
    env = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_BASE_REF": "main",
        "GITHUB_EVENT_PATH": "e",
    }
    assert from_environment(env, lambda _: json.dumps(event).encode()).bases[0] == "refs/remotes/origin/main"
