"""Patterns that wait until they are asked: they do what compiled ones do, and each of them compiles."""

from __future__ import annotations

import importlib
import pkgutil
import re

import agentreview
from agentreview.lazyre import _Lazy, lazy


def test_a_lazy_pattern_does_what_a_compiled_one_does():
    text = "Ward 7, bed 12"
    for pattern, flags in ((r"\d+", 0), (r"(?P<place>WARD)", re.IGNORECASE), (r"^bed", re.MULTILINE)):
        one, other = lazy(pattern, flags), re.compile(pattern, flags)
        assert one.findall(text) == other.findall(text)
        assert bool(one.search(text)) == bool(other.search(text))
        assert one.sub("x", text) == other.sub("x", text)
        assert (one.pattern, one.flags) == (other.pattern, other.flags)


def test_every_pattern_of_the_package_compiles():
    found = 0
    for module in pkgutil.walk_packages(agentreview.__path__, "agentreview."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, _Lazy):
                assert re.compile(value.pattern, value.flags & ~re.UNICODE)
                found += 1
    assert found > 80
