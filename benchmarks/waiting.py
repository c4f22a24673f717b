"""How late `run()` returns after the end of its run, and what the wait costs, on MiniStack.

    python benchmarks/waiting.py [--long]

A process waits for some runs at once and others come one after the other, as in a web service; `--long` adds tasks of one and five minutes. Lateness is
from the end of the task's code, so it holds the commit too. Requests of the client are counted by its transport and priced. Exit code 1 where an aim is missed.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["MINISTACK_SQS_LOOK_S"] = "0.005"  # on AWS a message ends a long poll at once

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / name) for name in ("sdk", "infra", "handlers", "benchmarks")]

from headrace import Context, Headrace, Settings
from headrace.aws.prices import PRICES
from headrace.triggers.results.mailbox import mailbox_of
from headrace_infra.testing import local

AT_ONCE = 20
LATE_S = 0.05
DOLLARS = 1.0
SHORT = (0.1, 0.3, 1.0, 3.0, 10.0)
LONG = (60.0, 300.0)

app = Headrace()
ended_at: dict[str, float] = {}


@app.task(execution_timeout="10m")
async def lasts(input: dict[str, Any], ctx: Context) -> dict[str, Any]:
    await asyncio.sleep(input["s"])
    ended_at[ctx.workflow_run_id] = time.monotonic()
    return {"run": ctx.workflow_run_id}


app.worker("default", workflows=[lasts])


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


async def waits(task: Any, seconds: float) -> list[float]:
    """How late each of the waits ended, in seconds. The runs start a little after each other."""

    async def one(number: int) -> float:
        await asyncio.sleep(number * 0.05)
        result = await task.aio_run({"s": seconds})
        return time.monotonic() - ended_at[result["run"]]

    return list(await asyncio.gather(*(one(number) for number in range(AT_ONCE))))


def dollars(counting: Counting) -> float:
    """A million waits: what the client asked for beyond the start of its runs, and the replies that workers send."""
    asked = counting.requests
    sqs = asked["ReceiveMessage"] + asked["told"]
    writes = max(0, asked["UpdateItem"])
    spent = counting.read_units * PRICES["read"].dollars + sqs * PRICES["sqs"].dollars
    return (spent + writes * PRICES["write"].dollars) / AT_ONCE * 1_000_000


def main() -> int:
    missed = False
    print("| task, s | late, ms: median | p95 | worst | $ a million waits |\n|---:|---:|---:|---:|---:|")
    with local(app, backend="ministack", concurrency=2 * AT_ONCE) as stack:
        client, counting = client_on(stack.deployed.stack)
        task = client.stubs.task(name="lasts")
        asyncio.run(waits(task, 2.5))  # makes the reply queue
        address = mailbox_of(client.engine).address
        assert address is not None
        for seconds in (*SHORT, *(LONG if "--long" in sys.argv else ())):
            counting.clear()
            late = sorted(asyncio.run(waits(task, seconds)))
            counting.requests["told"] += AT_ONCE  # each run names the queue, so each tells it
            p95, spent = late[round(0.95 * (len(late) - 1))], dollars(counting)
            print(
                f"| {seconds:g} | {statistics.median(late) * 1000:.0f} | {p95 * 1000:.0f} | {late[-1] * 1000:.0f} | {spent:.2f} |",
                flush=True,
            )
            missed = missed or p95 > LATE_S or spent > DOLLARS
    if missed:
        print(f"\nMissed: {LATE_S * 1000:.0f} ms at the 95th percentile, ${DOLLARS:g} a million.")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
