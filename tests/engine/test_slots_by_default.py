"""A process that was told no number of slots takes ten attempts at once, and says so when it starts: parents that wait keep theirs."""

from __future__ import annotations

import logging
import threading

import pytest
from support.eventually import eventually

from headrace import Context, EmptyModel, Headrace
from headrace.memory.wiring import connect
from headrace.runtime.process import DEFAULT_SLOTS, Process


@pytest.mark.parametrize(("slots", "said"), [(None, True), (3, False)])
def test_it_is_said_at_start(caplog: pytest.LogCaptureFixture, slots: int | None, said: bool) -> None:
    app = Headrace()
    app.use(connect())

    @app.task(name="idles")
    def idles(input: EmptyModel, ctx: Context) -> None: ...

    process = Process(app.worker("w", workflows=[idles], process=True, slots=slots))
    caplog.set_level(logging.INFO, logger="headrace")
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        eventually(lambda: "takes work" in caplog.text)
    finally:
        process.stopping.set()
        thread.join(30)
    line = next(record.getMessage() for record in caplog.records if "takes work" in record.getMessage())
    assert f"worker w takes work, {slots or DEFAULT_SLOTS} at once" in line
    assert ("give the worker slots=" in line) is said
