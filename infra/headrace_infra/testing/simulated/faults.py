"""What goes wrong in a simulated world, how often, and where: before and after each call of a port, and between two lines that await."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from greenlet import GreenletExit

from headrace.core.changes import Applied, Item, Key, Refused, Write, Written, copied_item
from headrace.errors import QueueUnavailable, StoreUnavailable
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.memory.store import MemoryStore
from headrace.memory.validity import check_request
from headrace.ports import MAX_DELAY_S, Outgoing
from headrace_infra.testing.simulated.process import Process, current, pause


class Fault(StrEnum):
    """A kind of fault."""

    CRASH = "crash"
    FREEZE = "freeze"
    THROTTLE = "throttle"
    LOST_RESPONSE = "lost response"
    REPEATED_WRITE = "repeated write"
    DUPLICATE = "duplicate"
    DELAY = "delay"
    DEPLOYMENT = "deployment"


RATES = {
    Fault.CRASH: 0.02,
    Fault.FREEZE: 0.004,
    Fault.THROTTLE: 0.01,
    Fault.LOST_RESPONSE: 0.01,
    Fault.REPEATED_WRITE: 0.01,
    Fault.DUPLICATE: 0.08,
    Fault.DELAY: 0.05,
    Fault.DEPLOYMENT: 0.3,
}
"""How likely each is, at each place where it can happen: a call of a port, a message, a run of the world (deployment)."""

WORDS = {
    Fault.CRASH: "dies",
    Fault.FREEZE: "stands still for a while",
    Fault.THROTTLE: "is throttled",
    Fault.LOST_RESPONSE: "does not get the response",
    Fault.REPEATED_WRITE: "makes twice, as the first response was lost,",
    Fault.DELAY: "sends a message that is late",
}
"""What happens to a process, before what it is at."""

CALLS = {
    "store.write": "a write to the table",
    "store.get": "a read of the table",
    "store.query": "a query of the table",
    "store.query_index": "a query of the table",
    "queues.send": "sending a message",
    "queues.delete": "deleting its message",
    "queues.hide": "keeping its message hidden",
}


def named(port: str, call: str) -> str:
    """A call of a port, for people."""
    return CALLS.get(f"{port}.{call}", f"{port} {call}")


MOST_CRASHES_A_TASK = 2
"""Of one task of one run. One more and the task is FAILED by design: see `max_crashes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A fault that was drawn. `ordinal`: the how manieth of its world; `skipped`: it was drawn and did not happen."""

    ordinal: int
    kind: Fault
    at_ms: int
    where: str
    skipped: bool = False


@dataclass(slots=True)
class Dice:
    """Draws faults from a seed. Each world has a few kinds, a pace and a budget of its own: few faults make a story that can be read.

    only: the ordinals of the faults that happen; the others are drawn, so that all else stays as it is, and do not.
    """

    random: Random
    only: frozenset[int] | None = None
    kinds: frozenset[Fault] = frozenset(Fault)
    pace: float = 1.0
    budget: int = 0
    drawn: int = 0
    calm: bool = False

    def __post_init__(self) -> None:
        some = [kind for kind in Fault if self.random.random() < 0.7]
        self.kinds = self.kinds & frozenset(some or list(Fault))
        self.pace = self.random.choice((0.3, 1.0, 1.0, 3.0))
        self.budget = self.random.choice((1, 2, 4, 8, 16))

    def draw(self, kind: Fault, at_ms: int, where: str) -> Injected | None:
        """A fault of this kind, now; None: it does not happen."""
        if self.calm or kind not in self.kinds or self.drawn >= self.budget:
            return None
        if self.random.random() >= RATES[kind] * self.pace:
            return None
        ordinal, self.drawn = self.drawn, self.drawn + 1
        return Injected(
            ordinal=ordinal,
            kind=kind,
            at_ms=at_ms,
            where=where,
            skipped=self.only is not None and ordinal not in self.only,
        )


class AtPorts:
    """Stands at every call of a port: give way, then perhaps a fault."""

    def before(self, port: str, call: str) -> None:
        process = current()
        if process is None:
            return
        if process.world.closed:
            raise GreenletExit
        process.world.at_port(process, f"{port}.{call}")
        if process.world.strikes(process, Fault.THROTTLE, f"at {named(port, call)}"):
            _unanswered(process, port, "throttled")

    def after(self, port: str, call: str) -> None:
        process = current()
        if process is None:
            return
        if not process.in_code and process.world.strikes(
            process, Fault.LOST_RESPONSE, f"of {named(port, call)}, which took place"
        ):
            _unanswered(process, port, "the response was lost")


def _unanswered(process: Process, port: str, why: str) -> None:
    """The adapter's own retries get over it; an engine that is between two calls gets to see that they did not."""
    if process.in_code:
        pause(process.world.dice.random.randrange(100, 2_000))
        return
    raise (StoreUnavailable if port == "store" else QueueUnavailable)(f"{why} (simulated)")


class FaultyStore(MemoryStore):
    """The table. A write may be made twice: its first response was lost, and the client library tried again by itself."""

    def write(self, write: Write) -> Written:
        while True:
            self.faults.before("store", "write")
            check_request(write)
            written = self._apply(write)
            process = current()
            if process is None or not process.world.strikes(
                process, Fault.REPEATED_WRITE, "a write to the table"
            ):
                break
        if process is not None and write.key.sk == "run" and process.doing.startswith("once it has run"):
            process.doing = f"once it has recorded what came of {process.task}"
        self.faults.after("store", "write")
        item = copied_item(written.item) if written.item is not None else None
        return Applied(item) if isinstance(written, Applied) else Refused(item)

    def peek(self, key: Key) -> Item | None:
        """An item, without a call."""
        return self._partitions.get(key.pk, {}).get(key.sk)


class FaultyQueues(MemoryQueues):
    """The queues. A message may take longer than those that are sent after it."""

    def __init__(self, clock: VirtualClock, *, max_receive_count: int, faults: AtPorts) -> None:
        super().__init__(clock, max_receive_count=max_receive_count, faults=faults)

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        process = current()
        if process is not None and process.world.strikes(process, Fault.DELAY, f"to {queue}"):
            late_s = process.world.dice.random.randrange(1, 90)
            messages = [replace(each, delay_s=min(each.delay_s + late_s, MAX_DELAY_S)) for each in messages]
        super().send(queue, messages)
