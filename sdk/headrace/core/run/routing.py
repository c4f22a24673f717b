"""What was decided about a run when it was started, beyond its plan: where it runs, and what its expressions gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import TypeAlias

from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass


@dataclass(frozen=True, slots=True)
class NotEvaluated:
    """An expression that could not be evaluated, and why: the task that needs it fails with this reason."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RateUnits:
    """The units that a task takes of a rate limit. `limit` None: that of the limit's own item."""

    key: str
    units: int
    limit: int | None = None


Key: TypeAlias = str | NotEvaluated
Units: TypeAlias = RateUnits | NotEvaluated


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """`workers`: by task, the worker chosen for it where that is not its plan's. `required_labels`: by task, what a process has to
    be labelled with to take it (`core.labels`). `keys`: of the concurrency limits whose key is an expression, in the order of the
    plan. `rates`: of the rate limits that have an expression, in the order of the plan. `order`: the run's place among those
    that were started in one call. `held_key`: the idempotency key that the run's end releases. `filter_payload`: of the filter by which
    an event started the run, as JSON. `batch_keys`: by batch task, the value of its group key. `input_bytes`: of a run with batch tasks
    whose input is not in its record. `starts_at_ms`: before then its first tasks are not queued; None: at once. `reply_to`: the reply queue of the process
    that started the run and waits for it."""

    workers: Mapping[str, str] = field(default_factory=dict)
    required_labels: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    rates: tuple[Units, ...] = ()
    order: int = 0
    held_key: str | None = None
    filter_payload: str | None = None
    batch_keys: Mapping[str, Key] = field(default_factory=dict)
    input_bytes: int = 0
    starts_at_ms: int | None = None
    reply_to: str | None = None


AS_PLANNED = Routing()
"""Nothing beyond the plan."""


def encode_routing(routing: Routing) -> str:
    """As compact JSON, without what is empty. A reason stands alone in a list."""
    out: dict[str, Json] = {}
    if routing.workers:
        out["w"] = dict(routing.workers)
    if routing.required_labels:
        out["d"] = dict(routing.required_labels)
    if routing.keys:
        out["k"] = [_encode_key(each) for each in routing.keys]
    if routing.rates:
        out["r"] = [_encode_units(each) for each in routing.rates]
    if routing.order:
        out["n"] = routing.order
    if routing.held_key is not None:
        out["ik"] = routing.held_key
    if routing.filter_payload is not None:
        out["fp"] = routing.filter_payload
    if routing.batch_keys:
        out["b"] = {task: _encode_key(each) for task, each in routing.batch_keys.items()}
    if routing.input_bytes:
        out["z"] = routing.input_bytes
    if routing.starts_at_ms is not None:
        out["at"] = routing.starts_at_ms
    if routing.reply_to is not None:
        out["rq"] = routing.reply_to
    return json.dumps(out, separators=(",", ":"), ensure_ascii=False)


def _encode_key(key: Key) -> Json:
    return [key.reason] if isinstance(key, NotEvaluated) else key


def _decode_key(raw: str | list[str]) -> Key:
    return raw if isinstance(raw, str) else NotEvaluated(raw[0])


def _encode_units(units: Units) -> Json:
    if isinstance(units, NotEvaluated):
        return [units.reason]
    return [units.key, units.units, units.limit]


def decode_routing(text: str) -> Routing:
    """The routing that `encode_routing` wrote. KeyError, TypeError or ValueError where the text is none."""
    raw = json.loads(text)
    return Routing(
        workers=raw.get("w", {}),
        required_labels=raw.get("d", {}),
        keys=tuple(_decode_key(each) for each in raw.get("k", ())),
        rates=tuple(_decode_units(each) for each in raw.get("r", ())),
        order=raw.get("n", 0),
        held_key=raw.get("ik"),
        filter_payload=raw.get("fp"),
        batch_keys={task: _decode_key(each) for task, each in raw.get("b", {}).items()},
        input_bytes=raw.get("z", 0),
        starts_at_ms=raw.get("at"),
        reply_to=raw.get("rq"),
    )


def _decode_units(raw: list[Json]) -> Units:
    if len(raw) == 1:
        return NotEvaluated(str(raw[0]))
    key, units, limit = raw
    if not isinstance(units, int) or not isinstance(limit, int | None):
        raise ValueError(f"no units of a rate limit: {raw!r}")
    return RateUnits(key=str(key), units=units, limit=limit)
