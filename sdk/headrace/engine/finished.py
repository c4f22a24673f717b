"""Children that are over, as this process has read them: a durable task that fans out often does not read them all at each replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from headrace.engine.recent import Recent

if TYPE_CHECKING:
    from headrace.core.run.record import RunRecord

MOST_BYTES = 32 * 1024 * 1024
"""How much of them a process keeps; the oldest go."""

RECORD_BYTES = 1_500
"""What a record takes beside its outputs, about."""

Round: TypeAlias = tuple[str, str, int]
"""Run, task and restarts (`TaskRow.retry_count`) of a parent: in a later round its child may have been replayed, so it is read again."""


def round_of(record: RunRecord, task: str) -> Round:
    """The round that a durable task is in."""
    row = record.tasks.get(task)
    return record.run_id, task, row.retry_count if row is not None else 0


class FinishedChildren:
    """The records of children that are over, by their parent's round."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._kept: Recent[tuple[Round, str], RunRecord] = Recent(most_bytes)

    def remember(self, parent: Round, record: RunRecord) -> None:
        """Keep the record of a child that is over."""
        size = RECORD_BYTES + sum(len(row.output.text or "") for row in record.tasks.values())
        self._kept.put((parent, record.run_id), record, size)

    def known(self, parent: Round, run_id: str) -> RunRecord | None:
        """The record of a child, if it is kept here."""
        return self._kept.get((parent, run_id))
