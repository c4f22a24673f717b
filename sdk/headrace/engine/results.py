"""Read runs back: records, outputs, waiting."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.record import RunRecord
from headrace.engine.engine import Engine


def read(engine: Engine, run_id: str) -> RunRecord | None:
    """The run as it stands (strongly consistent). A task overdue in its queue is cancelled on the way."""
    raise NotImplementedError


def read_many(engine: Engine, run_ids: Sequence[str]) -> list[RunRecord | None]:
    raise NotImplementedError


def input_text(engine: Engine, record: RunRecord) -> str | None:
    """The run's input, from wherever it is."""
    raise NotImplementedError


def output_text(engine: Engine, record: RunRecord, task: str) -> str | None:
    """The JSON text of a settled task's output, from wherever it is; a skipped task's is {"skipped":true}."""
    raise NotImplementedError


def wait(engine: Engine, run_ids: Sequence[str], *, poll_s: float = 0.02, longest_poll_s: float = 1.0) -> list[RunRecord | None]:
    """Block until every run is finished (polls all in batches, backing off). None: still unknown after 10 tries."""
    raise NotImplementedError


async def aio_wait(engine: Engine, run_ids: Sequence[str], *, poll_s: float = 0.02, longest_poll_s: float = 1.0) -> list[RunRecord | None]:
    """`wait` without a thread a waiter: sleeps on the event loop, reads in a thread; cancellable."""
    raise NotImplementedError
