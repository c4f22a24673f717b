"""The task that is running here, as far as what it spawns must know it."""

from __future__ import annotations

import threading
import uuid
from contextvars import ContextVar
from dataclasses import field
from typing import TYPE_CHECKING

from headrace.core.run.ids import task_run_id
from headrace.core.run.record import ParentLink
from headrace.core.run.request import RESERVED
from headrace.core.values import dataclass

if TYPE_CHECKING:
    from headrace.context.context import Context
    from headrace.core.durable.operations import Operations
    from headrace.core.run.plans.plan import Json
    from headrace.core.run.record import RunRecord
    from headrace.engine.attempts.ports import Work

PARENT_RUN = "hatchet__parent_workflow_run_id"
PARENT_STEP = "hatchet__parent_step_run_id"


A_BRANCH = 1_000_000
"""How far the indexes of two branches of a durable task's log are apart: what a reset redoes starts other children than before."""


@dataclass(frozen=True, slots=True)
class ChildPlace:
    """A child's index among those of its task. `first`: that of the first child which the same call starts in the same branch of the log."""

    first: int
    index: int
    branch: int = 0


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
    _step_run_id: str = ""
    _space: uuid.UUID | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def moves(self, work: Work) -> None:
        """Another invocation goes on with the code, in the same process."""
        self.record = work.record

    def take_places(self, size: int) -> list[ChildPlace]:
        """The places of the next `size` children, which one call starts."""
        with self._lock:
            first = self._next
            self._next += size
        if self.operations is None:
            return [ChildPlace(first, first + n) for n in range(size)]
        branches = self.operations.branches_of_next(size)
        firsts: dict[int, int] = {}
        out: list[ChildPlace] = []
        for n, branch in enumerate(branches):
            index = branch * A_BRANCH + first + n
            out.append(ChildPlace(firsts.setdefault(branch, index), index, branch))
        return out

    @property
    def spawned(self) -> int:
        """How many indexes were taken."""
        return self._next

    @property
    def step_run_id(self) -> str:
        """The same for all of its children: a hash that is made once."""
        if not self._step_run_id:
            self._step_run_id = task_run_id(self.record.plan, self.record.run_id, self.task)
        return self._step_run_id

    @property
    def space(self) -> uuid.UUID:
        """What the ids of its children are made in."""
        if self._space is None:
            self._space = _namespace(self.record.run_id)
        return self._space


current: ContextVar[Spawner | None] = ContextVar("headrace_task", default=None)
"""The attempt whose code runs in this context; None outside of tasks."""


def child_of(
    spawner: Spawner, index: int, child_key: str | None, *, branch: int = 0
) -> tuple[str, ParentLink]:
    """A child's run id and link: the same for the same key, or the same place in the order of spawning, in every attempt.

    A key that the branch of the log has met already names that child; otherwise one of this branch.
    """
    if child_key is None:
        run_id = _child_id(spawner, f"index/{index}")
    else:
        ids = [
            _child_id(spawner, f"key/{child_key}" if number == 0 else f"branch/{number}/key/{child_key}")
            for number in range(branch + 1)
        ]
        known = [
            each for each in ids[:-1] if spawner.operations and spawner.operations.node_of(each) is not None
        ]
        run_id = known[-1] if known else ids[-1]
    return run_id, ParentLink(run_id=spawner.record.run_id, task=spawner.task, index=index, key=child_key)


def _child_id(spawner: Spawner, name: str) -> str:
    return str(uuid.uuid5(spawner.space, f"{spawner.task}/{name}"))


def _namespace(run_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(run_id)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, run_id)


def handed_down(spawner: Spawner) -> dict[str, Json]:
    """The parent's metadata, which its children inherit, and the reserved keys that name the parent."""
    inherited = {k: v for k, v in spawner.record.metadata.items() if not k.startswith(RESERVED)}
    return {**inherited, PARENT_RUN: spawner.record.run_id, PARENT_STEP: spawner.step_run_id}
