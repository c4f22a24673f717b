"""Log lines and stream chunks of a run: items beside the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.engine.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    task: str
    at_ms: int
    level: str
    line: str
    retry_count: int


def write_line(engine: Engine, run_id: str, line: LogLine, *, number: int, owner: str, expires_at_s: int) -> None:
    raise NotImplementedError


def read_lines(engine: Engine, run_id: str, *, task: str | None = None, since_ms: int | None = None, until_ms: int | None = None, limit: int = 1000) -> Sequence[LogLine]:
    raise NotImplementedError


def write_chunk(engine: Engine, run_id: str, task: str, chunk: str | bytes, *, number: int, owner: str, expires_at_s: int) -> None:
    raise NotImplementedError


def read_chunks(engine: Engine, run_id: str, *, after: str | None = None) -> Sequence[tuple[str, str | bytes]]:
    """(position, chunk) in order, past `after`."""
    raise NotImplementedError
