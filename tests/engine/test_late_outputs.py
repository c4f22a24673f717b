"""An attempt that lost its lease ends after the one that took over: the outcome of the winner stays, wherever its output is stored."""

from __future__ import annotations

import pytest
from support.records import plan, task
from support.world import World

from headrace.core.run.plans.plan import Json
from headrace.core.run.record import Place
from headrace.engine.attempts.payloads import load_output
from headrace.engine.attempts.ports import Work


@pytest.mark.parametrize(("size", "place"), [(2, Place.RECORD), (20_000, Place.ITEM), (500_000, Place.BLOB)])
def test_a_late_attempt_does_not_overwrite_the_winner_s_output(size: int, place: Place) -> None:
    began: list[int] = []

    def a(work: Work) -> Json:
        began.append(1)
        if len(began) > 1:
            return {"by": "winner", "text": "w" * size}
        w.clock.advance(61_000)  # the lease is over, and the message is back
        assert w.deliver_next()
        return {"by": "late", "text": "l" * size}

    w = World(plans={"flow": plan(task("a"), task("b", "a"))}, code={"a": a, "b": lambda work: None})
    run_id = w.start("flow")
    w.drain()
    record = w.record(run_id)
    assert (len(began), record.tasks["a"].output.place) == (2, place)
    assert '"winner"' in str(load_output(w.engine, record, "a"))
