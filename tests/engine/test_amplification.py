"""A queue that is behind does not fill itself: at most two messages for each time that a run has waited, whatever the latency,
the order and the duplicates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from support.fleet import Fleet
from support.gates import gate, left_over, rate, single
from support.world import World

from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import TaskStatus
from headrace.memory.clock import VirtualClock
from headrace.memory.queues import MemoryQueues
from headrace.ports import Outgoing


def _ticket(body: str) -> str:
    found = json.loads(body)
    return "refill" if "refill" in found else f"{found['run']}/{found['ticket']}"


class CountedSends(MemoryQueues):
    """Counts the messages sent, by run and ticket."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock, max_receive_count=1_000)
        self.sent: Counter[str] = Counter()

    def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        super().send(queue, messages)
        self.sent.update(_ticket(each.body) for each in messages)


def run_all(
    flow: RunPlan, *, runs: int, keys: int, slots: int, minutes: int, seed: int = 1, **more: float | bool
) -> tuple[float, Counter[str]]:
    """Start and finish so many runs. Messages sent for each time that a run was woken; and those sent, by ticket."""
    w = World(plans={flow.workflow: flow}, code={"flow": lambda work: {}})
    queues = CountedSends(w.clock)
    w.queues, w.engine = queues, replace(w.engine, queues=queues)
    ids = [w.start(flow.workflow, {"key": f"k{n * keys // runs}"}) for n in range(runs)]
    fleet = Fleet(w, slots, Random(seed), **more)  # type: ignore[arg-type]  # its fields
    fleet.drain(minutes * 60_000)
    assert {w.record(run_id).tasks["flow"].status for run_id in ids} == {TaskStatus.COMPLETED}
    assert left_over(w) == []
    woken = {name: count for name, count in queues.sent.items() if not name.endswith(("/1", "refill"))}
    assert woken, "no task waited"
    assert fleet.most_held == 1 or not flow.tasks[0].gates
    return sum(woken.values()) / len(woken), queues.sent


KEYED = single(gates=(gate(key="input['key']"),))


@pytest.mark.parametrize("shuffled", [False, True], ids=["oldest first", "any order"])
def test_a_wait_is_one_message_in_a_queue_that_is_behind(shuffled: bool) -> None:
    sends, sent = run_all(KEYED, runs=600, keys=60, slots=6, minutes=20, shuffled=shuffled)
    assert sends == 1.0, sent.most_common(3)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_wait_is_two_messages_at_most_whatever_is_delivered_twice(seed: int) -> None:
    sends, sent = run_all(
        KEYED, runs=300, keys=30, slots=4, minutes=40, shuffled=True, duplicates=0.1, deaths=0.05, seed=seed
    )
    assert sends <= 1.5, sent.most_common(3)
    assert max(sent.values()) <= 3


def test_a_limit_in_a_queue_that_is_behind() -> None:
    limited = single(rates=(rate(limit="10"),))
    sends, sent = run_all(limited, runs=400, keys=1, slots=20, minutes=20)
    assert sends <= 2, sent.most_common(3)
