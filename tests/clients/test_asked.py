"""A mistake in what a listing is asked for is a sentence, not an empty list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace import Context, EmptyModel, Headrace
from headrace_infra.testing import local

hatchet = Headrace()


@hatchet.task(on_events=["a"])
def plain(input: EmptyModel, ctx: Context) -> None: ...


@pytest.fixture(scope="module", autouse=True)
def _stack() -> Iterator[None]:
    with local(hatchet, backend="memory", background=False):
        yield


TIME = "is 'yesterday': give a datetime"
ASKED: list[tuple[Callable[..., Any], dict[str, Any], type[Exception], str]] = [
    (hatchet.runs.list, {"since": "yesterday"}, TypeError, f"since {TIME}"),
    (hatchet.runs.list, {"until": "yesterday"}, TypeError, f"until {TIME}"),
    (hatchet.runs.list, {"statuses": "FAILED"}, TypeError, r"statuses is 'FAILED': give a list, \['FAILED'\]"),
    (hatchet.runs.list, {"workflow_ids": "plain"}, TypeError, r"workflow_ids is 'plain': give a list"),
    (hatchet.runs.list, {"additional_metadata": "a=b"}, TypeError, "additional_metadata is 'a=b': give a dict"),
    (hatchet.event.list, {"since": "yesterday"}, TypeError, f"since {TIME}"),
    (hatchet.event.list, {"keys": "a"}, TypeError, "keys is 'a': give a list"),
    (hatchet.event.list, {"scopes": "a"}, TypeError, "scopes is 'a': give a list"),
    (hatchet.event.list, {"event_ids": "a"}, TypeError, "event_ids is 'a': give a list"),
    (hatchet.filters.list, {"scopes": "a"}, TypeError, "scopes is 'a': give a list"),
    (hatchet.filters.list, {"limit": 0}, ValueError, "a limit of at least 1"),
    (hatchet.workflows.list, {"offset": -1}, ValueError, "an offset of at least 0"),
    (hatchet.rate_limits.list, {"limit": -1}, ValueError, "a limit of at least 1"),
    (hatchet.scheduled.list, {"statuses": ["NOPE"]}, ValueError, r"statuses is \['NOPE'\]: give some of SCHEDULED, QUEUED"),
    (hatchet.cron.list, {"additional_metadata": "a=b"}, TypeError, "additional_metadata is 'a=b'"),
    (hatchet.metrics.get_task_metrics, {"since": "yesterday"}, TypeError, f"since {TIME}"),
    (hatchet.logs.list, {"task_run_id": "x", "since": "yesterday"}, TypeError, f"since {TIME}"),
    (hatchet.workers.get, {"worker_id": None}, TypeError, "a worker's id is its name, a str, not NoneType"),
]  # fmt: skip


@pytest.mark.parametrize(("listing", "given", "error", "message"), ASKED)
def test_what_cannot_be_asked(
    listing: Callable[..., Any], given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        listing(**given)
