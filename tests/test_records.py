"""Our data classes say the same as the standard library's, and cost a commit less."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import pytest

from agentreview.records import dataclass, field, fields, is_dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: int
    y: int = 2
    noted: str = field(default="", compare=False)


@dataclass(slots=True)
class Bag:
    name: str
    items: list[str] = field(default_factory=list)

    def first(self) -> str:
        return self.items[0]


@dataclass(slots=True, eq=False, repr=False)
class Node:
    name: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    major: int
    minor: int = 0


def test_instances_compare_hash_and_show_by_their_fields():
    assert Point(x=1) == Point(x=1, y=2, noted="not compared")
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != (1, 2)
    assert hash(Point(x=1)) == hash(Point(x=1, noted="other"))
    assert repr(Point(x=1)) == "Point(x=1, y=2, noted='')"
    assert sorted([Version(2), Version(1, 5), Version(1)]) == [Version(1), Version(1, 5), Version(2)]


def test_what_is_not_frozen_has_no_hash_and_what_is_not_compared_is_itself():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Bag("a"))
    one, two = Node("a"), Node("a")
    assert one != two
    assert len({one, two}) == 2


def test_a_default_that_is_made_is_made_for_each_instance():
    one, two = Bag("a"), Bag("b", ["c"])
    one.items.append("x")
    assert (Bag("a").items, one.first(), two.first()) == ([], "x", "c")


def test_wrong_arguments_are_refused_at_the_first_instance_and_later():
    for _ in range(2):
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'x'"):
            Point()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            Point(x=1, z=3)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="positional"):
            Point(1)  # type: ignore[misc]


def test_no_other_attribute_can_be_set():
    with pytest.raises(AttributeError):
        Bag("a").other = 1  # type: ignore[attr-defined]


def test_replace_pickle_and_match_work():
    assert replace(Point(x=1, noted="n"), y=5) == Point(x=1, y=5)
    assert replace(Point(x=1, noted="n"), y=5).noted == "n"
    assert pickle.loads(pickle.dumps(Point(x=7, noted="n"))).noted == "n"
    match Version(3, 4):
        case Version(major, minor):
            assert (major, minor) == (3, 4)


def test_the_standard_library_takes_them_for_its_own():
    assert dataclasses.is_dataclass(Point)
    assert is_dataclass(Point)
    assert [one.name for one in dataclasses.fields(Point)] == [one.name for one in fields(Point)] == ["x", "y", "noted"]
    assert dataclasses.asdict(Bag("a", ["b"])) == {"name": "a", "items": ["b"]}
    assert dataclasses.replace(Point(x=1), x=9) == Point(x=9)


def test_what_it_does_not_know_it_refuses():
    class Base:
        pass

    class Below(Base):
        x: int

    with pytest.raises(TypeError, match="no base class"):
        dataclass(slots=True)(Below)
    with pytest.raises(TypeError, match="has slots"):
        dataclass(frozen=True)(Base)


def test_a_review_loads_neither_the_standard_library_s_nor_inspect():
    code = "import sys, agentreview.compute, agentreview.hook, agentreview.review; print({'inspect', 'dataclasses'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
