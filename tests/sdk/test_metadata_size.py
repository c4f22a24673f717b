"""Metadata, and what is kept until it starts a run: what leaves no room for all else in its item is refused before anything is sent or stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace import (
    BulkPushEventWithMetadata,
    Context,
    Debounce,
    DefaultFilter,
    EmptyModel,
    Headrace,
    V1WebhookBasicAuth,
)
from headrace.errors import PayloadTooLargeError
from headrace.memory.secrets import MemorySecrets
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


BASIC = V1WebhookBasicAuth(username="u", password="p")
KEPT: dict[str, tuple[Callable[[dict[str, Any]], object], int, str]] = {
    "cron": (
        lambda given: hatchet.cron.create("plain", "big", "0 0 1 1 *", given, {}),
        256 * 1024,
        "the input of a cron of plain",
    ),
    "scheduled": (
        lambda given: hatchet.scheduled.create("plain", datetime.now(UTC) + timedelta(days=1), given, {}),
        256 * 1024,
        "the input of a later run of plain",
    ),
    "filter": (
        lambda given: hatchet.filters.create(plain.id, "true", "s", given),
        LIMIT,
        "the payload of a filter of plain",
    ),
    "webhook": (
        lambda given: hatchet.webhooks.create("GENERIC", "big", "'a'", BASIC, static_payload=given),
        256 * 1024,
        "webhook big: static_payload",
    ),
    "on_crons": (
        lambda given: Headrace().workflow(name="w", on_crons=["0 0 * * *"], cron_input=given),
        256 * 1024,
        "workflow w: cron_input",
    ),
    "default_filters": (
        lambda given: Headrace().workflow(
            name="w", default_filters=[DefaultFilter(expression="true", scope="s", payload=given)]
        ),
        LIMIT - len('{"0":}'),
        "workflow w: the payloads of default_filters",
    ),
}


@pytest.mark.parametrize("way", KEPT)
def test_what_is_kept_has_a_limit(stack: LocalStack, way: str) -> None:
    make, limit, what = KEPT[way]
    with pytest.raises(PayloadTooLargeError, match=f"{what} is .* bytes; the limit is"):
        make(metadata(limit + 1))
    secrets = hatchet.engine.secrets
    assert isinstance(secrets, MemorySecrets)
    assert (hatchet.cron.list().rows, hatchet.scheduled.list().rows, hatchet.filters.list().rows) == (
        [],
        [],
        [],
    )
    assert (hatchet.webhooks.list().rows, secrets.values) == ([], {})
    make(metadata(limit))


def test_an_event_comes_through_the_largest_filter(stack: LocalStack) -> None:
    hatchet.filters.create(plain.id, "true", "s", metadata(LIMIT))
    hatchet.event.push("a", {}, scope="s", additional_metadata=metadata(LIMIT - 1_000))
    stack.drain()
    assert [run.status for run in hatchet.runs.list().rows] == ["COMPLETED"]
    assert stack.dead_letters() == 0
