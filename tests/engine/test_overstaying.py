"""Code that goes on after its attempt has ended, because nothing can stop it: its places are its own until it has ended."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field, replace

import pytest
from support.eventually import eventually
from support.gates import CN, gate, left_over, partition, single, state, statuses
from support.records import plan, task
from support.world import KillAt, Killed, World

from headrace.core.changes import Applied
from headrace.core.points import AtSlots, encode_point
from headrace.core.run.plans.plan import BatchPlan, RunPlan
from headrace.core.run.record import RunStatus, TaskStatus
from headrace.core.run.transitions.claim import first_row, take_over
from headrace.core.run.transitions.fence import Attempt
from headrace.core.waits.holders import Holder
from headrace.engine.attempts.ports import Disposition, Done, Outcome, Running, Succeeded, Work
from headrace.engine.clock.tick import tick
from headrace.engine.engine import Limits
from headrace.engine.owed.cancel import cancel
from headrace.engine.owed.cancel_task import cancel_task
from headrace.engine.runs.attempt import _overstaying
from headrace.engine.runs.claimed import Claimed
from headrace.engine.runs.deliver import deliver
from headrace.runtime.control import LiveControl
from headrace.runtime.deadline import Ending, TimedOut

SOON = Limits(grace_s=0.02, first_beat_s=0.05, beat_every_s=0.05, first_look_s=0.05, look_every_s=0.05)
NEVER_KEPT = replace(SOON, beat_every_s=3_600.0)
TWICE = single(gates=(gate(),), retries=1)
GATE = partition()
SLOTS = encode_point(AtSlots("default"))


@dataclass(slots=True)
class Deaf:
    """Code that hears of no deadline and no cancellation: it ends when it is let go."""

    is_async: bool = False
    let_go: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    now: int = 0
    most: int = 0
    calls: int = 0

    def call(self, work: Work) -> Outcome:
        self._begins()
        try:
            self.let_go.wait(20)
        finally:
            self.now -= 1
        return Succeeded(None)

    async def acall(self, work: Work) -> Outcome:
        self._begins()
        while not self.let_go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        self.now -= 1
        return Succeeded(None)

    def _begins(self) -> None:
        self.calls += 1
        self.now += 1
        self.most = max(self.most, self.now)
        self.began.set()


@dataclass(slots=True)
class Threaded:
    """A world whose code runs for real, in threads that nothing can end."""

    w: World
    code: Deaf
    left: list[Running] = field(default_factory=list)

    def deliver(self) -> Disposition | None:
        """The next message, once it is visible; None where there is none."""
        received = self.w.queues.receive("default", limit=1, wait_s=0, visibility_s=60)
        if not received:
            return None
        host = replace(self.w.host("default"), left_behind=self.left.append)
        verdict = deliver(self.w.engine, host, received[0])
        self.w.queues.delete(received[0])
        return verdict

    def deliver_all(self) -> None:
        while self.deliver() is not None:
            pass

    def holders(self, gate: str = GATE) -> list[str]:
        return sorted(state(self.w, gate).holders)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def deaf(request: pytest.FixtureRequest) -> Deaf:
    return Deaf(is_async=request.param)


def threaded(of: RunPlan, deaf: Deaf, *, slots: int | None = None, limits: Limits = SOON) -> Threaded:
    w = World(plans={"flow": of}, code={}, limits=limits)
    if slots is not None:
        w.engine = replace(w.engine, gate_limits=lambda: {"worker:default": slots})
    w.more = {("flow", each.name): deaf for each in of.tasks}
    return Threaded(w, deaf)


def test_a_retry_waits_until_the_code_of_the_attempt_before_has_ended(deaf: Deaf) -> None:
    t = threaded(single(gates=(gate(),), retries=2, execution_timeout_ms=50), deaf)
    run_id = t.w.start("flow")
    t.deliver()
    assert t.w.record(run_id).tasks["flow"].status is TaskStatus.QUEUED  # its attempt timed out, on time
    assert t.holders() == [f"{run_id}/flow#1"]
    assert [code.lives for code in t.left] == [True]
    t.deliver_all()
    assert (deaf.calls, deaf.most) == (1, 1)
    assert t.w.record(run_id).tasks["flow"].status is TaskStatus.PARKED
    deaf.let_go.set()
    eventually(lambda: t.deliver() is not None)
    assert (deaf.calls, deaf.most) == (2, 1)
    assert statuses(t.w, [run_id]) == [RunStatus.COMPLETED]
    assert left_over(t.w) == []


def test_a_run_has_its_outcome_on_time_and_another_one_its_place_when_the_code_has_ended(deaf: Deaf) -> None:
    t = threaded(single(gates=(gate(),), execution_timeout_ms=50), deaf)
    first, second = t.w.start("flow"), t.w.start("flow")
    t.deliver_all()
    assert statuses(t.w, [first, second]) == [RunStatus.FAILED, RunStatus.QUEUED]
    deaf.let_go.set()
    eventually(lambda: t.deliver() is not None)
    assert statuses(t.w, [second]) == [RunStatus.COMPLETED]
    assert deaf.most == 1


def test_a_slot_is_held_too(deaf: Deaf) -> None:
    t = threaded(single(execution_timeout_ms=50, slot_cost=2), deaf, slots=3)
    t.w.start("flow"), t.w.start("flow")
    t.deliver_all()
    assert (deaf.calls, state(t.w, SLOTS).taken) == (1, 2)
    deaf.let_go.set()
    eventually(lambda: t.deliver() is not None)
    assert (deaf.calls, deaf.most, state(t.w, SLOTS).taken) == (2, 1, 0)


def test_the_process_keeps_the_place_for_as_long_as_the_code_runs(deaf: Deaf) -> None:
    t = threaded(single(gates=(gate(),), execution_timeout_ms=50), deaf)
    t.w.start("flow"), t.w.start("flow")
    t.deliver_all()
    before_ms = until_ms(t)
    t.w.clock.advance(61_000)
    eventually(lambda: until_ms(t) == before_ms + 61_000)
    tick(t.w.engine)
    assert t.deliver() is None
    deaf.let_go.set()
    eventually(lambda: t.deliver() is not None)


def test_the_place_is_free_when_the_code_ends_and_not_with_a_later_beat(deaf: Deaf) -> None:
    t = threaded(single(gates=(gate(),), execution_timeout_ms=50), deaf, limits=NEVER_KEPT)
    t.w.start("flow"), t.w.start("flow")
    t.deliver_all()
    deaf.let_go.set()
    eventually(lambda: t.deliver() is not None)
    assert (deaf.calls, left_over(t.w)) == (2, [])


def test_a_process_that_dies_takes_the_code_with_it_and_the_clock_frees_the_place() -> None:
    deaf = Deaf()
    t = threaded(single(gates=(gate(),), execution_timeout_ms=50), deaf, limits=NEVER_KEPT)
    t.w.start("flow"), t.w.start("flow")
    t.deliver_all()
    t.w.clock.advance(29_000)
    tick(t.w.engine)
    assert (t.deliver(), state(t.w, GATE).taken) == (None, 1)
    t.w.clock.advance(40_000)
    tick(t.w.engine)
    assert t.deliver() is not None
    assert deaf.calls == 2
    deaf.let_go.set()


@pytest.mark.parametrize("what", ["run", "task"])
def test_a_cancelled_attempt_keeps_its_place_until_its_code_has_ended(deaf: Deaf, what: str) -> None:
    t = threaded(single(gates=(gate(),)), deaf)
    first, second = t.w.start("flow"), t.w.start("flow")
    working = threading.Thread(target=t.deliver)
    working.start()
    deaf.began.wait(10)
    if what == "run":
        cancel(t.w.engine, first)
    else:
        cancel_task(t.w.engine, first, "flow", reason="CANCELLED_BY_USER")
    eventually(lambda: t.holders() == [f"{first}/flow#1"])
    t.deliver()
    assert t.w.record(second).tasks["flow"].status is TaskStatus.PARKED
    t.w.clock.advance(70_000)  # the cancelled run's message, which is hidden no more, repairs what it can
    eventually(lambda: until_ms(t) > t.w.clock.now_ms())
    t.deliver_all()
    tick(t.w.engine)
    t.deliver_all()
    assert (deaf.calls, t.holders()) == (1, [f"{first}/flow#1"])
    deaf.let_go.set()
    working.join(10)
    eventually(lambda: t.deliver() is not None)
    t.deliver_all()
    assert (deaf.calls, deaf.most) == (2, 1)
    assert statuses(t.w, [first, second]) == [RunStatus.CANCELLED, RunStatus.COMPLETED]
    assert left_over(t.w) == []


@pytest.mark.parametrize("redelivered", [False, True])
def test_a_cancelled_run_keeps_its_place_until_the_code_of_its_task_has_ended(redelivered: bool) -> None:
    deaf = Deaf()
    t = threaded(replace(plan(task("a"), task("b", "a")), gates=(gate(),)), deaf)
    first, second = t.w.start("flow"), t.w.start("flow")
    working = threading.Thread(target=t.deliver)
    working.start()
    deaf.began.wait(10)
    cancel(t.w.engine, first)
    assert t.holders() == [first]
    eventually(lambda: t.holders() == [first, f"{first}/a#1"])
    if redelivered:
        t.w.clock.advance(61_000)
        eventually(lambda: max(each.until_ms or 0 for each in holding(t)) > t.w.clock.now_ms())
    t.deliver_all()
    assert f"{first}/a#1" in t.holders()
    assert (deaf.calls, statuses(t.w, [second])) == (1, [RunStatus.QUEUED])
    deaf.let_go.set()
    working.join(10)
    eventually(lambda: t.deliver() is not None)
    t.deliver_all()
    assert deaf.most == 1
    assert statuses(t.w, [first, second]) == [RunStatus.CANCELLED, RunStatus.COMPLETED]
    assert left_over(t.w) == []


def test_of_two_tasks_of_a_cancelled_run_the_one_that_ends_last_frees_its_place() -> None:
    deaf = Deaf()
    t = threaded(replace(plan(task("a"), task("b")), gates=(gate(strategy=CN),)), deaf)
    first = t.w.start("flow")
    working = [threading.Thread(target=t.deliver) for _ in range(2)]
    for each in working:
        each.start()
        eventually(lambda: bool(t.w.queues.next_visible_ms()) or deaf.calls == 2)
    eventually(lambda: deaf.calls == 2)
    cancel(t.w.engine, first)
    eventually(lambda: t.holders() == [first, f"{first}/a#1", f"{first}/b#1"])
    deaf.let_go.set()
    for each in working:
        each.join(10)
    eventually(lambda: t.holders() == [])


def test_a_cancelled_runs_place_is_free_once_its_lease_is_over_where_its_process_died() -> None:
    t = threaded(replace(plan(task("a")), gates=(gate(),)), Deaf())
    first = t.w.start("flow")

    def dies(*of: object) -> Ending:
        raise Killed

    received = t.w.queues.receive("default", limit=1, wait_s=0, visibility_s=60)[0]
    with pytest.raises(Killed):
        deliver(t.w.engine, t.w.host("default"), received, runner=dies)
    cancel(t.w.engine, first)
    t.code.let_go.set()
    t.w.start("flow")
    t.deliver_all()
    assert (t.code.calls, t.holders()) == (0, [first])
    t.w.clock.advance(61_000)
    tick(t.w.engine)
    t.deliver_all()
    assert (t.code.calls, left_over(t.w)) == (1, [])


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_process_that_dies_at_any_call_leaves_one_body_at_a_time_and_no_place_taken(
    after_effect: bool,
) -> None:
    """Its code is gone with it. One that lives through it all dies 20 s later, and keeps no place any more."""
    for call in range(100):
        fault = KillAt(call, after_effect=after_effect)
        late, w = Late(), World(plans={"flow": TWICE}, code={}, faults=fault, limits=NEVER_KEPT)
        w.more = {("flow", "flow"): Deaf()}
        fault.armed = False
        runs = [w.start("flow"), w.start("flow")]
        for pause_ms in [2_000] * 5 + [20_000] * 16:
            if pause_ms > 2_000:
                late.alive = 0
            fault.armed = not fault.hit
            late.work(w)
            fault.armed = False
            w.clock.advance(pause_ms)
            tick(w.engine)
        assert (late.most, left_over(w)) == (1, []), fault.hit
        assert statuses(w, runs) == [RunStatus.COMPLETED] * 2, fault.hit
        if not fault.hit:
            break
    else:
        raise AssertionError("it never went through")


@dataclass(slots=True)
class Late:
    """Code whose first attempt goes on after its limit, for as long as its process lives."""

    alive: int = 0
    most: int = 0

    def work(self, w: World) -> None:
        """Deliver what is visible, until the process dies."""
        try:
            for received in w.queues.receive("default", limit=10, wait_s=0, visibility_s=60):
                if isinstance(deliver(w.engine, w.host("default"), received, runner=self.run), Done):
                    w.queues.delete(received)
        except Killed:
            self.alive = 0

    def run(self, *of: object) -> Ending:
        _, _, _, control, _, work = of
        assert isinstance(control, LiveControl)
        assert isinstance(work, Work)
        self.most = max(self.most, self.alive + 1)
        if work.record.tasks["flow"].app_retry_count:
            return Succeeded(None)
        self.alive += 1
        control.running.begins()
        return TimedOut(0.05)


def test_a_batch_counts_among_those_of_its_line_until_its_code_has_ended() -> None:
    deaf = Deaf()
    options = BatchPlan(max_size=1, max_runs=1)
    t = threaded(single(batch=options, execution_timeout_ms=50), deaf)
    first, second = t.w.start("flow"), t.w.start("flow")
    working = [threading.Thread(target=t.deliver_all) for _ in range(2)]
    for each in working:
        each.start()
    deaf.began.wait(10)
    eventually(lambda: statuses(t.w, [first, second]).count(RunStatus.FAILED) == 1)
    t.deliver_all()
    assert deaf.calls == 1
    deaf.let_go.set()
    for each in working:
        each.join(10)
    t.deliver_all()
    assert (deaf.calls, deaf.most) == (2, 1)


def test_an_attempt_that_was_taken_over_moves_no_place_of_the_one_that_took_over() -> None:
    deaf = Deaf()
    t = threaded(single(gates=(gate(),), execution_timeout_ms=60_000), deaf)
    run_id = t.w.start("flow")
    zombie = t.w.queues.receive("default", limit=1, wait_s=0, visibility_s=60)[0]
    working = threading.Thread(target=lambda: deliver(t.w.engine, t.w.host("default"), zombie))
    working.start()
    deaf.began.wait(10)
    t.w.clock.advance(120_000)
    row = t.w.record(run_id).tasks["flow"]
    assert isinstance(t.w.engine.store.write(take_over(another(t.w, run_id), row)), Applied)
    cancel(t.w.engine, run_id)
    time.sleep(0.6)  # beats and looks of the zombie, which learns of it too
    assert t.holders() == [f"{run_id}/flow"]
    deaf.let_go.set()
    working.join(10)


def another(w: World, run_id: str) -> Attempt:
    now_ms = w.clock.now_ms()
    return Attempt(
        run_id=run_id,
        task="flow",
        number=0,
        ticket=1,
        owner="another",
        now_ms=now_ms,
        lease_until_ms=now_ms + 60_000,
    )


def holding(t: Threaded) -> list[Holder]:
    return list(state(t.w, GATE).holders.values())


def until_ms(t: Threaded) -> int:
    (held,) = holding(t)
    assert held.until_ms is not None
    return held.until_ms


class Noted:
    """Writes down the calls of the store."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def before(self, port: str, call: str) -> None:
        if port == "store":
            self.seen.append(call)

    def after(self, port: str, call: str) -> None: ...


def test_code_is_told_of_a_cancellation_before_its_places_are_written() -> None:
    """The write may wait for AWS, and the code should not."""
    calls, flow = Noted(), single(gates=(gate(),))
    w = World(plans={flow.workflow: flow}, code={"flow": lambda work: {}}, faults=calls)
    run_id = w.start("flow")
    (received,) = w.queues.receive("default", limit=1, wait_s=0)
    attempt = another(w, run_id)
    record = w.record(run_id).with_row("flow", first_row(attempt, queued_at_ms=0))
    claimed = Claimed(record=record, attempt=attempt, received=received)
    control = LiveControl(w.engine, claimed.record, claimed.attempt, limit_s=60, ceiling_s=60)
    control.running.begins()
    assert _overstaying(w.engine, claimed, control) is not None
    control.on_cancel(lambda: calls.seen.append("the code is told"))
    calls.seen.clear()
    control.tell_cancelled()
    assert calls.seen[0] == "the code is told"
    assert len(calls.seen) > 1, "no place was written"
