"""The task that is running here, as far as what it spawns must know it."""

from __future__ import annotations

import threading
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.core.run.ids import task_run_id
from headrace.core.run.record import ParentLink
from headrace.core.run.request import RESERVED

if TYPE_CHECKING:
    from headrace.context.context import Context
    from headrace.core.durable.operations import Operations
    from headrace.core.run.plan import Json
    from headrace.core.run.record import RunRecord

PARENT_RUN = "hatchet__parent_workflow_run_id"
PARENT_STEP = "hatchet__parent_step_run_id"


@dataclass(slots=True)
class Spawner:
    """A running attempt; each child gets the next index, the same in every attempt that spawns in the same order."""

    record: RunRecord
    task: str
    context: Context
    durable: bool = False
    operations: Operations | None = None
    """Of a durable task: its log, as its code asks for it."""
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_indexes(self, size: int) -> int:
        """The first of the next `size` indexes."""
        with self._lock:
            first = self._next
            self._next += size
            return first

    @property
    def spawned(self) -> int:
        """How many indexes were taken."""
        return self._next

    @property
    def step_run_id(self) -> str:
        return task_run_id(self.record.plan, self.record.run_id, self.task)


current: ContextVar[Spawner | None] = ContextVar("headrace_task", default=None)
"""The attempt whose code runs in this context; None outside of tasks."""


def child_of(spawner: Spawner, index: int, child_key: str | None) -> tuple[str, ParentLink]:
    """A child's run id and link: the same for the same key, or the same place in the order of spawning, in every attempt."""
    name = f"{spawner.task}/{'key/' + child_key if child_key is not None else 'index/' + str(index)}"
    run_id = str(uuid.uuid5(_namespace(spawner.record.run_id), name))
    return run_id, ParentLink(run_id=spawner.record.run_id, task=spawner.task, index=index, key=child_key)


def _namespace(run_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(run_id)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, run_id)


def handed_down(spawner: Spawner) -> dict[str, Json]:
    """The parent's metadata, which its children inherit, and the reserved keys that name the parent."""
    inherited = {k: v for k, v in spawner.record.metadata.items() if not k.startswith(RESERVED)}
    return {**inherited, PARENT_RUN: spawner.record.run_id, PARENT_STEP: spawner.step_run_id}
