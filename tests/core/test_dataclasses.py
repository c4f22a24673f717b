"""A class made by `core.values.dataclass` is what the standard library makes of it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import field, replace
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from headrace.core import values
from headrace.core.run.record import Payload
from headrace.core.values import dataclass

T = TypeVar("T")


def plain(made_by: Callable[..., Any], **options: bool) -> Any:
    @made_by(frozen=True, **options)
    class Plain(Generic[T]):
        """Something."""

        one: int
        two: list[int] = field(default_factory=list)
        three: str = field(default="c", kw_only=True, repr=False)
        four: int = field(default=4, compare=False)
        five: dict[str, int] = field(default_factory=dict, init=False, compare=False)
        size: ClassVar[int] = 7

        @property
        def double(self) -> int:
            return self.one * 2

    return Plain


def bare(made_by: Callable[..., Any], **options: bool) -> Any:
    @made_by(frozen=True, **options)
    class Bare:
        one: int
        two: list[int] = field(default_factory=list)
        three: str = "c"
        five: dict[str, int] = field(default_factory=dict, init=False)

    return Bare


def large(made_by: Callable[..., Any], **options: bool) -> Any:
    @made_by(frozen=True, **options)
    class Large:
        one: int
        two: list[int] = field(default_factory=list)
        three: int = field(default=3, init=False)
        four: int = field(default=4, compare=False)
        five: int = 5
        six: int = 6
        seven: int = 7
        eight: dict[str, int] = field(default_factory=dict, init=False)

        def __post_init__(self) -> None:
            if self.one > 2:
                raise ValueError(f"{self!r} is of {type(self).__qualname__}")

    return Large


def checked(made_by: Callable[..., Any], **options: bool) -> Any:
    @made_by(frozen=True, **options)
    class Checked:
        one: int
        two: int = field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "two", self.one + 1)

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "mine"

    return Checked


def outcome(call: Callable[[], Any]) -> tuple[str, str]:
    """What a call gives, or raises, as text: the same of two classes of one name."""
    try:
        return "gives", repr(call())
    except (TypeError, ValueError, AttributeError) as error:
        return type(error).__name__, str(error)


OPTIONS = [{}, {"slots": True}, {"kw_only": True}, {"slots": True, "kw_only": True}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("make", [plain, large, checked])
def test_ours_and_the_standard_librarys_do_the_same(
    make: Callable[..., Any], options: dict[str, bool]
) -> None:
    def seen(cls: Any) -> list[tuple[str, str]]:
        value = outcome(lambda: cls(one=1))
        calls: list[Callable[[], Any]] = [
            lambda: cls(1),
            lambda: cls(1, [2], 5),
            lambda: cls(),
            lambda: cls(one=1, three="d"),
            lambda: cls(one=1, nine=9),
            lambda: cls(one=1) == cls(one=1),
            lambda: cls(one=1) == cls(one=2),
            lambda: cls(one=1, four=5) == cls(one=1),
            lambda: cls(one=1) == 1,
            lambda: hash(cls(one=1)),
            lambda: hash(cls(one=1)) == hash(cls(one=1)),
            lambda: setattr(cls(one=1), "one", 2),
            lambda: delattr(cls(one=1), "one"),
            lambda: replace(cls(one=1), one=3),
            lambda: replace(cls(one=1), five={}),
            lambda: copy.deepcopy(cls(one=1)),
            lambda: dataclasses.asdict(cls(one=1)),
            lambda: [(each.name, each.init, each.kw_only) for each in dataclasses.fields(cls)],
            lambda: (
                cls.__match_args__,
                cls.__doc__.split("(")[0],
                cls.__qualname__,
                getattr(cls, "size", 0),
            ),
            lambda: (hasattr(cls(one=1), "__dict__"), cls.__dataclass_params__),
            lambda: cls(one=1).two is cls(one=1).two,
        ]
        return [value, *map(outcome, calls)]

    assert seen(make(dataclass, **options)) == seen(make(dataclasses.dataclass, **options))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("make", [plain, bare, checked])
@pytest.mark.parametrize("made_by", [dataclass, dataclasses.dataclass], ids=["ours", "theirs"])
def test_another_value_of_the_same_fields_is_what_the_standard_library_makes(
    make: Callable[..., Any], options: dict[str, bool], made_by: Any
) -> None:
    def seen(replaces: Callable[..., Any]) -> list[tuple[str, str]]:
        value = make(made_by, **options)(one=1)
        changes = ({}, {"one": 3}, {"one": 3, "three": "d"}, {"five": {}}, {"two": 2}, {"nine": 9})
        made = [replaces(value) for _ in range(9)][
            -1
        ]  # after the first few by what was compiled for the class
        return [
            *(outcome(lambda each=each: replaces(value, **each)) for each in changes),  # type: ignore[misc]  # now
            outcome(lambda: (made is value, type(made) is type(value), made == value)),
            outcome(lambda: getattr(made, "five", 0) is getattr(value, "five", 0)),
            outcome(lambda: made.two is value.two),
        ]

    assert seen(values.replace) == seen(replace)


def test_a_value_survives_pickling_and_knows_its_arguments_once_it_was_made() -> None:
    value = Payload.inline("{}")
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  # our own
    assert list(inspect.signature(Payload).parameters) == ["place", "text", "packed"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_value_of_a_derived_class_stays_one(options: dict[str, bool]) -> None:
    class Derived(large(dataclass, **options)):  # type: ignore[misc]  # a class made here
        nine = 9

    value = Derived(one=1)
    assert (type(value), value.one, value.two, value.three, value.nine) == (Derived, 1, [], 3, 9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.one = 2


def test_what_is_not_frozen_or_is_ordered_or_derived_is_the_standard_librarys() -> None:
    @dataclass(slots=True)
    class Open:
        one: int

    @dataclass(frozen=True, order=True)
    class Ordered:
        one: int

    @dataclass(frozen=True)
    class Base:
        one: int

    @dataclass(frozen=True)
    class Derived(Base):
        two: int

    opened = Open(1)
    opened.one = 2
    assert opened == Open(2)
    assert Ordered(1) < Ordered(2)
    assert Derived(1, 2) == Derived(one=1, two=2)
    assert Derived(1, 2) != Base(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Derived(1, 2).one = 3  # type: ignore[misc]
