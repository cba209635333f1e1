"""The errors themselves."""

from __future__ import annotations

import pickle

from agentreview.errors import AgentReviewError, ConfigError, ExitCode, IncompleteError


def test_an_error_crosses_a_process_boundary_whole():
    """The review runs in a child: file, line and the way out must arrive."""
    error = ConfigError("unknown key 'x'", path="agentreview.toml", line=3, fix="Did you mean 'y'?")

    back = pickle.loads(pickle.dumps(error))

    assert (type(back), str(back), back.path, back.line) == (ConfigError, str(error), "agentreview.toml", 3)


def test_the_line_ends_with_what_to_do_next():
    assert str(IncompleteError("it stopped", fix="Run it again")) == "it stopped. Run it again"
    assert IncompleteError.exit_code is ExitCode.INCOMPLETE
    assert AgentReviewError("x").exit_code is ExitCode.BUG
