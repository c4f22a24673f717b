"""Log lines and stream chunks of a run: items beside the record."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.core.changes import Item, Put
from headrace.core.table import CHUNKS, LINES, chunk_key, line_key, run_partition
from headrace.core.values import dataclass
from headrace.engine.engine import Engine

MAX_LINE_CHARS = 10_000
MAX_LINES = 1_000
"""Hatchet's limits: characters a line, lines a task (PARITY H6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    task: str
    at_ms: int
    level: str
    line: str
    retry_count: int


def write_lines(
    engine: Engine, run_id: str, lines: Sequence[tuple[int, LogLine]], *, owner: str, expires_at_s: int
) -> None:
    """Store numbered lines of one attempt. Storing them twice is harmless."""
    puts = [
        Put(
            key=line_key(run_id, line.at_ms, owner, number),
            item=_encode(line, expires_at_s),
        )
        for number, line in lines
    ]
    if len(puts) == 1:
        engine.store.write(puts[0])
    elif puts:
        engine.store.write_many(puts)


def _encode(line: LogLine, expires_at_s: int) -> Item:
    return {
        "task": line.task,
        "at": line.at_ms,
        "level": line.level,
        "line": line.line[:MAX_LINE_CHARS],
        "retry": line.retry_count,
        "expires_at": expires_at_s,
    }


def read_lines(
    engine: Engine,
    run_id: str,
    *,
    task: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    limit: int = MAX_LINES,
) -> Sequence[LogLine]:
    """The run's lines, oldest first."""
    found: list[LogLine] = []
    for item in engine.store.query(run_partition(run_id), prefix=LINES):
        line = LogLine(
            task=str(item["task"]),
            at_ms=int(str(item["at"])),
            level=str(item["level"]),
            line=str(item["line"]),
            retry_count=int(str(item["retry"])),
        )
        wanted = task is None or line.task == task
        if wanted and (since_ms or 0) <= line.at_ms and (until_ms is None or line.at_ms <= until_ms):
            found.append(line)
    return found[:limit]


def write_chunk(
    engine: Engine, run_id: str, chunk: str | bytes, *, number: int, owner: str, expires_at_s: int
) -> None:
    """Store a chunk of the stream; its position is the time, the attempt and its number."""
    key = chunk_key(run_id, engine.clock.now_ms(), owner, number)
    engine.store.write(Put(key=key, item={"chunk": chunk, "expires_at": expires_at_s}))


def read_chunks(
    engine: Engine, run_id: str, *, after: str | None = None, limit: int | None = None
) -> Sequence[tuple[str, str | bytes]]:
    """(position, chunk) in order, past the position `after`; the first `limit` of them."""
    out: list[tuple[str, str | bytes]] = []
    for item in engine.store.query(run_partition(run_id), prefix=CHUNKS, after=after, limit=limit):
        chunk = item["chunk"]
        out.append((str(item["sk"]), chunk if isinstance(chunk, bytes) else str(chunk)))
    return out
