"""Metadata is in a run's record and in every start message: what leaves no room for all else is refused before anything is sent or stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace import (
    BulkPushEventWithMetadata,
    Context,
    Debounce,
    EmptyModel,
    Headrace,
)
from headrace.errors import PayloadTooLargeError
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

hatchet = Headrace()
LIMIT = 64 * 1024


@hatchet.task(on_events=["a"])
def plain(input: EmptyModel, ctx: Context) -> dict[str, int]:
    return {"metadata": len(str(ctx.additional_metadata))}


def metadata(size: int) -> dict[str, str]:
    """So many bytes as JSON."""
    return {"x": "y" * (size - len('{"x":""}'))}


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with local(hatchet, backend="memory", background=False) as running:
        yield running


WAYS: dict[str, Callable[[dict[str, Any]], object]] = {
    "run": lambda given: plain.run(additional_metadata=given, wait_for_result=False),
    "bulk": lambda given: plain.run_many(
        [plain.create_bulk_run_item(), plain.create_bulk_run_item(additional_metadata=given)],
        wait_for_result=False,
    ),
    "later": lambda given: plain.run(
        additional_metadata=given, delay=timedelta(days=1), wait_for_result=False
    ),
    "debounced": lambda given: plain.run(
        additional_metadata=given, debounce=Debounce("k", period=timedelta(seconds=5)), wait_for_result=False
    ),
    "runs.create": lambda given: hatchet.runs.create("plain", {}, additional_metadata=given),
    "event": lambda given: hatchet.event.push("a", {}, additional_metadata=given),
    "events": lambda given: hatchet.event.bulk_push(
        [BulkPushEventWithMetadata(key="a", payload={}, additional_metadata=given)]
    ),
    "cron": lambda given: hatchet.cron.create("plain", "c", "0 0 1 1 *", {}, additional_metadata=given),
    "scheduled": lambda given: hatchet.scheduled.create(
        "plain", datetime.now(UTC) + timedelta(days=1), {}, additional_metadata=given
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_too_much_is_refused_and_nothing_is_stored_or_sent(stack: LocalStack, way: str) -> None:
    before = stack.depth_of_all()
    with pytest.raises(
        PayloadTooLargeError, match=r"the additional_metadata of .* is 500,000 bytes; the limit is"
    ):
        WAYS[way](metadata(500_000))
    assert stack.depth_of_all() == before
    assert stack.runs() == []
    assert hatchet.cron.list().rows == []
    assert hatchet.scheduled.list().rows == []


@pytest.mark.parametrize("way", WAYS)
def test_as_much_as_there_may_be_comes_through(stack: LocalStack, way: str) -> None:
    WAYS[way](metadata(LIMIT))
    if way != "cron":
        stack.drain()
        runs = stack.runs()
        assert {run.metadata["x"] for run in runs if "x" in run.metadata} == {metadata(LIMIT)["x"]}
    assert stack.dead_letters() == 0
