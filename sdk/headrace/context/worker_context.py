"""Hatchet's views of an attempt's worker and of its payload, for code that has them: `ctx.worker`, `ctx.data`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from headrace.core.values import dataclass


class _Attempt(Protocol):
    """What a Context knows of its worker."""

    @property
    def worker_id(self) -> str: ...

    @property
    def worker_labels(self) -> dict[str, str | int]: ...

    def upsert_worker_labels(self, labels: Mapping[str, str | int]) -> None: ...

    async def aio_upsert_worker_labels(self, labels: Mapping[str, str | int]) -> None: ...


class WorkerContext:
    """The worker that an attempt runs on."""

    def __init__(self, context: _Attempt) -> None:
        self._context = context

    def id(self) -> str:
        """The worker's name."""
        return self._context.worker_id

    def labels(self) -> dict[str, str | int]:
        """Its labels, as they are now."""
        return self._context.worker_labels

    def upsert_labels(self, labels: Mapping[str, str | int]) -> None:
        """Add or replace labels: see `ctx.upsert_worker_labels`. NotSupportedError on Lambda."""
        self._context.upsert_worker_labels(labels)

    async def async_upsert_labels(self, labels: Mapping[str, str | int]) -> None:
        """As `upsert_labels`, without blocking the event loop."""
        await self._context.aio_upsert_worker_labels(labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPayload:
    """What an attempt is given, as plain JSON.

    parents: by name, what the parents returned that have completed. step_run_errors: why the run's failed tasks failed.
    triggered_by: "event" or "manual". overrides, user_data: nothing sets them.
    """

    input: Mapping[str, Any]
    parents: Mapping[str, Mapping[str, Any]]
    step_run_errors: Mapping[str, str]
    triggers: Mapping[str, Any]
    filter_payload: Mapping[str, Any]
    triggered_by: str
    overrides: Mapping[str, Any] | None = None
    user_data: Mapping[str, Any] | None = None
