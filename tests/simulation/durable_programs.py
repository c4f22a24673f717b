"""Durable tasks drawn at random: steps of operations that are waited for together, and what must come of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

from headrace.core.durable.log import EventLeaf, Groups, Kind, SleepLeaf, hash_of
from headrace.core.run.plans.plan import Json

SLEEPS_MS = (200, 3_000, 3_000, 60_000, 20 * 60_000, 40 * 60_000)


@dataclass(frozen=True, slots=True)
class Sleep:
    ms: int


@dataclass(frozen=True, slots=True)
class Memo:
    value: int


@dataclass(frozen=True, slots=True)
class Child:
    """One of `of` children that are started by one call, of which this is the first."""

    of: int


@dataclass(frozen=True, slots=True)
class Awaited:
    """An event of this number; `late_ms`: or so much time. `looks_back`: an earlier one counts too. `at_least_ms`: and so much time.

    `like`: an event such as an earlier step waited for, which is to be another one. `once`: it is pushed when the task waits, and not again.
    """

    number: int
    late_ms: int | None = None
    looks_back: bool = False
    at_least_ms: int | None = None
    like: int | None = None
    once: bool = False

    @property
    def name(self) -> int:
        return self.number if self.like is None else self.like


Op: TypeAlias = Sleep | Memo | Child | Awaited
Step: TypeAlias = tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """What a durable task does. Each step's operations are asked for one after the other, then waited for together."""

    steps: tuple[Step, ...]

    @property
    def events(self) -> list[Awaited]:
        return [op for step in self.steps for op in step if isinstance(op, Awaited)]

    @property
    def children(self) -> int:
        return sum(op.of for step in self.steps for op in step if isinstance(op, Child))


def draw_program(random: Random) -> Program:
    numbers = iter(range(100))
    steps = [
        tuple(_draw_op(random, numbers) for _ in range(random.choice((1, 1, 1, 2, 3))))
        for _ in range(random.randrange(1, 6))
    ]
    return Program(tuple(tuple(_related(op, steps[:at]) for op in step) for at, step in enumerate(steps)))


def _related(op: Op, before: list[Step]) -> Op:
    """Some wait for such an event as an earlier step did; some of the others for one that is pushed once."""
    if not isinstance(op, Awaited) or op.looks_back:
        return op
    earlier = [
        each.number
        for step in before
        for each in step
        if isinstance(each, Awaited) and not each.looks_back and each.number % 3 == 0
    ]
    if earlier and op.number % 3 == 2:
        return replace(op, like=earlier[0])
    return replace(op, once=op.number % 3 == 1)


def _draw_op(random: Random, numbers: Iterator[int]) -> Op:
    kind = random.random()
    if kind < 0.3:
        return Sleep(random.choice(SLEEPS_MS))
    if kind < 0.5:
        return Memo(random.randrange(1_000))
    if kind < 0.65:
        return Child(random.choice((1, 1, 2, 3)))
    late_ms = random.choice((None, None, 3_000, 60_000, 20 * 60_000))
    number, looks_back = next(numbers), random.random() < 0.4
    at_least_ms = 3_000 if number % 4 == 3 else None
    return Awaited(number, late_ms, looks_back, at_least_ms)


def key_of(run_id: str, number: int) -> str:
    """The key of an event: no other run waits for it."""
    return f"e{number}-{run_id[:8]}"


def expression_of(awaited: Awaited) -> str:
    return f"input['n'] == {awaited.name}"


def kind_of(op: Op) -> Kind:
    match op:
        case Sleep() | Awaited():
            return Kind.WAIT
        case Memo():
            return Kind.MEMO
        case Child():
            return Kind.RUN


def asked_by(op: Op) -> str:
    """What the log compares at replay."""
    match op:
        case Sleep(ms):
            return hash_of("sleep", ms)
        case Memo(value):
            return hash_of("memo", value)
        case Child(of):
            return hash_of("child", of)
        case Awaited(number=number, late_ms=late_ms, looks_back=looks_back, at_least_ms=at_least_ms):
            return hash_of("event", number, late_ms, looks_back, at_least_ms)


def groups_of(op: Op, run_id: str, created_at_ms: int, now_ms: int) -> Groups:
    match op:
        case Sleep(ms):
            return ((SleepLeaf(now_ms + ms, "sleep"),),)
        case Awaited(late_ms=late_ms, looks_back=looks_back, at_least_ms=at_least_ms):
            since_ms = created_at_ms - 60_000 if looks_back else None
            event = EventLeaf(key_of(run_id, op.name), "event", run_id, expression_of(op), since_ms)
            late = (SleepLeaf(now_ms + late_ms, "late"),) if late_ms is not None else ()
            then = ((SleepLeaf(now_ms + at_least_ms, "at least"),),) if at_least_ms is not None else ()
            return ((event, *late), *then)
        case _:
            return ()


def is_right(op: Op, result: Json, now_ms: int) -> bool:
    """Whether an answer is one that the operation may have, by now."""
    if isinstance(result, dict) and any(_due_ms(each) > now_ms for each in result.values()):
        return False
    match op:
        case Sleep():
            return isinstance(result, dict) and list(result) == ["sleep"]
        case Memo(value):
            return result == value
        case Child():
            return result is None
        case Awaited(late_ms=late_ms, at_least_ms=at_least_ms):
            if not isinstance(result, dict) or not result:
                return False
            if at_least_ms is not None and "at least" not in result:
                return False
            late = late_ms is not None and "late" in result
            return late or brought_by(result).get("n") == op.name


def brought_by(result: Json) -> dict[str, Json]:
    """The payload of the event that an answer came by; empty where time brought it."""
    found = result.get("event") if isinstance(result, dict) else None
    first = found[0] if isinstance(found, list) and found else None
    return first if isinstance(first, dict) else {}


def _due_ms(brought: Json) -> int:
    """When the sleep was over that brought this; 0 where none did."""
    first = brought[0] if isinstance(brought, list) and brought else None
    due_ms = first.get("due_at_ms") if isinstance(first, dict) else None
    return due_ms if isinstance(due_ms, int) else 0
