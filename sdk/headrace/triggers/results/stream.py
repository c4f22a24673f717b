"""The chunks that the tasks of a run put into its stream, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import field
from typing import TYPE_CHECKING

from headrace.core.run.derived.progress import finished
from headrace.core.values import dataclass
from headrace.engine.records.logs import read_chunks
from headrace.engine.runs.read import UNKNOWN_PAUSE_S, UNKNOWN_TRIES, read
from headrace.errors import RunNotFound

if TYPE_CHECKING:
    from headrace.engine.engine import Engine
    from headrace.triggers.results.outcomes import Connected

LONGEST_POLL_S = 0.25
"""The longest pause between two looks: a stream is watched by a person."""

OVERLAP_MS = 2_000
"""How far back each look reads again: chunks of tasks that run side by side may be stored in another order than stamped."""


async def subscribe(app: Connected, run_id: str) -> AsyncIterator[str | bytes]:
    """The run's chunks from now on, each task's in order; ends with the run. RunNotFound if there is no such run."""
    import asyncio

    watched = _Watched(app.engine, run_id)
    pause_s = app.settings.poll_s
    await asyncio.to_thread(watched.look)
    while not watched.over:
        await asyncio.sleep(pause_s if watched.misses == 0 else max(pause_s, UNKNOWN_PAUSE_S))
        chunks = await asyncio.to_thread(watched.look)
        for chunk in chunks:
            yield chunk
        if watched.misses >= UNKNOWN_TRIES:
            raise RunNotFound(run_id)
        pause_s = app.settings.poll_s if chunks else min(pause_s * 1.3, LONGEST_POLL_S)


@dataclass(slots=True)
class _Watched:
    """A run's stream as far as it was read: which positions within the overlap were seen."""

    engine: Engine
    run_id: str
    after: str | None = None
    seen: set[str] = field(default_factory=set)
    misses: int = 0
    over: bool = False

    def look(self) -> list[str | bytes]:
        """The chunks not seen yet. The run is read first, so the last chunk of a finished run is not missed."""
        record = read(self.engine, self.run_id)
        self.misses = 0 if record is not None else self.misses + 1
        self.over = record is not None and finished(record)
        found = read_chunks(self.engine, self.run_id, after=self.after)
        new = [chunk for position, chunk in found if position not in self.seen]
        if found:
            self.after = _earlier(found[-1][0], OVERLAP_MS)
            self.seen = {
                position for position in self.seen.union(p for p, _ in found) if position > self.after
            }
        return new


def _earlier(position: str, span_ms: int) -> str:
    """A position `span_ms` before one of the form `stream#<13 digits of time>#…`."""
    prefix, at_ms, _ = position.split("#", 2)
    return f"{prefix}#{max(0, int(at_ms) - span_ms):013d}"
