"""Errors of controls that Go returns: dropped, logged and passed over, or heeded."""

from __future__ import annotations

import pytest

from engine import change, introduced

HEAD = """package api

import (
	"log"
	"net/http"
)

func (s *Server) Show(w http.ResponseWriter, r *http.Request) {
"""
TAIL = """	s.render(w, r)
}
"""
RULE = "quality.fail-open"


def found(body: str) -> list[int]:
    """Lines of the body where a failing control is passed over."""
    source = HEAD + body + TAIL
    return [line - HEAD.count("\n") for _, _, line in introduced(change("api/show.go", None, source), rule=RULE)]


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("\t_ = s.audit.Record(ctx, id)\n", [1]),
        ("\t_, _ = s.audit.Record(ctx, id)\n", [1]),
        ("\tif err := s.audit.Record(ctx, id); err != nil {\n\t\tlog.Println(err)\n\t}\n", [1]),
        ("\terr := s.authz.Check(ctx, id)\n\tif err != nil {\n\t\tlog.Println(err)\n\t}\n", [2]),
        (
            '\tif ok, err := s.authz.Check(ctx, id); err == nil && !ok {\n\t\thttp.Error(w, "no", 403)\n\t\treturn\n\t}\n',
            [1],
        ),
        ("\tgo func() {\n\t\t_ = s.audit.Record(ctx, id)\n\t}()\n", [2]),
        (
            "\tfor _, id := range ids {\n\t\tif err := s.audit.Record(ctx, id); err != nil {\n\t\t\tlog.Println(err)\n\t\t}\n\t}\n",
            [2],
        ),
    ],
    ids=["dropped", "both-dropped", "logged", "check-logged", "clean-no", "goroutine", "loop"],
)
def test_a_control_whose_error_is_passed_over_is_told(body, lines):
    assert found(body) == lines


@pytest.mark.parametrize(
    "body",
    [
        '\tif err := s.authz.Check(ctx, id); err != nil {\n\t\thttp.Error(w, "no", 403)\n\t\treturn\n\t}\n',
        "\tif err := s.audit.Record(ctx, id); err != nil {\n\t\tlog.Fatal(err)\n\t}\n",
        "\tok, err := s.authz.Check(ctx, id)\n\tif err != nil {\n\t\tlog.Println(err)\n\t}\n\tif !ok {\n\t\treturn\n\t}\n",
        "\tvar failed error\n\tif err := s.authz.Check(ctx, id); err != nil {\n\t\tfailed = err\n\t}\n\tif failed != nil {\n\t\treturn\n\t}\n",
        "\tfor _, id := range ids {\n\t\tif err := s.authz.Check(ctx, id); err != nil {\n\t\t\tcontinue\n\t\t}\n\t}\n",
        "\t_ = s.cache.Touch(ctx, id)\n",
        "\t_, err := s.authz.Check(ctx, id)\n\tif err == nil {\n\t\ts.grant(id)\n\t}\n",
    ],
    ids=["refused", "fatal", "false-by-default", "kept", "skipped", "no-control", "only-when-it-passed"],
)
def test_a_control_whose_error_ends_something_or_is_kept_is_quiet(body):
    assert found(body) == []
