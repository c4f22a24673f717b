"""The context of a durable task: operations that wait without an invocation, and are remembered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from headrace.context.context import Context
from headrace.core.changes import copied
from headrace.core.durable.log import Entry, EventLeaf, Groups, Kind, SleepLeaf, hash_of
from headrace.core.values import dataclass
from headrace.options.conditions import (
    OrGroup,
    ParentCondition,
    SleepCondition,
    UserEventCondition,
    check_keys,
    within,
)
from headrace.options.durations import Duration, to_timedelta
from headrace.values.codec import codec_of

if TYPE_CHECKING:
    from headrace.core.durable.operations import Operations
    from headrace.core.run.plans.plan import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SleepResult:
    """What a durable sleep gives: how long it was."""

    duration: timedelta


class DurableContext(Context):
    """The context of a durable task.

    The task runs again from its first line at each invocation; what it has waited for is there at once, in the order in which it came.
    So code between two operations runs more than once: do what has an effect in a child run, and make what differs from time
    to time (`now`, random numbers, queries) once, with `aio_now` or `_aio_memo`. An operation used outside of its task, or after
    its end, is a RuntimeError.
    """

    @property
    def invocation_count(self) -> int:
        """How often the task was started: 1, and one for each time that it was resumed. Retries are not counted."""
        return self._row.invocations + 1

    @property
    def wait_index(self) -> int:
        """How many durable operations this invocation has asked for so far."""
        return self._operations().wait_index

    # ---- time

    async def aio_sleep_for(self, duration: Duration, label: str | None = None) -> SleepResult:
        """Sleep for a time, with nothing running. It ends at a time that is fixed when the sleep is first made.

        `label` names it in the task's log. ValueError for a negative duration.
        """
        span = to_timedelta(duration, "aio_sleep_for: duration")
        if span < timedelta(0):
            raise ValueError(f"aio_sleep_for: duration is {span}: give a time that is not negative")
        asked = hash_of("sleep", span.total_seconds())
        await self._wait(
            asked, f"a sleep of {span}", lambda now_ms: ((SleepLeaf(now_ms + _ms(span), "sleep"),),), label
        )
        return SleepResult(span)

    async def aio_sleep_until(self, wake_at: datetime, label: str | None = None) -> SleepResult:
        """Sleep until a time, with nothing running; one that has passed is over at once.

        ValueError for a time without a zone: it would mean something else on another machine.
        """
        if wake_at.tzinfo is None:
            raise ValueError(
                f"aio_sleep_until: {wake_at.isoformat()} has no time zone: give datetime(..., tzinfo=UTC)"
            )
        at_ms = int(wake_at.timestamp() * 1000)
        started_ms = self._operations().now_ms()
        await self._wait(
            hash_of("until", at_ms),
            f"a sleep until {wake_at}",
            lambda now_ms: ((SleepLeaf(at_ms, "sleep"),),),
            label,
        )
        return SleepResult(timedelta(milliseconds=max(0, at_ms - started_ms)))

    async def aio_now(self) -> datetime:
        """The time (UTC) at which the task first came here: the same each time it runs again."""
        operations = self._operations()
        entry = await self._opened(Kind.MEMO, hash_of("now"), "the time", label="now")
        if entry.open:
            return _time(await self._memo(entry, operations.now_ms()))
        return _time(await self._recorded(entry))

    async def _aio_memo(
        self, fn: Callable[..., T | Awaitable[T]], result_validator: Any, *args: Any, **kwargs: Any
    ) -> T:
        """Call `fn` once: each later run of the task gets the value that was made first. `fn` may be sync (run on a thread) or async.

        `result_validator`: the type of the value, which is kept as JSON. A crash between the call and the write calls again.
        """
        import asyncio

        operations = self._operations()
        codec = codec_of(result_validator)
        name = getattr(fn, "__qualname__", repr(fn))
        asked = hash_of("memo", self.task_run_id, _jsonable(args), _jsonable(kwargs) if kwargs else {})
        entry = await self._opened(Kind.MEMO, asked, f"a memo of {name}", label=name)
        if not entry.open:
            found: T = codec.of_value(await self._recorded(entry))
            return found
        value: Any = (
            await fn(*args, **kwargs)
            if asyncio.iscoroutinefunction(fn)
            else await operations.aside(asyncio.to_thread(fn, *args, **kwargs))
        )
        text = codec.text_of(value)
        made: T = codec.of_value(await self._memo(entry, json.loads(text)))
        return made

    # ---- events

    async def aio_wait_for(
        self,
        signal_key: str,
        *conditions: SleepCondition | UserEventCondition | OrGroup,
        label: str | None = None,
    ) -> dict[str, Any]:
        """Wait until all conditions hold; of an `or_` group one is enough. `label` names it in the task's log; default: `signal_key`.

        Gives `{"CREATE": {data key: [payload]}}` for the conditions that held: the key tells which of a group it was. ValueError where
        there is none, or where two have one data key.
        """
        groups = _checked(signal_key, conditions)
        asked = hash_of("wait", signal_key, [[condition.asked for condition in group] for group in groups])
        entry = await self._wait(
            asked,
            f"a wait for {signal_key}",
            lambda now_ms: tuple(
                tuple(condition.leaf(now_ms, self._namespace) for condition in group) for group in groups
            ),
            label or signal_key,
        )
        return {"CREATE": _own(entry.result)}

    async def aio_wait_for_event(
        self,
        key: str,
        expression: str | None = None,
        *,
        payload_validator: Any = None,
        scope: str | None = None,
        lookback_window: timedelta | None = None,
        label: str | None = None,
    ) -> Any:
        """Wait for an event of this key, for which the CEL `expression` over `input` holds; gives its payload.

        `payload_validator`: a type that the payload is made into; where it does not fit, the task fails with pydantic's message.
        `scope`: only events that were pushed with it. `label` names the wait in the task's log; default: the key. `lookback_window`: an event of that scope counts that was pushed so long before.
        ValueError for a look-back without scope; ExpressionError for an expression that does not parse.
        """
        if (lookback_window is None) != (scope is None) and lookback_window is not None:
            raise ValueError("Both `lookback_window` and scope must be provided together")
        condition = UserEventCondition(event_key=key, expression=expression, scope=scope)
        asked = hash_of(
            "event", condition.asked, lookback_window.total_seconds() if lookback_window else None
        )

        def groups(now_ms: int) -> Groups:
            since_ms = now_ms - _ms(lookback_window) if lookback_window is not None else None
            return ((EventLeaf(within(self._namespace, key), "event", scope, expression, since_ms),),)

        entry = await self._wait(asked, f"a wait for event {key}", groups, label or key)
        result = _own(entry.result)
        found = result.get("event") if isinstance(result, dict) else None
        payload = found[0] if isinstance(found, list) and found else {}
        return payload if payload_validator is None else codec_of(payload_validator).of(payload)

    # ---- within

    _durable: Operations | None = None
    """The log of the attempt, as its code asks for it: given by what runs the code."""

    _namespace: str = ""
    """What stands before the keys of events: given by what runs the code."""

    def _operations(self) -> Operations:
        if self._durable is None:
            raise RuntimeError(
                f"a durable operation of task {self.task_name} was used outside of its code: its context belongs to that task"
            )
        return self._durable

    async def _opened(
        self,
        kind: Kind,
        asked: str,
        says: str,
        groups: Callable[[int], Groups] | None = None,
        label: str | None = None,
    ) -> Entry:
        operations = self._operations()
        made = (lambda: self._within_life(groups(operations.now_ms()))) if groups is not None else None
        entry = operations.open(kind, asked, says, groups=made, label=label or "")
        found: Entry = entry if entry is not None else await operations.never()
        return found

    def _within_life(self, groups: Groups) -> Groups:
        """The groups, if all sleeps among them end before the run is deleted; ValueError otherwise."""
        ends_ms = self._work.record.expires_at_s * 1000
        for group in groups:
            for leaf in group:
                if isinstance(leaf, SleepLeaf) and leaf.due_at_ms >= ends_ms:
                    raise ValueError(
                        f"task {self.task_name}: a sleep until {_time(leaf.due_at_ms):%Y-%m-%d} ends after the run is deleted, on "
                        f"{_time(ends_ms):%Y-%m-%d}: raise `retention_days`, or start a run with `run_at` for what comes later"
                    )
        return groups

    async def _wait(self, asked: str, says: str, groups: Callable[[int], Groups], label: str | None) -> Entry:
        entry = await self._opened(Kind.WAIT, asked, says, groups, label)
        return (await self._operations().answers([entry.node]))[0]

    async def _memo(self, entry: Entry, value: Json) -> Json:
        await self._operations().memo(entry, value)
        return _own(value)

    async def _recorded(self, entry: Entry) -> Json:
        return _own((await self._operations().answers([entry.node]))[0].result)


_Waitable: TypeAlias = SleepCondition | UserEventCondition


def _checked(signal_key: str, conditions: Sequence[_Waitable | OrGroup]) -> list[list[_Waitable]]:
    """The groups of conditions that a durable task can wait for. ValueError for what it cannot."""
    if not conditions:
        raise ValueError(f"aio_wait_for({signal_key!r}): give at least one condition")
    groups: list[list[_Waitable]] = []
    for each in conditions:
        members = each.conditions if isinstance(each, OrGroup) else (each,)
        for condition in members:
            if not isinstance(condition, SleepCondition | UserEventCondition):
                raise ValueError(
                    f"aio_wait_for({signal_key!r}): {condition!r} is not a condition of a durable task: give SleepCondition(...), "
                    f"UserEventCondition(...) or or_(...) of them"
                )
        groups.append([condition for condition in members if not isinstance(condition, ParentCondition)])
    check_keys([condition.data_key for group in groups for condition in group])
    return groups


def _own(result: Json) -> Json:
    """A copy for the code: what it does to it is not to be in the log, which is written and read again."""
    return copied(result)  # type: ignore[arg-type,return-value]  # JSON is made of values


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def _time(value: Json) -> datetime:
    return datetime.fromtimestamp(int(str(value)) / 1000, UTC)


def _jsonable(value: Any) -> Json:
    if isinstance(value, tuple) and all(type(each) in _PLAIN for each in value):
        return list(value)
    found: Json = json.loads(json.dumps(value, default=repr))
    return found


_PLAIN = frozenset({str, int, bool, type(None)})
