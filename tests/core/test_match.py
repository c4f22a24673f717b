"""Which runs an event starts: its key against the patterns of workflows, then their filters."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from headrace.core.events.event import Event, Trigger
from headrace.core.events.match import Decided, Filter, decide, matches
from headrace.core.run.plans.plan import Json
from headrace.errors import ExpressionError


@pytest.mark.parametrize(
    ("pattern", "key", "hit"),
    [
        ("user:created", "user:created", True),
        ("user:created", "User:created", False),
        ("user:created", "user:created:now", False),
        ("user:*", "user:", True),
        ("user:*", "user:a:b", True),
        ("*:created", "user:created", True),
        ("*", "", True),
        ("a*c*e", "abcde", True),
        ("a*c*e", "abde", False),
        ("a.c*", "abc", False),  # a dot is a dot
        ("a*", "a\nb", True),
    ],
)
def test_a_pattern_and_a_key(pattern: str, key: str, hit: bool) -> None:
    assert matches(pattern, key) is hit


def evaluate(expression: str, given: Mapping[str, Json]) -> Json:
    """Expressions of these tests: a name of what is given, a literal, or one that has no value."""
    literals: dict[str, Json] = {"true": True, "false": False, "7": 7}
    if expression in literals:
        return literals[expression]
    if expression == "big":
        found = given["input"]
        return isinstance(found, dict) and found.get("n", 0) > 5  # type: ignore[operator]
    if expression == "of filter":
        return given["payload"] == {"plan": "pro"} and given["event_key"] == "k"
    if expression == "of metadata":
        return given["additional_metadata"] == {"by": "ann"}
    raise ExpressionError(f"{expression!r} has no value")


def filter_of(
    expression: str, *, scope: str = "s", id: str = "f", payload: Mapping[str, Json] | None = None
) -> Filter:
    return Filter(filter_id=id, workflow="flow", expression=expression, scope=scope, payload=payload or {})


EVENT = Event(event_id="e", key="k", pushed_at_ms=1, payload='{"n":9}', scope="s", metadata={"by": "ann"})
RUNS = Trigger(workflow="flow", filter_id="f")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], Decided(triggers=(Trigger(workflow="flow"),))),
        ([filter_of("true")], Decided(triggers=(RUNS,))),
        ([filter_of("false")], Decided()),
        ([filter_of("big")], Decided(triggers=(RUNS,))),
        ([filter_of("of metadata")], Decided(triggers=(RUNS,))),
        (
            [filter_of("of filter", payload={"plan": "pro"})],
            Decided(triggers=(Trigger(workflow="flow", filter_id="f", payload={"plan": "pro"}),)),
        ),
        ([filter_of("true", scope="another")], Decided()),
        (
            [filter_of("true", id="f"), filter_of("true", id="g")],
            Decided(triggers=(RUNS, Trigger(workflow="flow", filter_id="g"))),
        ),
        (
            [filter_of("broken", id="b"), filter_of("true")],
            Decided(
                triggers=(RUNS,),
                problems=("workflow flow: filter b: 'broken' has no value",),
            ),
        ),
        (
            [filter_of("7")],
            Decided(problems=("workflow flow: filter f: '7' gave 7: a filter must give true or false",)),
        ),
    ],
)
def test_the_runs_of_a_workflow_with_filters(filters: list[Filter], expected: Decided) -> None:
    assert decide(EVENT, [("flow", ["k"])], {"flow": filters}, evaluate) == expected


def test_an_event_without_a_scope_passes_no_filter() -> None:
    event = Event(event_id="e", key="k", pushed_at_ms=1)
    assert decide(event, [("flow", ["k"])], {"flow": [filter_of("true")]}, evaluate) == Decided()


def test_each_workflow_with_a_pattern_that_fits_runs_once() -> None:
    of = [("a", ["x", "k", "*"]), ("b", ["x"]), ("c", ["k*"])]
    assert [each.workflow for each in decide(EVENT, of, {}, evaluate).triggers] == ["a", "c"]
