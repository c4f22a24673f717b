"""Which runs an event starts: keys with wildcards, and filters (PARITY G3, G4). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache

from headrace.core.events.event import Event, Trigger, payload_of
from headrace.core.run.plans.plan import Json
from headrace.core.values import dataclass
from headrace.errors import ExpressionError

Evaluate = Callable[[str, Mapping[str, Json]], Json]
"""The value of a CEL expression; raises ExpressionError where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter of a workflow. `declared`: its definition says it. Times in milliseconds."""

    filter_id: str
    workflow: str
    expression: str
    scope: str
    payload: Mapping[str, Json] = field(default_factory=dict)
    declared: bool = False
    created_at_ms: int = 0
    updated_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The runs to start, in the order of their workflows, and what was wrong with filters: they count as not true."""

    triggers: tuple[Trigger, ...] = ()
    problems: tuple[str, ...] = ()


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def matches(pattern: str, key: str) -> bool:
    """Whether the key is what the pattern says. `*` stands for any characters, none included; case counts."""
    return _pattern(pattern).fullmatch(key) is not None if "*" in pattern else pattern == key


def decide(
    event: Event,
    on_events: Iterable[tuple[str, Sequence[str]]],
    filters: Mapping[str, Sequence[Filter]],
    evaluate: Evaluate,
) -> Decided:
    """The runs that an event starts, of the workflows with their patterns in `on_events`.

    A workflow without a filter always runs. One with any runs once for each filter that has the event's scope and whose expression is
    true; an event without a scope passes none.
    """
    triggers: list[Trigger] = []
    problems: list[str] = []
    payload: Json = None
    for workflow, patterns in on_events:
        if not any(matches(pattern, event.key) for pattern in patterns):
            continue
        mine = filters.get(workflow, ())
        if not mine:
            triggers.append(Trigger(workflow=workflow))
            continue
        for each in mine:
            if event.scope is None or each.scope != event.scope:
                continue
            payload = payload_of(event) if payload is None else payload
            try:
                if passes(each, event, payload, evaluate):
                    triggers.append(
                        Trigger(workflow=workflow, filter_id=each.filter_id, payload=each.payload)
                    )
            except ExpressionError as error:
                problems.append(f"workflow {workflow}: filter {each.filter_id}: {error}")
    return Decided(triggers=tuple(triggers), problems=tuple(problems))


def passes(each: Filter, event: Event, payload: Json, evaluate: Evaluate) -> bool:
    """Whether the filter's expression is true of the event. ExpressionError where it cannot be evaluated or is no bool."""
    value = evaluate(
        each.expression,
        {
            "input": payload,
            "payload": dict(each.payload),
            "additional_metadata": dict(event.metadata),
            "event_key": event.key,
        },
    )
    if not isinstance(value, bool):
        raise ExpressionError(f"{each.expression!r} gave {value!r}: a filter must give true or false")
    return value
