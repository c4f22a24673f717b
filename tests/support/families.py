"""A parent that waits for children without holding an invocation, as the SDK's durable tasks do, on the bare engine."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from headrace.core.durable.log import ChildRun, Entry, Kind
from headrace.core.run.derived.progress import finished, run_status
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import ParentLink, RunStatus
from headrace.engine.attempts.ports import Outcome, Succeeded, SuspendedOnOperations, Work
from headrace.engine.engine import Engine
from headrace.engine.runs.read import read_many
from headrace.engine.runs.start import NewRun, start_many
from headrace.engine.waits.kinds.children import leaf_for, open_join


@dataclass(frozen=True, slots=True)
class Family:
    """Spawns `size` runs of `child`, suspends until all are over, and says how many completed."""

    engine: Engine
    child: RunPlan
    size: int

    def call(self, work: Work) -> Outcome:
        record, task = work.record, work.task
        ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.run_id}/{task}/{n}")) for n in range(self.size)]
        known = read_many(self.engine, ids)
        missing = [n for n, each in enumerate(known) if each is None]
        if missing:
            open_join(self.engine, record, task, range(self.size), first=0)
            start_many(self.engine, [self._child(record.run_id, task, n, ids[n]) for n in missing])
        elif all(each is not None and finished(each) for each in known):
            done = sum(each is not None and run_status(each) is RunStatus.COMPLETED for each in known)
            return Succeeded(json.dumps({"n": done, "pad": ""}))
        log = work.durable_log()
        if not log.load():
            log.put(
                Entry(node=n, kind=Kind.RUN, asked="", child=ChildRun(each, 0))
                for n, each in enumerate(ids, start=1)
            )
        return SuspendedOnOperations(log.before_suspension())

    def _child(self, run_id: str, task: str, n: int, child_id: str) -> NewRun:
        link = ParentLink(run_id=run_id, task=task, index=n, join=leaf_for(run_id, task, 0, n))
        return NewRun(plan=self.child, input='{"n":1}', run_id=child_id, parent=link)
