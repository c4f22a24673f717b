"""What a workflow says of events: the keys that start it, and the filters that they must pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from headrace.core.events.event import MAX_KEY_BYTES
from headrace.core.sizes import MAX_CARRIED_BYTES, check_size
from headrace.core.values import dataclass
from headrace.engine.catalog.workflows import DeclaredFilter
from headrace.errors import DefinitionError
from headrace.values.codec import metadata_of
from headrace.values.expressions import check


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultFilter:
    """A filter that is declared with its workflow: events of `scope` for which the CEL `expression` is true start it.

    `expression` sees `input` (the event's payload), `payload` (this filter's), `additional_metadata` and `event_key`. Once a workflow has
    a filter, events without a scope do not start it.
    """

    expression: str
    scope: str
    payload: Mapping[str, Any] = field(default_factory=dict)


def check_key(key: object, what: str) -> str:
    """The key of an event as it is; DefinitionError where it is none."""
    if not isinstance(key, str) or not key.strip():
        raise DefinitionError(f"{what} is {key!r}: give the key of an event, such as 'user:created'")
    size = len(key.encode())
    if size > MAX_KEY_BYTES:
        raise DefinitionError(f"{what} is {size:,} bytes long; the limit is {MAX_KEY_BYTES}")
    return key


def check_on_events(given: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """The patterns of `on_events`. DefinitionError where one is no key."""
    if given is None:
        return ()
    if isinstance(given, str):
        raise DefinitionError(f"{where}: on_events is {given!r}: give a list, [{given!r}]")
    return tuple(check_key(each, f"{where}: on_events[{place}]") for place, each in enumerate(given))


def check_filters(given: Sequence[Any] | None, where: str) -> tuple[DeclaredFilter, ...]:
    """The filters of `default_filters`. DefinitionError where an expression does not parse, or there is no scope; PayloadTooLargeError
    where their payloads are too large: all are in the item of their workflow, and one in each run."""
    found = tuple(
        _declared(each, f"{where}: default_filters[{place}]") for place, each in enumerate(given or ())
    )
    payloads = {str(place): each.payload for place, each in enumerate(found)}
    check_size(f"{where}: the payloads of default_filters", payloads, MAX_CARRIED_BYTES)
    return found


def _declared(given: Any, what: str) -> DeclaredFilter:
    if not isinstance(given, DefaultFilter):
        raise DefinitionError(f"{what} is {given!r}: give DefaultFilter(expression=..., scope=...)")
    return DeclaredFilter(
        expression=check(given.expression, f"{what}: expression"),
        scope=check_scope(given.scope, what),
        payload=metadata_of(given.payload),
    )


def check_scope(scope: object, what: str) -> str:
    """The scope of a filter as it is; DefinitionError where it is none."""
    if not isinstance(scope, str) or not scope:
        raise DefinitionError(
            f"{what}: scope is {scope!r}: give what the events that it is for are pushed with, such as 'customer-1'"
        )
    return scope


def check_event_patterns(given: Sequence[Any] | None, where: str) -> tuple[Mapping[str, Any], ...]:
    """EventBridge patterns. DefinitionError where one is no pattern (EventBridge user guide, "Event patterns")."""
    if isinstance(given, Mapping | str):
        raise DefinitionError(f"{where}: event_patterns is {given!r}: give a list of patterns")
    for place, each in enumerate(given or ()):
        what = f"{where}: event_patterns[{place}]"
        if not isinstance(each, Mapping) or not each:
            raise DefinitionError(
                f'{what} is {each!r}: give a pattern of EventBridge, such as {{"source": ["aws.s3"]}}'
            )
        for name, value in each.items():
            if not isinstance(value, list | Mapping):
                raise DefinitionError(
                    f"{what}: {name} is {value!r}: a pattern names lists of values, [{value!r}]"
                )
    return tuple(given or ())
