"""What a start asks for: the id that follows from what asks, and the metadata of its run."""

from __future__ import annotations

import pytest

from headrace.core.run.plans.plan import Json
from headrace.core.run.record import ParentLink
from headrace.core.run.request import Call, Child, Cron, Event, Origin, Schedule, derived_run_id, metadata_for

CHILD = Child(
    run_id="c1",
    parent=ParentLink(run_id="r1", task="a", index=0),
    first=0,
    metadata={"team": "blue", "by": "parent", "hatchet__parent_id": "r1"},
)
TICK = Cron(
    cron_id="c", name="nightly", expression="0 3 * * *", due_at_ms=1_000, due_at="2026-01-01T03:00:00Z"
)
EVENT = Event(event_id="e1", event_key="order:paid", source={"hatchet__source_id": "r0"})


@pytest.mark.parametrize(
    ("origin", "id"),
    [(Call(), None), (CHILD, "c1"), (Schedule(schedule_id="s", run_id="r9"), "r9")],
    ids=["a call", "a child", "a scheduled run"],
)
def test_an_id_that_is_given_or_made_anew(origin: Origin, id: str | None) -> None:
    assert derived_run_id("flow", origin) == id


def test_asking_twice_for_a_tick_or_an_event_is_one_run() -> None:
    again = Cron(cron_id="c", name="", expression="@daily", due_at_ms=1_000, due_at="")
    assert derived_run_id("flow", TICK) == derived_run_id("flow", again)
    assert derived_run_id("flow", EVENT) == derived_run_id("flow", Event(event_id="e1", event_key="other"))


def test_other_ticks_workflows_and_filters_are_other_runs() -> None:
    others: list[tuple[str, Origin]] = [
        ("flow", TICK),
        ("flow", Cron(cron_id="c", name="", expression="", due_at_ms=2_000, due_at="")),
        ("flow", Cron(cron_id="d", name="", expression="", due_at_ms=1_000, due_at="")),
        ("flow", EVENT),
        ("other", EVENT),
        ("flow", Event(event_id="e1", event_key="order:paid", filter_id="f")),
        ("flow", Event(event_id="e2", event_key="order:paid")),
    ]
    assert len({derived_run_id(workflow, origin) for workflow, origin in others}) == len(others)


GIVEN: dict[str, Json] = {"by": "me", "hatchet__event_id": "forged"}


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (Call(), {"by": "me"}),
        (Schedule(schedule_id="s", run_id="r9"), {"by": "me"}),
        (CHILD, {"team": "blue", "by": "me", "hatchet__parent_id": "r1"}),
        (
            TICK,
            {
                "by": "me",
                "hatchet__cron_expression": "0 3 * * *",
                "hatchet__cron_name": "nightly",
                "hatchet__cron_scheduled_at": "2026-01-01T03:00:00Z",
            },
        ),
        (
            Cron(cron_id="c", name="", expression="@daily", due_at_ms=1, due_at="t"),
            {"by": "me", "hatchet__cron_expression": "@daily", "hatchet__cron_scheduled_at": "t"},
        ),
        (
            EVENT,
            {
                "by": "me",
                "hatchet__source_id": "r0",
                "hatchet__event_id": "e1",
                "hatchet__event_key": "order:paid",
            },
        ),
    ],
    ids=["a call", "a scheduled run", "a child", "a tick", "a tick without a name", "an event"],
)
def test_metadata_says_what_started_the_run_and_cannot_be_forged(
    origin: Origin, expected: dict[str, Json]
) -> None:
    assert metadata_for(GIVEN, origin) == expected
