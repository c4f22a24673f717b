"""How late `run()` returns after the end of its run, and what the wait costs, on MiniStack.

    python benchmarks/waiting.py [--long]

A process waits for some runs at once and others come one after the other, as in a web service; `--long` adds tasks of one and five minutes. Lateness is
from the end of the task's code, so it holds the commit too. It has three parts: the worker's two requests (the commit, the reply), the way of the reply
through the emulator's queue to the waiting process, and that one's read. The first line is the emulator alone: such messages, sent as far apart by bare
requests to a process in a long poll. Requests of the client are counted by its transport and priced. Exit code 1 where an aim is missed.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["MINISTACK_SQS_LOOK_S"] = "0.005"  # on AWS a message ends a long poll at once

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "infra", "handlers", "benchmarks")]

from headrace import Context, Headrace, Settings
from headrace.aws.prices import PRICES
from headrace.aws.queues import AwsQueues
from headrace.core.run.replies import PREFIX, decode_reply
from headrace.ports import Outgoing, Received
from headrace.triggers.results.mailbox import mailbox_of
from headrace_infra.testing import local

AT_ONCE = 20
APART_S = 0.05
LATE_S = 0.05
DOLLARS = 1.0
SHORT = (0.1, 0.3, 1.0, 3.0, 10.0)
LONG = (60.0, 300.0)

app = Headrace()
ended_at: dict[str, float] = {}
sent_at: dict[str, float] = {}
came_at: dict[str, float] = {}


@app.task(execution_timeout="10m")
async def lasts(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
    await asyncio.sleep(input["s"])
    ended_at[ctx.workflow_run_id] = time.monotonic()
    return {"run": ctx.workflow_run_id}


app.worker("default", workflows=[lasts])


def stamp_replies() -> None:
    """Note when each reply was sent, and when the waiting process had it."""
    send, receive = AwsQueues.send, AwsQueues.receive

    def stamped_send(self: AwsQueues, queue: str, messages: Sequence[Outgoing]) -> None:
        send(self, queue, messages)
        if queue.startswith(PREFIX):
            for each in messages:
                sent_at.setdefault(decode_reply(each.body) or each.body, time.monotonic())

    def stamped_receive(self: AwsQueues, queue: str, **how: Any) -> list[Received]:
        received = receive(self, queue, **how)
        if queue.startswith(PREFIX):
            for each in received:
                came_at.setdefault(decode_reply(each.body) or each.body, time.monotonic())
        return received

    AwsQueues.send, AwsQueues.receive = stamped_send, stamped_receive  # type: ignore[method-assign]


class Counting:
    """A transport that counts what the client asks for."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.inserts = inner.inserts
        self.clients = inner.clients
        self.read_units = 0.0
        self.requests: Counter[str] = Counter()

    def clear(self) -> None:
        self.read_units = 0.0
        self.requests.clear()

    def call(self, service: Any, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        self.requests[operation] += 1
        if operation == "GetItem":
            self.read_units += 1.0 if request["ConsistentRead"] else 0.5
        elif operation == "BatchGetItem":
            [wanted] = request["RequestItems"].values()
            self.read_units += len(wanted["Keys"]) * (1.0 if wanted["ConsistentRead"] else 0.5)
        answer: dict[str, Any] = self._inner.call(service, operation, request)
        return answer


def client_on(stack: str) -> tuple[Headrace, Counting]:
    """Another process's app, as far as AWS can tell: its own transport, which counts, and its own reply queue."""
    made = Headrace(config=Settings(stack=stack, table=stack))
    store, queues, replies = (getattr(made.engine, name) for name in ("store", "queues", "replies"))
    counting = Counting(store._transport)
    for port in (store, queues, replies):
        port._transport = counting
    return made, counting


@dataclass(frozen=True, slots=True)
class Late:
    """How late a wait ended, and its parts, in milliseconds. `queue`: None where the wait was polled."""

    all: float
    worker: float | None
    queue: float | None

    @property
    def read(self) -> float | None:
        return None if self.worker is None or self.queue is None else self.all - self.worker - self.queue


async def waits(task: Any, seconds: float) -> list[Late]:
    """How late each of the waits ended. The runs start a little after each other."""

    async def one(number: int) -> Late:
        await asyncio.sleep(number * APART_S)
        run_id = (await task.aio_run({"s": seconds}))["run"]
        now, ended, sent, came = time.monotonic(), ended_at[run_id], sent_at.get(run_id), came_at.get(run_id)
        if sent is None or came is None:
            return Late((now - ended) * 1000, None, None)
        sent = min(sent, came)  # a message may be received before its sender has the answer
        return Late((now - ended) * 1000, (sent - ended) * 1000, (came - sent) * 1000)

    return list(await asyncio.gather(*(one(number) for number in range(AT_ONCE))))


def emulator_alone(queue: str) -> list[float]:
    """How long a message takes to a process in a long poll: bare sends, as far apart, nothing else going on. In milliseconds."""
    queues = app.engine.queues
    names = [f"floor-{number}" for number in range(AT_ONCE)]

    def listen() -> None:
        while len(came_at.keys() & set(names)) < AT_ONCE:
            queues.receive(queue, limit=10, wait_s=20)

    thread = threading.Thread(target=listen)
    thread.start()
    for name in names:
        time.sleep(APART_S)
        queues.send(queue, [Outgoing(body=name)])
    thread.join()
    return [max(0.0, came_at[name] - sent_at[name]) * 1000 for name in names]


def p95(values: Sequence[float]) -> float:
    return sorted(values)[round(0.95 * (len(values) - 1))]


def shown(values: Sequence[float | None]) -> str:
    """Median and 95th percentile of what there is."""
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.0f}, {p95(known):.0f}" if known else "polled"


