"""A state of the world: the table, the messages, the processes that are alive, and what may still go wrong."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from exploration.histories import Node
from exploration.requests import Runs
from exploration.rows import Table
from headrace.core.changes import Key
from headrace.core.run.message import RefillMessage, TaskMessage, decode_message


class Message(NamedTuple):
    """In a queue, to be had from `due_ms` on; `flight`: it was received."""

    number: int
    queue: str
    body: str
    due_ms: int
    flight: bool = False


class Process(NamedTuple):
    """Alive at a node of its histories, on account of a message (0: none, or another has it by now)."""

    node: Node
    message: int = 0
    frozen: bool = False

    @property
    def user_code(self) -> Runs | None:
        return self.node.request if isinstance(self.node.request, Runs) else None


class State(NamedTuple):
    table: Table
    messages: tuple[Message, ...]
    processes: tuple[Process, ...]
    budget: tuple[int, ...]
    now_ms: int
    early: int
    ticks: int = 0
    taken: tuple[tuple[str, int, int], ...] = ()
    """Units taken of the window that a limit is at: limit, window, units."""
    saw: tuple[tuple[str, tuple[tuple[int, str], ...]], ...] = ()
    """What code has seen of its durable operations, by run."""
    told: frozenset[Key] = frozenset()
    """The subscriptions that an event was written into."""
    wrong: str = ""
    """What the step to this state broke."""

    def mark(self) -> int:
        """Equal for states that cannot be told apart: the numbers of messages say nothing."""
        ours: dict[int, list[tuple[int, bool]]] = {}
        for node, message, frozen in self.processes:
            ours.setdefault(message, []).append((node.number, frozen))
        messages = sorted(
            (m.queue, m.body, max(0, m.due_ms - self.now_ms), m.flight, tuple(sorted(ours.pop(m.number, ()))))
            for m in self.messages
        )
        left = sorted(each for several in ours.values() for each in several)
        return hash(
            (
                self.table.mark,
                tuple(messages),
                tuple(left),
                self.budget,
                self.now_ms,
                self.early,
                self.ticks,
                self.taken,
                self.saw,
                self.told,
                self.wrong,
            )
        )


@lru_cache(maxsize=10_000)
def read(body: str) -> TaskMessage | RefillMessage:
    return decode_message(body)


def subject_of(body: str) -> str:
    """Whom a process is named for that has this message."""
    if body.startswith('{"event"'):
        return "event"
    message = read(body)
    return "refill" if isinstance(message, RefillMessage) else message.account
