"""`dataclass` as the standard library has it, made in a third of the time: a cold start makes some 180 of them.

The standard library compiles six methods for each class. Here a frozen class shares those that need no compiling, and its `__init__` is
compiled when the first value of it is made: most classes of a process never have one. What is not frozen, ordered or derived from another
dataclass is left to the standard library, so fields, `replace`, `match` and copies are what they always are.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, **options):
        """See the standard library's."""

        def made(cls):
            if not _is_simple(cls, options):
                return dataclasses.dataclass(cls, **options)
            return _frozen(cls, options)

        return made if cls is None else made(cls)


SIMPLE = frozenset({"frozen", "slots", "kw_only"})


def _is_simple(cls: type, options: dict[str, Any]) -> bool:
    derived = any(dataclasses.is_dataclass(base) for base in cls.__mro__[1:])
    return options.get("frozen", False) and options.keys() <= SIMPLE and not derived


def _frozen(cls: type, options: dict[str, Any]) -> type:
    """The fields, slots and `match` of the class are the standard library's work; the methods are ours."""
    own = {
        name for name, value in vars(cls).items() if value is not None
    }  # `__hash__` is None beside an `__eq__`
    plain: Any = dataclasses.dataclass(init=False, repr=False, eq=False, **{**options, "frozen": False})(cls)
    fields = dataclasses.fields(plain)
    names = tuple(each.name for each in fields)
    plain.__dataclass_params__ = _params(plain.__dataclass_params__)
    methods: dict[str, Callable[..., Any]] = {
        "__init__": _first_init(plain),
        "__repr__": _repr(tuple(each.name for each in fields if each.repr)),
        **_comparing(tuple(each.name for each in fields if each.compare)),
    }
    if options.get("slots"):
        methods |= {"__getstate__": _getstate(names), "__setstate__": _setstate(names)}
    for name, method in methods.items():
        if name not in own:
            setattr(plain, name, method)
    plain.__setattr__, plain.__delattr__ = _refusing(plain, frozenset(names))
    made: type = plain
    return made


def _params(params: Any) -> Any:
    """As they were asked for: a class that is derived from it is refused with the reason that this one is frozen."""
    params.init = params.repr = params.eq = params.frozen = True
    return params


def replace(value: T, /, **changes: Any) -> T:
    """As `dataclasses.replace`, in a tenth of its time for a frozen class of slots that checks nothing when it is made."""
    cls = type(value)
    copier = _copiers.get(cls) or _copier(cls)
    if copier is None or not changes.keys() <= copier.names:
        return dataclasses.replace(value, **changes)  # type: ignore[type-var]  # and says what is wrong
    made: T = copier.copy(value)
    for name in changes:
        setattr(made, name, changes[name])
    made.__class__ = cls
    return made


class _Copier:
    """`names`: the fields that a new value takes over. `copy`: a value of the same fields, of a class that refuses no assignment; what is
    no argument of `__init__` is made anew. It is compiled for the class: field after field by name takes four times as long."""

    __slots__ = ("copy", "names")

    def __init__(self, cls: Any, twin: type) -> None:
        fields = dataclasses.fields(cls)
        self.names = frozenset(each.name for each in fields if each.init)
        scope: dict[str, Any] = {"_new": object.__new__, "_twin": twin}
        body = ["made = _new(_twin)"]
        for at, each in enumerate(fields):
            scope[f"_d{at}"] = each.default_factory
            body.append(f"made.{each.name} = {f'value.{each.name}' if each.init else f'_d{at}()'}")
        exec("def copy(value):\n " + "\n ".join([*body, "return made"]), scope)  # as `dataclasses` does
        self.copy: Callable[[Any], Any] = scope["copy"]


FEW = 4
"""Of a class of which so few other values are made none is compiled: that takes as long as thirty of them, and a cold start makes few."""

_copiers: dict[type, _Copier | None] = {}
_made: Counter[type] = Counter()


def _copier(cls: Any) -> _Copier | None:
    """None for a class that the standard library makes, or one that checks or derives something when it is made; and until it is worth one."""
    if cls in _copiers:
        return None
    _made[cls] += 1
    if _made[cls] <= FEW:
        return None
    _copiers[cls] = found = _found_copier(cls)
    return found


