"""Many durable runs that are due at once, and one that starts many children, again and again: on the memory ports."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from support.durable import DurableWorld
from support.fan_out import fan_out, metered

from headrace import DurableContext, Hatchet
from headrace.core.durable.log import Entry
from headrace.core.run.derived.progress import run_status
from headrace.core.run.record import RunStatus
from headrace.engine.clock.tick import tick
from headrace.runtime.durable.entries import Entries

MINUTE_MS = 60_000
SCALE = [pytest.mark.scale, pytest.mark.timeout(600)]


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=SCALE)])
def test_sleeps_that_end_within_one_minute_all_resume_in_it_by_the_time_they_are_due(count: int) -> None:
    """They were begun in another order than that in which they are due."""
    hatchet, resumed = Hatchet(), list[tuple[int, int]]()

    @hatchet.durable_task(input_validator=dict[str, int])
    async def waits(input: dict[str, int], ctx: DurableContext) -> None:
        await ctx.aio_sleep_until(at(input["due_ms"]))
        resumed.append((w.clock.now_ms(), input["due_ms"]))

    w = DurableWorld(plans={}, code={}, of=hatchet)
    minute_ms = (w.clock.now_ms() // MINUTE_MS + 60) * MINUTE_MS
    dues = [minute_ms + n * MINUTE_MS // count for n in range(count)]
    shuffled = [dues[n * 7_919 % count] for n in range(count)]
    ids = [w.begin("waits", {"due_ms": due_ms}) for due_ms in shuffled]
    while w.deliver_next():
        assert w.clock.now_ms() < minute_ms
    assert resumed == []
    while w.clock.now_ms() < minute_ms + MINUTE_MS + 1_000:
        if w.clock.now_ms() % MINUTE_MS < 1_000:
            tick(w.engine)
        while w.deliver_next():
            pass
        w.clock.advance(1_000 - w.clock.now_ms() % 1_000)
    assert {run_status(w.record(run_id)) for run_id in ids} == {RunStatus.COMPLETED}
    assert sorted(due_ms for _, due_ms in resumed) == dues  # each once
    assert all(now_ms >= due_ms for now_ms, due_ms in resumed)
    assert max(now_ms for now_ms, _ in resumed) <= minute_ms + MINUTE_MS + 1_000
    assert all(later[1] >= earlier[1] - 1_000 for earlier, later in pairwise(resumed))


def at(ms: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC)


@pytest.mark.parametrize(
    ("rounds", "width"), [(8, 8), pytest.param(100, 100, marks=SCALE)], ids=["small", "full"]
)
def test_fan_outs_of_one_task_read_each_child_as_often_in_the_first_round_as_in_the_last(
    rounds: int, width: int
) -> None:
    w, store = metered(fan_out(rounds, width))
    run_id = w.begin("parent")
    w.drain(limit=10 * rounds * width)
    row = w.record(run_id).tasks["parent"]
    total = rounds * width * (width - 1) // 2
    assert f'{{"total":{total},"invocations":{rounds + 1}}}' in str(row.output.text)
    reads = dict(store.reads_of)
    children = [record for record in w.records() if record.run_id != run_id]
    assert len(children) == rounds * width
    assert max(reads[record.key] for record in children) <= MOST_READS


MOST_READS = 4
"""Of a child's record: by its own worker, and once by its parent when it is over."""


@pytest.mark.parametrize("width", [40, 160])
def test_the_answers_of_a_fan_out_are_handed_out_in_time_that_grows_with_their_number_alone(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of the log that are looked at: a fan-out of four times the width takes four times as many, not sixteen."""
    looked = [0]
    entry_of = Entries.__getitem__

    def counted(self: Entries, node: int) -> Entry:
        looked[0] += 1
        return entry_of(self, node)

    monkeypatch.setattr(Entries, "__getitem__", counted)
    w, _ = metered(fan_out(1, width))
    run_id = w.begin("parent")
    w.drain(limit=10 * width)
    assert f'{{"total":{width * (width - 1) // 2},"invocations":2}}' in str(
        w.record(run_id).tasks["parent"].output.text
    )
    assert looked[0] <= MOST_LOOKS * width


MOST_LOOKS = 30
"""At an entry, from its start to its answer, over both invocations."""
