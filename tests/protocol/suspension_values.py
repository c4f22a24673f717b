"""What a durable task's world is made of: runs with their logs, subscriptions, messages, and who is at work."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, TypeVar

from protocol.model import QUEUED, READY, Label

SUSPENDED = "SUSPENDED"
SLEEP, EVENT, BACK = "sleep", "event", "back"
"""What an operation waits for. BACK: an event, also one that came before."""

Op: TypeAlias = tuple[str, ...]
"""Any of these."""

Program: TypeAlias = tuple[tuple[Op, ...], ...]
"""Steps, one after the other; the operations of a step together."""

SLEEPS = 1
VISIBLE_AFTER = 3
"""Also the longest that a handler of the event lives: its function is ended then."""

APART = 1
"""Clocks differ by no more."""

WORKERS = 3
TICKETS = 9
EVENTS_TO = -1
NONE = -1


class Entry(NamedTuple):
    """An operation in the log. `order`: its place among the answers; 0 while it is open. `brought`: by what it was answered."""

    due: int
    order: int = 0
    brought: str = ""


Log: TypeAlias = tuple[Entry, ...]


class Run(NamedTuple):
    """`due`: of a suspended one, when time alone gives an answer."""

    status: str = QUEUED
    ticket: int = 1
    log: Log = ()
    due: int = NONE


class Sub(NamedTuple):
    """A subscription. `by`: when the event was pushed that has satisfied it. `armed`: when it was put, by the clock of who did. `had`: the
    task has had the event already."""

    run: int
    node: int
    by: int = NONE
    armed: int = 0
    had: bool = False


class Message(NamedTuple):
    """`to`: a run, or the events' handler; `number`: the ticket, or when the event was pushed."""

    to: int
    number: int
    due: int = 0
    where: str = READY


class Worker(NamedTuple):
    """A delivery, or who cancels (`step` is `end`). `log`: what it holds of it; `todo`: nodes, or (run, node) after each other. `ticket`:
    of whom it wakes. `again`: it handles an event that another delivery has stored."""

    message: Message
    step: str
    skew: int = 0
    leased: bool = True
    owns: bool = False
    log: Log = ()
    todo: tuple[int, ...] = ()
    ticket: int = NONE
    again: bool = False


class World(NamedTuple):
    """`seen`: what code saw, (node, brought); `owed`: subscriptions that waited already when the event was pushed. `stored`: when the stored
    event was pushed, `came`: when it was first handled."""

    runs: tuple[Run, ...]
    workers: tuple[Worker, ...]
    subs: tuple[Sub, ...]
    seen: tuple[tuple[tuple[int, str], ...], ...]
    owed: tuple[tuple[int, int], ...]
    pushed: bool
    stored: int
    came: int
    time: int
    early: int
    skews: int
    budget: tuple[int, ...]


WaitState: TypeAlias = tuple[World, tuple[Message, ...]]
Move: TypeAlias = tuple[Label, WaitState]
CRASH, DUP, ZOMBIE, FAIL, CANCEL = range(5)


# ---------------------------------------------------------------- values


def answered(log: Log, found: list[tuple[int, str]]) -> Log:
    order = max((entry.order for entry in log), default=0)
    for node, brought in found:
        order += 1
        log = replaced(log, node, log[node]._replace(order=order, brought=brought))
    return log


def nodes_of(found: list[tuple[int, str]]) -> tuple[int, ...]:
    return tuple(node for node, _ in found)


def given(subs: tuple[Sub, ...], place: tuple[int, int], at: int) -> tuple[Sub, ...]:
    """The subscription holds the event, if it is there and holds none."""
    return tuple(sub._replace(by=at) if sub[:3] == (*place, NONE) else sub for sub in subs)


T = TypeVar("T")
Of = TypeVar("Of", Message, Worker, Sub)


def replaced(values: tuple[T, ...], at: int, value: T) -> tuple[T, ...]:
    return (*values[:at], value, *values[at + 1 :])


def put(values: tuple[Of, ...], value: Of) -> tuple[Of, ...]:
    return tuple(sorted((*values, value)))


def without(values: tuple[Of, ...], value: Of) -> tuple[Of, ...]:
    if value not in values:
        return values
    at = values.index(value)
    return (*values[:at], *values[at + 1 :])


def swapped(world: World, old: Worker, new: Worker) -> World:
    mine = old if old in world.workers else old._replace(owns=False)  # a claim takes the record from everyone
    return world._replace(workers=put(without(world.workers, mine), new))


def with_run(world: World, number: int, run: Run) -> World:
    return world._replace(runs=replaced(world.runs, number, run))


def disowned(world: World, number: int) -> World:
    workers = (each._replace(owns=False) if each.message.to == number else each for each in world.workers)
    return world._replace(workers=tuple(sorted(workers)))


def spent(world: World, kind: int) -> tuple[int, ...]:
    return replaced(world.budget, kind, world.budget[kind] - 1)


def again(msgs: tuple[Message, ...], message: Message, due: int) -> tuple[Message, ...]:
    """The message in flight becomes visible again, at `due`."""
    if message not in msgs:
        return msgs
    return put(without(msgs, message), message._replace(where=READY, due=due))
