"""An engine on the memory ports that counts what AWS would bill: for shapes too large for an emulator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.core.changes import Item, Key, Write, Written
from headrace.core.run.plans.plan import RunPlan
from headrace.core.sizes import item_bytes
from headrace.engine.attempts.ports import Done, Host, Outcome, Runnable, Succeeded, Work
from headrace.engine.engine import Engine, Limits
from headrace.engine.runs.attempt import Runner
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.memory.store import MemoryStore
from headrace.ports import Outgoing, Received
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending


class CountingStore(MemoryStore):
    """Write units are KB of the item after, read units 4 KB, half of one where it need not be consistent; the listing index adds one a run."""

    def __init__(self) -> None:
        super().__init__()
        self.units: Counter[str] = Counter()

    def write(self, write: Write) -> Written:
        written = super().write(write)
        self.units["write"] += -(-max(1, item_bytes(written.item or {})) // 1024)
        self.units["calls"] += 1
        return written

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        found = super().get(key, consistent=consistent)
        self.units["read"] += -(-max(1, item_bytes(found or {})) // 4096) * (1 if consistent else 0.5)
        self.units["calls"] += 1
        return found

    def get_many(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item | None]:
        """One request a hundred keys; each item is billed by itself."""
        found = [MemoryStore.get(self, key, consistent=consistent) for key in keys]
        self.units["read"] += sum(-(-max(1, item_bytes(item or {})) // 4096) for item in found)
        self.units["calls"] += -(-len(keys) // 100)
        return found

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        consistent: bool = True,
    ) -> list[Item]:
        """Billed by what it brings, together; a page is 1 MB."""
        found = super().query(pk, prefix=prefix, after=after, limit=limit, consistent=consistent)
        size = sum(item_bytes(item) for item in found)
        self.units["read"] += -(-max(1, size) // 4096)
        self.units["calls"] += -(-max(1, size) // 2**20)
        return found


class CountingQueues(MemoryQueues):
    """A send bills a request a batch of ten, a receive and a delete one each."""

    units: Counter[str]

    def send(self, queue: str, messages: Any) -> None:
        sent: list[Outgoing] = list(messages)
        super().send(queue, sent)
        self.units["sqs"] += -(-len(sent) // 10)
        self.units["calls"] += -(-len(sent) // 10)

    def delete(self, message: Received) -> None:
        super().delete(message)
        self.units["sqs"] += 2
        self.units["calls"] += 2


@dataclass(frozen=True, slots=True)
class Returns:
    """A task that returns one small object."""

    is_async: bool = False

    def call(self, work: Work) -> Outcome:
        return Succeeded(json.dumps({"n": 1}))

    async def acall(self, work: Work) -> Outcome:
        return self.call(work)


def at_once(
    engine: Engine, host: Host, claimed: Claimed, control: LiveControl, runnable: Runnable, work: Work
) -> Ending:
    return runnable.call(work)


@dataclass(slots=True)
class Counted:
    """One world; `run` delivers until nothing is left, waiting for what is not yet due in no time.

    `limits`: of the engine. `host`: the worker, where it is not one that runs `code`; `runner`: how its code is run.
    """

    plans: list[RunPlan]
    code: Callable[[str, str], Runnable] = lambda workflow, task: Returns()
    limits: Limits = field(default_factory=Limits)
    host: Host | None = None
    runner: Runner = at_once
    invocations: int = 0
    store: CountingStore = field(default_factory=CountingStore)
    engine: Engine = field(init=False)
    queues: CountingQueues = field(init=False)
    clock: VirtualClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.queues = CountingQueues(self.clock)
        self.queues.units = self.store.units
        self.engine = Engine(
            store=self.store, queues=self.queues, clock=self.clock, ids=SeededIds(1), limits=self.limits
        )

    @property
    def units(self) -> Counter[str]:
        return self.store.units

    def run(self) -> None:
        host = self.host or self._host()
        while (due_ms := self.queues.next_visible_ms()) is not None:
            self.clock.advance_to(max(due_ms, self.clock.now_ms()))
            batch = self.queues.receive(host.worker, limit=10, wait_s=0)
            if not batch:
                return  # what is left is in a queue of another worker
            for received in batch:
                self.invocations += 1
                if isinstance(deliver(self.engine, host, received, runner=self.runner), Done):
                    self.queues.delete(received)

    def _host(self) -> Host:
        runnables = {
            (plan.workflow, task.name): self.code(plan.workflow, task.name)
            for plan in self.plans
            for task in plan.tasks
        }
        return Host(worker="default", runnables=runnables)
