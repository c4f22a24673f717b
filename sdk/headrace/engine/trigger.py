"""Start runs: send first, then write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headrace.core.plan import Json, RunPlan
from headrace.core.record import ParentLink, RunRecord
from headrace.engine.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a client asks for. `input` is JSON text or None; `run_id` only where it is derived (children)."""

    plan: RunPlan
    input: str | None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    priority: int = 1
    parent: ParentLink | None = None
    run_id: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


def start(engine: Engine, new: NewRun) -> RunRecord:
    """Start one run; it is durably stored on return. PayloadTooLargeError before anything is sent."""
    raise NotImplementedError


def start_many(
    engine: Engine, news: Sequence[NewRun], *, progress: Callable[[int], None] | None = None
) -> list[RunRecord]:
    """Start many: messages in batches, records in parallel. All inputs are checked before the first is sent."""
    raise NotImplementedError
