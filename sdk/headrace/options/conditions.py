"""Conditions of a task in a workflow: what it waits for, what skips it, what cancels it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, assert_never

from headrace.core.durable.log import EventLeaf, SleepLeaf
from headrace.core.run.plans.plan import Groups, Json, Leaf, ParentLeaf, PlannedEvent, PlannedSleep
from headrace.core.values import dataclass
from headrace.errors import DefinitionError
from headrace.options.durations import Duration, expression_of, to_timedelta
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


@dataclass(frozen=True, slots=True)
class SleepCondition:
    """True once `duration` has passed: in a durable task since the wait was first made, in a workflow since all parents are done."""

    duration: Duration
    readable_data_key: str | None = None

    @property
    def span(self) -> timedelta:
        return to_timedelta(self.duration, "SleepCondition: duration")

    @property
    def data_key(self) -> str:
        return self.readable_data_key or f"sleep:{expression_of(self.span)}"

    @property
    def asked(self) -> Json:
        """What a durable log compares at replay."""
        return ["sleep", self.span.total_seconds(), self.data_key]

    def leaf(self, now_ms: int, namespace: str = "") -> SleepLeaf:
        """The condition as a leaf of a durable wait that is made now."""
        return SleepLeaf(now_ms + int(self.span.total_seconds() * 1000), self.data_key)


@dataclass(frozen=True, slots=True)
class UserEventCondition:
    """True once an event of `event_key` is pushed for which the CEL `expression` over `input`, its payload, holds.

    `scope`: only events pushed with it count. `consider_events_since`: events of that scope from then on count too. ValueError for a
    look-back without scope; ExpressionError for an expression that does not parse.
    """

    event_key: str
    expression: str | None = None
    readable_data_key: str | None = None
    scope: str | None = None
    consider_events_since: datetime | None = None

    def __post_init__(self) -> None:
        if self.expression is not None:
            check(self.expression, f"the condition on event {self.event_key!r}")
        if self.consider_events_since is not None and self.scope is None:
            raise ValueError("Both `consider_events_since` and scope must be provided together")

    @property
    def data_key(self) -> str:
        return self.readable_data_key or self.event_key

    @property
    def asked(self) -> Json:
        """What a durable log compares at replay."""
        return ["event", self.event_key, self.expression, self.scope, self.data_key]

    def leaf(self, now_ms: int, namespace: str = "") -> EventLeaf:
        """The condition as a leaf of a durable wait that is made now. `namespace`: what stands before the keys of events."""
        key = within(namespace, self.event_key)
        return EventLeaf(key, self.data_key, self.scope, self.expression, self.since_ms)

    @property
    def since_ms(self) -> int | None:
        """Since when earlier events count; a time without a zone is UTC."""
        since = self.consider_events_since
        if since is None:
            return None
        return int((since if since.tzinfo is not None else since.replace(tzinfo=UTC)).timestamp() * 1000)


Condition: TypeAlias = ParentCondition | SleepCondition | UserEventCondition


@dataclass(frozen=True, slots=True)
class OrGroup:
    """Any of these."""

    conditions: tuple[Condition, ...]


def or_(*conditions: Condition) -> OrGroup:
    """A group of which one condition is enough. The members of a list must all hold."""
    if not conditions:
        raise DefinitionError("or_() needs at least one condition")
    return OrGroup(conditions)


def check_keys(keys: Sequence[str]) -> None:
    """DefinitionError where two conditions would bring their data under one key."""
    if len(set(keys)) != len(keys):
        raise DefinitionError("Conditions must have unique readable data keys.")


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


def groups_of(
    conditions: Conditions,
    owner: str,
    parents: Sequence[str],
    numbers: count[int],
    namespace: str = "",
) -> Groups:
    """The plan's groups: all must hold, each by any of its members. `namespace`: what stands before the keys of its events.

    DefinitionError where one is on no parent, or is not a condition.
    """
    groups = [each.conditions if isinstance(each, OrGroup) else (each,) for each in conditions or ()]
    for group in groups:
        for condition in group:
            _check(condition, owner)
    check_keys([condition.data_key for group in groups for condition in group])
    return tuple(tuple(_leaf(each, owner, parents, numbers, namespace) for each in group) for group in groups)


def _check(condition: object, owner: str) -> None:
    if not isinstance(condition, ParentCondition | SleepCondition | UserEventCondition):
        raise DefinitionError(
            f"{owner}: {condition!r} is not a condition: give ParentCondition(...), SleepCondition(...), UserEventCondition(...) "
            f"or or_(...)"
        )


def _leaf(
    condition: Condition,
    owner: str,
    parents: Sequence[str],
    numbers: count[int],
    namespace: str = "",
) -> Leaf:
    match condition:
        case ParentCondition():
            return _parent_leaf(condition, owner, parents, next(numbers))
        case SleepCondition():
            duration_ms = round(condition.span.total_seconds() * 1000)
            return PlannedSleep(number=next(numbers), key=condition.data_key, duration_ms=duration_ms)
        case UserEventCondition():
            return PlannedEvent(
                number=next(numbers),
                key=condition.data_key,
                event_key=within(namespace, condition.event_key),
                expression=condition.expression,
                scope=condition.scope,
                since_ms=condition.since_ms,
            )
        case _:
            assert_never(condition)


def within(namespace: str, event_key: str) -> str:
    """The key of an event with the namespace in front, unless it is there already: as a push has it."""
    return event_key if event_key.startswith(namespace) else namespace + event_key


def _parent_leaf(condition: ParentCondition, owner: str, parents: Sequence[str], number: int) -> ParentLeaf:
    name = condition.parent.name
    if name not in parents:
        raise DefinitionError(
            f"{owner}: a ParentCondition is on {name}, which is not among its parents {list(parents)}"
        )
    if condition.expression is not None:
        check(condition.expression, f"{owner}: the condition on {name}")
    return ParentLeaf(number=number, parent=name, expression=condition.expression)
