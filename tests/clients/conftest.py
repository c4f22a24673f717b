"""A stack in memory, as the clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from support.lives import item_of

from headrace.clients.admission.gates import Slotted
from headrace.core.changes import Key, Put
from headrace.core.run.plans.plan import RunPlan
from headrace.core.run.record import RunRecord, TaskStatus
from headrace.engine.catalog.workflows import Published
from headrace.engine.engine import Engine
from headrace.memory.clock import VirtualClock
from headrace.memory.wiring import connect
from headrace.options.labels import Candidate
from headrace.settings.settings import Settings


def quick() -> Settings:
    """Settings that look often."""
    return Settings(poll_s=0.001, longest_poll_s=0.005)


@dataclass(frozen=True)
class Planned:
    of: RunPlan

    tasks: tuple[()] = ()

    def plan(self) -> RunPlan:
        return self.of

    def published(self) -> Published:
        return Published(plan=self.of)

    def input_schema(self) -> str | None:
        return None


@dataclass
class Desk:
    """What of an app the clients need, on ports in memory."""

    engine: Engine
    clock: VirtualClock
    settings: Settings = field(default_factory=quick)
    _workflows_by_name: Mapping[str, Planned] = field(default_factory=dict)
    workers: list[Slotted] = field(default_factory=list)

    _bulk_progress: None = None

    def _fleet(self) -> list[Slotted]:
        return self.workers

    def _knows_workers(self, workflow: str) -> bool:
        return workflow in self._workflows_by_name

    def _zone_of(self, workflow: str) -> None:
        return None

    def _may_start(self, worker: str) -> None:
        return None

    def _candidates(self, workflow: str) -> list[Candidate]:
        return []

    def keep(self, *records: RunRecord) -> None:
        """The runs are as these records say."""
        for record in records:
            item = {name: value for name, value in item_of(record).items() if name not in ("pk", "sk")}
            if any(
                row.status is TaskStatus.FAILED for row in record.tasks.values()
            ):  # as the transition leaves it
                item |= {"fpk": item["lpk"], "fsk": item["lsk"]}
            self.engine.store.write(Put(key=record.key, item=item))

    def body(self, key: Key, text: str) -> None:
        """A payload that is an item of its own."""
        self.engine.store.write(Put(key=key, item={"body": text, "expires_at": 1}))

    def has(self, *plans: RunPlan) -> None:
        """The app defines these workflows."""
        self._workflows_by_name = {plan.workflow: Planned(plan) for plan in plans}


@pytest.fixture
def desk() -> Desk:
    ports = connect()
    assert isinstance(ports.clock, VirtualClock)
    return Desk(engine=Engine.on(ports), clock=ports.clock)