def _found_copier(cls: Any) -> _Copier | None:
    derived = [each for each in dataclasses.fields(cls) if not each.init]
    if not cls.__dataclass_params__.frozen or hasattr(cls, "__post_init__"):
        return None
    if any(each.default_factory is dataclasses.MISSING for each in derived):
        return None
    twin = _twin(cls)
    return None if twin is None else _Copier(cls, twin)


# ---------------------------------------------------------------- __init__


def _first_init(cls: Any) -> Callable[..., None]:
    def __init__(self: Any, /, *given: Any, **named: Any) -> None:
        cls.__init__ = init = _init(cls)
        init(self, *given, **named)

    return __init__


def _init(cls: Any) -> Callable[..., None]:
    """The `__init__` that the standard library would have compiled."""
    scope: dict[str, Any] = {"_set": object.__setattr__, "_missing": dataclasses.MISSING}
    given: list[str] = []
    named: list[str] = []
    values: dict[str, str] = {}
    for at, each in enumerate(dataclasses.fields(cls)):
        has_factory = each.default_factory is not dataclasses.MISSING
        has_default = has_factory or each.default is not dataclasses.MISSING
        scope[f"_d{at}"] = each.default_factory if has_factory else each.default
        value = each.name
        if not each.init:
            if not has_default:
                continue
            value = f"_d{at}()" if has_factory else f"_d{at}"
        elif has_factory:
            value = f"_d{at}() if {each.name} is _missing else {each.name}"
        if each.init:
            default = f"={'_missing' if has_factory else f'_d{at}'}" if has_default else ""
            (named if each.kw_only else given).append(f"{each.name}{default}")
        values[each.name] = value
    twin = _twin(cls) if len(values) >= MANY_FIELDS else None
    if twin is None:
        slots = {name: vars(cls)[name].__set__ for name in values if name in vars(cls).get("__slots__", ())}
        scope |= {f"_set_{name}": slot for name, slot in slots.items()}
        body = [
            f"_set_{name}(self, {value})" if name in slots else f"_set(self, {name!r}, {value})"
            for name, value in values.items()
        ]
    else:
        scope |= {"_cls": cls, "_twin": twin, "_set_all": _set_all}
        stored = ", ".join(f"{name!r}: {value}" for name, value in values.items())
        body = [
            f"if self.__class__ is not _cls: _set_all(self, {{{stored}}})",
            "else:",
            "  _set(self, '__class__', _twin)",
            *(f"  self.{name} = {value}" for name, value in values.items()),
            "  self.__class__ = _cls",
        ]
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    arguments = ", ".join(["self", *given, *(["*"] if named else []), *named])
    exec(f"def __init__({arguments}):\n " + "\n ".join(body or ["pass"]), scope)  # as `dataclasses` does
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__, init.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return init


MANY_FIELDS = 5
"""From so many fields on it pays to make a value as one of its twin."""


@cache
def _twin(cls: Any) -> type | None:
    """A class of the same slots that refuses no assignment. A value that is of it while its fields are set is made in a quarter of the
    time: `object.__setattr__`, the other way past a frozen class, looks every name up. None where that cannot be."""
    names = cls.__dict__.get("__slots__")
    if not names or cls.__bases__ != (object,):
        return None
    return type(cls.__name__, (), {"__slots__": names})


def _set_all(value: Any, fields: dict[str, Any]) -> None:
    """Of a value of a class that is derived from the frozen one."""
    for name, each in fields.items():
        object.__setattr__(value, name, each)


# ---------------------------------------------------------------- the others


def _repr(names: tuple[str, ...]) -> Callable[[Any], str]:
    @recursive_repr()
    def __repr__(self: Any) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({inner})"

    return __repr__


def _comparing(names: tuple[str, ...]) -> dict[str, Callable[..., Any]]:
    values: Callable[[Any], Any] = attrgetter(*names) if names else lambda _: ()

    def __eq__(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


def _refusing(cls: Any, names: frozenset[str]) -> tuple[Callable[..., None], Callable[..., None]]:
    def __setattr__(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return __setattr__, __delattr__


def _getstate(names: tuple[str, ...]) -> Callable[[Any], list[Any]]:
    def __getstate__(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    return __getstate__


def _setstate(names: tuple[str, ...]) -> Callable[[Any, list[Any]], None]:
    def __setstate__(self: Any, state: list[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return __setstate__
