"""The events function beside the workers of a World: both on its memory ports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from headrace import Headrace
from headrace.core.events.envelopes import events_of
from headrace.engine.catalog.workflows import Published, publish_workflows
from headrace.engine.events.handle import Handled, handle
from headrace.engine.events.push import EVENTS_QUEUE
from headrace.engine.waits.conditions import wake_suspended
from headrace.ports import Outgoing, Ports
from headrace.settings.settings import Settings
from headrace.triggers.start import start
from support.world import World


@dataclass(slots=True)
class EventWorld(World):
    """`on_events`: workflow -> what is published of it beside its plan. `handled`: what came of each delivery of an event."""

    on_events: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    handled: list[Handled] = field(default_factory=list)
    page_after_ms: int | None = None
    app: Headrace = field(init=False)

    def __post_init__(self) -> None:
        World.__post_init__(self)
        self.app = Headrace(config=Settings())
        self.app.use(Ports(store=self.store, queues=self.queues, clock=self.clock, ids=self.engine.ids))
        faults, self.store.faults = self.store.faults, type(self.store)().faults
        publish_workflows(
            self.app.engine,
            [Published(plan=plan, **self.on_events.get(name, {})) for name, plan in self.plans.items()],
        )
        self.store.faults = faults

    def _deliver_from(self, queue: str) -> bool:
        if queue != EVENTS_QUEUE:
            return World._deliver_from(self, queue)
        for received in self.queues.receive(queue, limit=1, wait_s=0):
            for event, page in events_of(received.body, str, now_ms=received.sent_at_ms):
                begin = partial(start, self.app)
                until_ms = None if self.page_after_ms is None else self.clock.now_ms() + self.page_after_ms
                self.handled.append(
                    handle(self.app.engine, event, page, start=begin, wake=wake_suspended, until_ms=until_ms)
                )
                if self.handled[-1].later_s:
                    self.queues.hide(received, self.handled[-1].later_s)
                    return True
            self.queues.delete(received)
            return True
        return False

    def push_again(self, body: str) -> None:
        """The queue delivers what it delivered before."""
        self.queues.send(EVENTS_QUEUE, [Outgoing(body=body)])

    def runs(self) -> list[dict[str, Any]]:
        """The records of all runs: their ids and metadata."""
        return [
            {"id": str(item["pk"]).removeprefix("run#"), "meta": json.loads(str(item.get("meta", "{}")))}
            for item in self.store.items()
            if item["sk"] == "run"
        ]
