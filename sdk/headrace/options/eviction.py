"""Whether a durable task may give up its invocation while it waits."""

from __future__ import annotations

from datetime import timedelta

from headrace.core.values import dataclass
from headrace.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class EvictionPolicy:
    """When a waiting durable task gives up its invocation.

    Headrace suspends a task about a second after all of it waits, as that is what costs nothing: `ttl`, how long it may wait before,
    bounds this from above. `ttl=None` with `allow_capacity_eviction=False` holds the invocation until the wait is over: never evicted, paid
    for all the time, and ended by `execution_timeout` (on Lambda at most 15 minutes). `priority` is accepted and has no effect: no task is
    evicted in another's favour.
    """

    ttl: timedelta | None
    allow_capacity_eviction: bool = True
    priority: int = 0

    def __post_init__(self) -> None:
        if self.ttl is not None and (not isinstance(self.ttl, timedelta) or self.ttl < timedelta(0)):
            raise DefinitionError(
                f"EvictionPolicy: ttl is {self.ttl!r}: give a timedelta of 0 or more, or None"
            )

    @property
    def holds(self) -> bool:
        """Whether the invocation is never given up."""
        return self.ttl is None and not self.allow_capacity_eviction


DEFAULT_DURABLE_TASK_EVICTION_POLICY = EvictionPolicy(
    ttl=timedelta(minutes=15), allow_capacity_eviction=True, priority=0
)
