"""How many of a bulk start of 1,000 runs meet a worker before they have a record, with 16 workers that wait for them.

    python benchmarks/bulk.py

Messages are sent before records are put, fifty runs at a time, so that a client that dies in between loses no run. A worker that is quicker
than the puts makes the record itself, at the price of two writes more. Here each request to the ports in memory takes a while each way, drawn
around a mean. Exit code 1 where more than 1 % meet a worker too early, in the median of the rounds.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "sdk"), str(ROOT / "handlers")]

from headrace import Context, EmptyModel, Hatchet
from headrace.aws.clock import SystemClock, SystemIds
from headrace.core.changes import Item, Key, Put, Refused, Write, Written
from headrace.engine.runs.deliver import deliver
from headrace.memory.queues import MemoryQueues
from headrace.memory.store import MemoryStore
from headrace.ports import Outgoing, Ports, Received
from headrace_handlers.boot import host_for

RUNS, WORKERS, ROUNDS = 1_000, 16, 3
LATENCIES_MS = ((2, 2), (8, 4), (5, 5), (10, 10))
"""Of a request to SQS, and of one to DynamoDB. The second is about what AWS takes within a region."""
AIM = 0.01
T = TypeVar("T")


class Distant:
    """Requests that take a while each way: the half of a latency, give or take a third."""

    def __init__(self, latency_ms: float) -> None:
        self._half_s = latency_ms / 2000
        self._random = random.Random(latency_ms)  # no secret

    def asked(self, request: Callable[[], T]) -> T:
        time.sleep(self._half_s * self._random.uniform(0.67, 1.33))
        answer = request()
        time.sleep(self._half_s * self._random.uniform(0.67, 1.33))
        return answer


class Store(MemoryStore):
    """`early`: how many claims have found no record."""

    def __init__(self, distance: Distant) -> None:
        super().__init__()
        self._distance = distance
        self.early = 0

    def write(self, write: Write) -> Written:
        written = self._distance.asked(lambda: super(Store, self).write(write))
        if isinstance(written, Refused) and written.item is None:
            self.early += 1
        return written

    def write_many(self, writes: Sequence[Write]) -> list[Written]:
        """Inserts of a bulk start go in batches side by side: as one request."""
        assert all(isinstance(write, Put) for write in writes)
        return self._distance.asked(lambda: [super(Store, self).write(write) for write in writes])

    def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        return self._distance.asked(lambda: super(Store, self).get(key, consistent=consistent))


class Queues(MemoryQueues):
    """A long poll that finds a message at once."""

    def __init__(self, distance: Distant) -> None:
        super().__init__(SystemClock())
        self._distance = distance

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        self._distance.asked(lambda: super(Queues, self).send(queue, messages))

    def receive(
        self, queue: str, *, limit: int, wait_s: int, visibility_s: int | None = None
    ) -> list[Received]:
        def found() -> list[Received]:
            for _ in range(100):
                messages = super(Queues, self).receive(
                    queue, limit=limit, wait_s=0, visibility_s=visibility_s
                )
                if messages:
                    return messages
                time.sleep(0.001)
            return []

        return self._distance.asked(found)

    def delete(self, message: Received) -> None:
        self._distance.asked(lambda: super(Queues, self).delete(message))


def met_early(sqs_ms: float, dynamodb_ms: float) -> int:
    hatchet = Hatchet()

    @hatchet.task(name="noop")
    def noop(input: EmptyModel, ctx: Context) -> None: ...

    hatchet.worker("default", workflows=[noop])
    store, queues = Store(Distant(dynamodb_ms)), Queues(Distant(sqs_ms))
    hatchet.use(Ports(store=store, queues=queues, clock=SystemClock(), ids=SystemIds()))
    host = host_for(hatchet, "default")
    done: list[Any] = []

    def work() -> None:
        while len(done) < RUNS:
            for message in queues.receive("default", limit=1, wait_s=1):
                done.append(deliver(hatchet.engine, host, message))
                queues.delete(message)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    noop.run_many([noop.create_bulk_run_item() for _ in range(RUNS)], wait_for_result=False)
    for thread in threads:
        thread.join(120)
    assert len(done) == RUNS, len(done)
    return store.early


def main() -> int:
    print(f"| a request to SQS, to DynamoDB | too early, of {RUNS:,} | at most |\n|---|---:|---:|")
    missed = False
    for sqs_ms, dynamodb_ms in LATENCIES_MS:
        found = [met_early(sqs_ms, dynamodb_ms) for _ in range(ROUNDS)]
        share = statistics.median(found) / RUNS
        missed = missed or share > AIM
        print(
            f"| {sqs_ms} ms, {dynamodb_ms} ms | {statistics.median(found):.0f} ({min(found)} to {max(found)}) | {AIM * RUNS:.0f} |"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
