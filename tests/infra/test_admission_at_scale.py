"""A thousand runs that queue for one key, through `local`: never more at once than it has places, and a price that does not grow."""

from __future__ import annotations

import threading
import time

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace_infra.cost.meter import Meter
from headrace_infra.testing import local

PLACES = 5


class Gauge:
    """How many are in the task's code at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self.now -= 1


def calls_a_run(runs: int) -> float:
    """Start so many, wave by wave, and let them all end; AWS calls a run, but for receives that bring nothing."""
    app, gauge = Headrace(), Gauge()

    @app.task(name="one_of_many", concurrency=PLACES, schedule_timeout="24h")
    def one_of_many(input: EmptyModel, ctx: Context) -> dict[str, bool]:
        with gauge:
            time.sleep(0.2)  # longer than the calls around it take on a busy machine
        return {"ok": True}

    app.worker("many", workflows=[one_of_many])
    with local(app, concurrency=8) as stack, Meter() as meter:
        refs = []
        for _ in range(runs // 50):
            items = [one_of_many.create_bulk_run_item() for _ in range(50)]
            refs += one_of_many.run_many(items, wait_for_result=False)
            while stack.depth_of_all() > 60:  # moto's queues are slow when they are long
                time.sleep(0.02)
        stack.drain(300)
        assert stack.events.counts["completed"] == runs
        assert PLACES - 1 <= gauge.most <= PLACES
        assert stack.events.counts["parked"] > runs / 2, "most had to wait"
        assert stack.app.gates.list() == []
        return len(meter.calls) / runs


@pytest.mark.scale
@pytest.mark.timeout(600)
def test_a_thousand_runs_of_one_key(record_property: object) -> None:
    few, many = calls_a_run(100), calls_a_run(1_000)
    assert callable(record_property)
    record_property("told", f"{few:.1f} AWS calls a run of 100, {many:.1f} of 1,000")
    assert many < few * 1.35
