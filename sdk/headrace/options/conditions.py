"""Conditions of a task in a workflow: what it waits for, what skips it, what cancels it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias

from headrace.core.run.plan import Groups, ParentLeaf
from headrace.errors import DefinitionError, NotSupportedError
from headrace.values.expressions import check

if TYPE_CHECKING:
    from headrace.definitions.task import Task


@dataclass(frozen=True, slots=True)
class ParentCondition:
    """True of a parent's output: `expression` is CEL over `output`; without one it is true once the parent is done.

    A skipped parent has no output, so an expression on it is not true.
    """

    parent: Task[Any, Any]
    expression: str | None = None
    readable_data_key: str | None = None

    @property
    def data_key(self) -> str:
        return self.readable_data_key or f"{self.parent.name}:{self.expression or 'completed'}"


Condition: TypeAlias = ParentCondition


@dataclass(frozen=True, slots=True)
class OrGroup:
    """Any of these."""

    conditions: tuple[Condition, ...]


def or_(*conditions: Condition) -> OrGroup:
    """A group of which one condition is enough. The members of a list must all hold."""
    if not conditions:
        raise DefinitionError("or_() needs at least one condition")
    return OrGroup(conditions)


def _not_yet(name: str) -> NoReturn:
    raise NotSupportedError(f"{name} is not available in this version of Headrace")


class SleepCondition:
    """Not available yet."""

    def __init__(self, *arguments: object, **options: object) -> None:
        _not_yet("SleepCondition")


class UserEventCondition:
    """Not available yet."""

    def __init__(self, *arguments: object, **options: object) -> None:
        _not_yet("UserEventCondition")


class Conditional(Protocol):
    """The options of a task, as far as conditions go."""

    @property
    def wait_for(self) -> Conditions: ...

    @property
    def skip_if(self) -> Conditions: ...

    @property
    def cancel_if(self) -> Conditions: ...


def waits_for_events(options: Conditional) -> bool:
    """Whether any condition of a task is on an event."""
    groups = [
        each for given in (options.wait_for, options.skip_if, options.cancel_if) for each in given or ()
    ]
    leaves = [leaf for each in groups for leaf in (each.conditions if isinstance(each, OrGroup) else (each,))]
    return any(isinstance(leaf, UserEventCondition) for leaf in leaves)


Conditions: TypeAlias = "Sequence[Condition | OrGroup] | None"


def groups_of(conditions: Conditions, owner: str, parents: Sequence[str], numbers: count[int]) -> Groups:
    """The plan's groups: all must hold, each by any of its members. DefinitionError where one is on no parent."""
    groups = [each.conditions if isinstance(each, OrGroup) else (each,) for each in conditions or ()]
    keys = [condition.data_key for group in groups for condition in group]
    if len(set(keys)) != len(keys):
        raise DefinitionError("Conditions must have unique readable data keys.")
    return tuple(tuple(_leaf(each, owner, parents, numbers) for each in group) for group in groups)


def _leaf(condition: Condition, owner: str, parents: Sequence[str], numbers: count[int]) -> ParentLeaf:
    if not isinstance(condition, ParentCondition):
        raise DefinitionError(
            f"{owner}: {condition!r} is no condition: give ParentCondition(...) or or_(...)"
        )
    name = condition.parent.name
    if name not in parents:
        raise DefinitionError(
            f"{owner}: a ParentCondition is on {name}, which is not among its parents {list(parents)}"
        )
    if condition.expression is not None:
        check(condition.expression, f"{owner}: the condition on {name}")
    return ParentLeaf(number=next(numbers), parent=name, expression=condition.expression)