def dollars(counting: Counting) -> float:
    """A million waits: what the client asked for beyond the start of its runs, and the replies that workers send."""
    asked = counting.requests
    sqs = asked["ReceiveMessage"] + asked["told"]
    writes = max(0, asked["UpdateItem"])
    spent = counting.read_units * PRICES["read"].dollars + sqs * PRICES["sqs"].dollars
    return (spent + writes * PRICES["write"].dollars) / AT_ONCE * 1_000_000


def make_floor(client: Headrace) -> str:
    """Another reply queue, that nothing but `emulator_alone` uses. Its name."""
    replies = client.engine.replies
    assert replies is not None
    replies.make(f"{PREFIX}floor")
    return "floor"


def main() -> int:
    missed = False
    stamp_replies()
    head = "| task, s | late, ms: median | p95 | worst | of which worker: median, p95 | emulator's queue | read | $ a million waits |"
    print(f"{head}\n|---:|---:|---:|---:|---:|---:|---:|---:|")
    with local(app, backend="ministack", concurrency=2 * AT_ONCE) as stack:
        client, counting = client_on(stack.deployed.stack)
        task = client.stubs.task(name="lasts")
        asyncio.run(waits(task, 2.5))  # makes the reply queue
        address = mailbox_of(client.engine).address
        assert address is not None
        floor = emulator_alone(PREFIX + make_floor(client))
        print(f"| the emulator alone | | | | | {shown(floor)} | | |", flush=True)
        for seconds in (*SHORT, *(LONG if "--long" in sys.argv else ())):
            counting.clear()
            late = asyncio.run(waits(task, seconds))
            counting.requests["told"] += AT_ONCE  # each run names the queue, so each tells it
            every, spent = [each.all for each in late], dollars(counting)
            print(
                f"| {seconds:g} | {statistics.median(every):.0f} | {p95(every):.0f} | {max(every):.0f} | {shown([each.worker for each in late])} "
                f"| {shown([each.queue for each in late])} | {shown([each.read for each in late])} | {spent:.2f} |",
                flush=True,
            )
            missed = missed or p95(every) > LATE_S * 1000 or spent > DOLLARS
    if missed:
        print(f"\nMissed: {LATE_S * 1000:.0f} ms at the 95th percentile, ${DOLLARS:g} a million.")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
