"""Rate limits on the memory ports: how many a window admits, in which order, and what is left in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from support.gates import left_over, line, rate, single, statuses
from support.world import World

from headrace.clients.admission.rate_limits import set_limit
from headrace.core.run.plans.plan import Json, RatePlan, RunPlan
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.core.table import gate_key
from headrace.core.waits.rate_limit import Window, window_of
from headrace.engine.attempts.ports import Work

DONE = RunStatus.COMPLETED


class Times:
    """Code that notes when it ran, and for which run."""

    def __init__(self) -> None:
        self.at: list[tuple[int, str]] = []
        self.w: World | None = None

    def __call__(self, work: Work) -> Json:
        assert self.w is not None
        self.at.append((self.w.clock.now_ms(), work.record.run_id))
        return {"ok": True}

    def a_window(self, window_ms: int) -> list[int]:
        """How many ran in each window that any ran in."""
        counts = Counter(at_ms // window_ms for at_ms, _ in self.at)
        return [counts[window] for window in sorted(counts)]


def world(*plans: RunPlan) -> tuple[World, Times]:
    code = Times()
    names = {each.name for p in plans for each in p.tasks}
    w = World(plans={p.workflow: p for p in plans}, code=dict.fromkeys(names, code))
    w.clock.advance_to(1_750_000_000_000)
    code.w = w
    return w, code


def begin(w: World, runs: int, value: Json = None, **options: object) -> list[str]:
    ids = []
    for _ in range(runs):
        ids.append(w.start("flow", value, **options))
        w.clock.advance(1)
    return ids


def put(w: World, key: str, limit: int, window_s: int = 1) -> None:
    set_limit(w.engine, key, limit, window_s)


def left_of(w: World, key: str) -> Window:
    return window_of(w.store.get(gate_key(f"rate#{key}")))


@pytest.mark.parametrize(("limit", "runs"), [(1, 4), (3, 10), (10, 25), (5, 5)])
def test_a_window_admits_no_more_than_its_limit_and_no_fewer(limit: int, runs: int) -> None:
    w, code = world(single(rates=(rate(limit=str(limit)),)))
    ids = begin(w, runs)
    w.drain()
    assert statuses(w, ids) == [DONE] * runs
    full, rest = divmod(runs, limit)
    assert code.a_window(1_000) == [limit] * full + [rest] * (rest > 0)
    assert [run for _, run in code.at] == ids, "in order"
    assert left_over(w) == []


def test_no_waiting_call_polls() -> None:
    """Each run that waits is woken once: a message at the trigger, one at its window; and one refill a window."""
    w, _ = world(single(rates=(rate(limit="5"),)))
    ids = begin(w, 20)
    deliveries = 0
    while w.queues.depth():
        if w.deliver_next():
            deliveries += 1
            continue
        due_ms = w.queues.next_visible_ms()
        assert due_ms is not None
        w.clock.advance_to(due_ms)
    assert statuses(w, ids) == [DONE] * 20
    assert deliveries <= 20 + 15 + 5


@pytest.mark.parametrize("window_s", [1, 60, 3_600, 86_400])
def test_windows_of_any_length_refill_in_full_at_their_beginning(window_s: int) -> None:
    w, code = world(single(rates=(rate(limit="2", window_s=window_s),), schedule_timeout_ms=10**10))
    begin(w, 6)
    w.drain()
    assert code.a_window(window_s * 1_000) == [2, 2, 2]
    starts = sorted({at_ms // (window_s * 1_000) * window_s * 1_000 for at_ms, _ in code.at})
    late_ms = [min(at_ms for at_ms, _ in code.at if at_ms >= start) - start for start in starts[1:]]
    assert max(late_ms) <= 1_000
    assert left_over(w) == []


def test_units_weigh_and_the_head_is_not_overtaken_by_a_lighter_one() -> None:
    w, code = world(single(rates=(rate(limit="3", units="input['units']"),)))
    ids = [begin(w, 1, {"units": units})[0] for units in (2, 2, 1, 3)]
    w.drain()
    assert statuses(w, ids) == [DONE] * 4
    assert code.a_window(1_000) == [1, 2, 1]


def test_several_limits_give_all_or_nothing() -> None:
    w, code = world(single(rates=(rate("'wide'", "100"), rate("'narrow'", "1"))))
    begin(w, 3)
    w.drain()
    assert code.a_window(1_000) == [1, 1, 1]
    assert left_of(w, "wide").left == 99, "a refused task gave back what it had taken"
    assert left_over(w) == []


def test_tasks_share_a_key_that_they_render_alike() -> None:
    w, code = world(
        single("flow", rates=(rate("input['who']", "1"),)),
        single("other", rates=(rate("'me'", "1"),)),
    )
    w.start("flow", {"who": "me"})
    w.start("other")
    w.start("flow", {"who": "you"})
    w.drain()
    assert code.a_window(1_000) == [2, 1]


def test_a_static_limit_is_put_raised_and_lowered() -> None:
    w, code = world(single(rates=(RatePlan(key="api", units="1"),)))
    put(w, "api", 4)
    begin(w, 2)
    while w.deliver_next():
        pass
    assert left_of(w, "api").left == 2
    put(w, "api", 1)
    assert left_of(w, "api").left == 1, "lowering takes away what is left above it"
    begin(w, 3)
    w.drain()
    assert code.a_window(1_000)[0] == 3
    assert set(code.a_window(1_000)[1:]) == {1}
    put(w, "api", 5)
    w.clock.advance(2_000)
    code.at.clear()
    begin(w, 5)
    w.drain()
    assert code.a_window(1_000) == [5]
    assert left_over(w) == []


def test_a_shorter_window_does_not_keep_waiters_until_the_end_of_the_longer_one() -> None:
    w, code = world(single(rates=(RatePlan(key="api", units="1"),)))
    put(w, "api", 1, 3_600)
    ids = begin(w, 4)
    while w.deliver_next():
        pass
    assert len(code.at) == 1
    put(w, "api", 1, 1)
    w.drain()
    assert statuses(w, ids) == [DONE] * 4
    assert code.at[-1][0] - code.at[0][0] < 10_000
    assert left_over(w) == []


def test_a_key_that_was_put_keeps_its_limit_whatever_a_dynamic_one_says() -> None:
    w, code = world(single(rates=(rate("'api'", "50"),)))
    put(w, "api", 2, 1)
    begin(w, 6)
    w.drain()
    assert code.a_window(1_000) == [2, 2, 2]
    assert (left_of(w, "api").limit, "expires_at" in (w.store.get(gate_key("rate#api")) or {})) == (2, False)


@pytest.mark.parametrize(
    ("plan", "value", "reason"),
    [
        (RatePlan(key="never put"), None, "never put"),
        (rate(limit="2", units="5"), None, "admits 2 units a window, and 5 are asked for"),
        (rate("input['who']"), {}, "input['who']"),
        (rate(units="input['n']"), {"n": 0}, "at least 1"),
        (rate(limit="input['n']"), {"n": "many"}, "whole number"),
    ],
)
def test_what_can_never_be_taken_fails_the_task_with_the_reason(
    plan: RatePlan, value: Json, reason: str
) -> None:
    w, code = world(single(rates=(plan,)))
    [run_id] = begin(w, 1, value)
    w.drain()
    row = w.record(run_id).tasks["flow"]
    assert (row.status, code.at) == (TaskStatus.FAILED, [])
    assert row.error is not None
    assert reason in row.error.message
    assert left_over(w) == []


def test_priority_decides_whom_a_window_admits() -> None:
    w, code = world(single(rates=(rate(limit="1"),)))
    first = w.start("flow")
    while w.deliver_next():
        pass
    low, high = w.start("flow", priority=1), w.start("flow", priority=3)
    w.drain()
    assert [run for _, run in code.at] == [first, high, low]


def test_an_attempt_that_is_tried_again_takes_units_again() -> None:
    w, code = world(single(rates=(rate(limit="1"),), retries=1))
    failed: list[str] = []

    def body(work: Work) -> Json:
        code(work)
        if not failed:
            failed.append(work.record.run_id)
            raise ValueError("once")
        return None

    w.code = {"flow": body}
    [run_id] = begin(w, 1)
    w.drain()
    assert statuses(w, [run_id]) == [DONE]
    assert code.a_window(1_000) == [1, 1]


def test_workers_whose_clocks_differ_take_no_more_than_a_window_has() -> None:
    """The last taker says which window it is: a slower clock does not open an older one again."""
    w, code = world(single(rates=(rate(limit="2"),)))
    engine = w.engine
    begin(w, 8)

    class Slow:
        def now_ms(self) -> int:
            return w.clock.now_ms() - 400

        def sleep(self, seconds: float) -> None:
            w.clock.sleep(seconds)

    taken: Counter[int] = Counter()
    for n in range(200):
        w.engine = replace(engine, clock=Slow()) if n % 2 else engine
        before = left_of(w, "x")
        if not w.deliver_next():
            due_ms = w.queues.next_visible_ms()
            if due_ms is None:
                break
            w.clock.advance_to(due_ms)
        after = left_of(w, "x")
        if after.start_ms is not None and (after.start_ms, after.left) != (before.start_ms, before.left):
            assert before.start_ms is None or after.start_ms >= before.start_ms
            taken[after.start_ms] = 2 - after.left
    assert len(code.at) == 8
    assert max(taken.values()) <= 2
    assert line(w, "rate#x") == []
