"""Ports in memory, ready to use."""

from __future__ import annotations

from headrace.memory.clock import SeededIds, VirtualClock
from headrace.memory.faults import Faults
from headrace.memory.queues import MemoryQueues
from headrace.memory.secrets import MemorySecrets
from headrace.memory.store import MemoryStore
from headrace.ports import Ports


def connect(
    *, seed: int = 0, visibility_s: int = 60, max_receive_count: int = 12, faults: Faults | None = None
) -> Ports:
    """A world of its own: an empty table, no queues, a clock that stands still."""
    clock = VirtualClock()
    queues = MemoryQueues(
        clock, visibility_s=visibility_s, max_receive_count=max_receive_count, faults=faults
    )
    return Ports(
        store=MemoryStore(faults), queues=queues, clock=clock, ids=SeededIds(seed), secrets=MemorySecrets()
    )
