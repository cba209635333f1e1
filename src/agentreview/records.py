"""``dataclass`` and what goes with it, as :mod:`dataclasses` has them, made in a tenth of the time.

The standard library generates and compiles five functions a class, and loads ``inspect`` to do so. For the seventy classes
of a review that was half of what a commit waited for before the first file was read. Here a class gets its slots at once and
its ``__init__`` when the first instance is made; comparing and hashing are shared functions.

What is frozen is so for the type checker, which sees the standard library's: at run time nothing is paid for it, and an
instance is made in a fifth of the time. Only what this project uses is there: no inheritance, always slots.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ("dataclass", "field", "fields", "is_dataclass", "replace")

_MISSING: Any = object()


class _Spec:
    """One field: what ``fields`` returns."""

    __slots__ = ("compare", "default", "default_factory", "name", "type")

    def __init__(self, default: Any, default_factory: Any = _MISSING, *, compare: bool = True) -> None:
        self.default, self.default_factory, self.compare = default, default_factory, compare
        self.name, self.type = "", ""


def _field(*, default: Any = _MISSING, default_factory: Any = _MISSING, compare: bool = True) -> Any:
    return _Spec(default, default_factory, compare=compare)


_OPTIONS = {"frozen": False, "slots": False, "kw_only": False, "eq": True, "repr": True, "order": False}


def _dataclass(**options: bool) -> Callable[[type], type]:
    if not options.get("slots") or options.keys() - _OPTIONS.keys():
        raise TypeError(f"a record has slots, and of the options only {', '.join(_OPTIONS)}")
    return lambda cls: _made(cls, {**_OPTIONS, **options})


def _made(cls: type, options: dict[str, bool]) -> type:
    """Return the class again, with slots for its fields and what a data class can do."""
    if cls.__bases__ != (object,):
        raise TypeError(f"{cls.__qualname__}: a record has no base class")
    space = dict(cls.__dict__)
    specs: dict[str, _Spec] = {}
    for name, kind in cls.__annotations__.items():
        if "ClassVar" in str(kind):
            raise TypeError(f"{cls.__qualname__}.{name}: a record has no class variables")
        given = space.pop(name, _MISSING)
        specs[name] = spec = given if isinstance(given, _Spec) else _Spec(given)
        spec.name, spec.type = name, kind
    for name in ("__dict__", "__weakref__"):
        space.pop(name, None)
    names = tuple(specs)
    space["__slots__"] = names
    space["__match_args__"] = () if options["kw_only"] else names
    space["__record_fields__"] = tuple(specs.values())
    space["__dataclass_fields__"] = _Fields(cls.__name__, options)
    if options["eq"]:
        key = _key(tuple(name for name, spec in specs.items() if spec.compare))
        space["__eq__"] = _comparing(key, "__eq__")
        space["__hash__"] = (lambda self: hash(key(self))) if options["frozen"] else None
        if options["order"]:
            space.update((name, _comparing(key, name)) for name in ("__lt__", "__le__", "__gt__", "__ge__"))
    if options["repr"]:
        space.setdefault("__repr__", _shown)
    made = type(cls)(cls.__name__, (), space)
    made.__qualname__ = cls.__qualname__

    def first(self: object, *args: Any, **named: Any) -> None:
        init = _init(made, specs, keywords=options["kw_only"])
        made.__init__ = init  # type: ignore[misc]
        init(self, *args, **named)

    made.__init__ = first  # type: ignore[misc]
    return made


def _init(cls: type, specs: dict[str, _Spec], *, keywords: bool) -> Callable[..., None]:
    """Compile ``__init__``. Names of fields are identifiers of our own sources."""
    known: dict[str, Any] = {"_missing": _MISSING}
    takes, sets = ["self"], []
    if keywords and specs:
        takes.append("*")
    for name, spec in specs.items():
        value = name
        if spec.default_factory is not _MISSING:
            known[f"_make_{name}"] = spec.default_factory
            takes.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        elif spec.default is not _MISSING:
            known[f"_default_{name}"] = spec.default
            takes.append(f"{name}=_default_{name}")
        else:
            takes.append(name)
        sets.append(f" self.{name} = {value}")
    after = [" self.__post_init__()"] if hasattr(cls, "__post_init__") else []
    text = "\n".join((f"def __init__({', '.join(takes)}):", *(sets or [" pass"]), *after))
    exec(text, known)  # noqa: S102 - as the standard library does
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _key(names: tuple[str, ...]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _comparing(key: Callable[[Any], Any], name: str) -> Callable[[Any, Any], Any]:
    def compared(self: object, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        one, two = key(self), key(other)
        if name == "__eq__":
            return one == two
        return getattr(one, name)(two)

    return compared


def _shown(self: object) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__slots__)  # type: ignore[attr-defined]
    return f"{type(self).__qualname__}({values})"


class _Fields:
    """``__dataclass_fields__``, made when somebody asks: ``asdict`` and its like work, and a review never pays for it."""

    def __init__(self, name: str, options: dict[str, bool]) -> None:
        self.about = (name, options)

    def __get__(self, instance: object, owner: Any) -> dict[str, Any]:
        from dataclasses import field, make_dataclass

        name, options = self.about
        rows = []
        for spec in owner.__record_fields__:
            given = {"default": spec.default, "default_factory": spec.default_factory}
            given = {word: value for word, value in given.items() if value is not _MISSING}
            rows.append((spec.name, spec.type, field(**given, compare=spec.compare)))
        twin = make_dataclass(name, rows, frozen=options["frozen"], kw_only=options["kw_only"])
        found: dict[str, Any] = twin.__dict__["__dataclass_fields__"]
        owner.__dataclass_fields__ = found
        return found


def _fields(of: Any) -> tuple[_Spec, ...]:
    found: tuple[_Spec, ...] = of.__record_fields__
    return found


def _is_dataclass(of: Any) -> bool:
    return hasattr(of, "__record_fields__")


def _replace(instance: Any, /, **changes: Any) -> Any:
    for name in type(instance).__slots__:
        if name not in changes:
            changes[name] = getattr(instance, name)
    return type(instance)(**changes)


if TYPE_CHECKING:
    from dataclasses import dataclass, field, fields, is_dataclass, replace
else:
    dataclass, field, fields, is_dataclass, replace = _dataclass, _field, _fields, _is_dataclass, _replace
