"""What the code of a durable task may ask for, as contexts and triggers see it: `runtime.durable` does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from headrace.core.durable.log import ChildRun, Entry, Groups, Kind
from headrace.core.run.plans.plan import Json


class Operations(Protocol):
    """The durable operations of the task that runs here (`runtime.durable.run.DurableRun`)."""

    @property
    def where(self) -> str: ...

    @property
    def wait_index(self) -> int: ...

    @property
    def invocation_count(self) -> int: ...

    def branches_of_next(self, count: int) -> Sequence[int]: ...

    def now_ms(self) -> int: ...

    def open(
        self,
        kind: Kind,
        asked: str,
        says: str,
        *,
        groups: Callable[[], Groups] | None = None,
        label: str = "",
    ) -> Entry | None: ...

    def started(self, entry: Entry, child: ChildRun) -> None: ...

    async def memo(self, entry: Entry, value: Json) -> None: ...

    async def answers(self, nodes: Sequence[int]) -> list[Entry]: ...

    async def aside(self, work: Awaitable[Any]) -> Any: ...

    async def never(self) -> Any: ...

    def node_of(self, run_id: str) -> int | None: ...
