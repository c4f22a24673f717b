"""What a page asks of AWS, and of this process: the same with ten thousand runs as with ten."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.pace import pace_of_work

from headrace import Context, EmptyModel, Headrace
from headrace.core.changes import Key
from headrace.memory.store import MemoryStore
from headrace_dashboard.app import Dashboard
from headrace_dashboard.security import Access
from headrace_infra.testing import local

MANY = 10_000
A_RUN, A_LIST = 4, 20
NOW = 30
"""The first page is two lists, failed runs and open ones, and the gates."""

CPU_S = 0.05


class Calls:
    """The store of a stack; counts requests as DynamoDB does: a batch of a hundred reads is one."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.made: Counter[str] = Counter()

    def get_many(self, keys: Sequence[Key], **options: Any) -> Any:
        self.made["get_many"] += -(-len(keys) // 100)
        return self._store.get_many(keys, **options)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)

        def counted(*given: Any, **options: Any) -> Any:
            self.made[name] += 1
            return found(*given, **options)

        return counted


class Pages:
    """A dashboard whose requests are counted."""

    def __init__(self, hatchet: Headrace) -> None:
        self.hatchet = hatchet
        engine = hatchet.engine
        assert isinstance(engine.store, MemoryStore)
        self.calls = Calls(engine.store)
        hatchet.use(replace(engine, store=self.calls))
        access = Access(session=None, hosts=frozenset())
        self.client = TestClient(Dashboard(hatchet=hatchet, access=access).app())

    def requests(self, path: str) -> int:
        """Of the second time that a page is opened: what is kept in memory is there."""
        for _ in range(2):
            self.calls.made.clear()
            answer = self.client.get(path)
            assert answer.status_code == 200, answer.text
        return self.calls.made.total()

    def cpu_s(self, path: str) -> float:
        """The least of five times: others use this machine, too."""
        return min(self._once(path) for _ in range(5))

    def _once(self, path: str) -> float:
        began = time.process_time()
        self.client.get(path)
        return time.process_time() - began


LISTS = (
    "/",
    "/runs",
    "/runs?status=FAILED",
    "/runs?status=RUNNING",
    "/workflows",
    "/workflows/order",
    "/gates",
    "/schedules",
    "/workers",
)


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The pages of a stack, the id of a run of its workflow, and what the pages took of it when it had a hundred runs."""

    pages: Pages
    run_id: str
    cpu_s: Mapping[str, float]


@pytest.fixture(scope="module")
def large() -> Iterator[Stack]:
    """A stack whose rare workflow ran before ten thousand runs of another, which are over: failed, one in ten of the first hundred."""
    hatchet = Headrace()

    @hatchet.task(name="import-catalogue")
    def load(input: EmptyModel, ctx: Context) -> dict[str, int]:
        if ctx.additional_metadata.get("fail"):
            raise ValueError("row 17: the price is not a number")
        return {"rows": 3}

    flow = hatchet.workflow(name="order")

    @flow.task()
    def reserve(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"reserved": 2}

    @flow.task(parents=[reserve])
    def ship(input: EmptyModel, ctx: Context) -> dict[str, int]:
        return {"shipped": 2}

    with local(hatchet, backend="memory", background=False) as stack:
        hatchet._publish()
        run_id = hatchet.runs.create("order", {}).run.metadata.id
        for n in range(100):
            load.run(additional_metadata={"fail": n % 10 == 0}, wait_for_result=False)
        stack.drain()
        few = Pages(hatchet)
        cpu_s = {path: few.cpu_s(path) for path in (*LISTS, f"/runs/{run_id}")}
        hatchet.use(replace(hatchet.engine, store=few.calls._store))
        for _ in range(MANY // 100):
            load.run_many([load.create_bulk_run_item() for _ in range(100)], wait_for_result=False)
            stack.clock.advance(1)
        yield Stack(pages=Pages(hatchet), run_id=run_id, cpu_s=cpu_s)


def test_a_run_s_page_makes_few_requests(large: Stack) -> None:
    assert large.pages.requests(f"/runs/{large.run_id}") <= A_RUN, large.pages.calls.made


@pytest.mark.parametrize("path", LISTS)
def test_a_list_makes_few_requests(large: Stack, path: str) -> None:
    assert large.pages.requests(path) <= (NOW if path == "/" else A_LIST), large.pages.calls.made


def test_a_page_takes_little_of_this_process(large: Stack) -> None:
    limit_s = CPU_S * pace_of_work()
    assert {path: cpu for path, cpu in large.cpu_s.items() if cpu > limit_s} == {}


def test_a_list_that_stops_looking_says_so_and_goes_on_where_it_stopped(large: Stack) -> None:
    """Which runs are RUNNING is in their records only; none of the newest is."""
    page = large.pages.client.get("/runs?status=RUNNING").text
    assert "No run matches." in page
    further = re.search(r'href="([^"]+)">Look further back', page)
    assert further is not None
    older = large.pages.client.get(further[1].replace("&amp;", "&"))
    assert older.status_code == 200
    again = re.search(r'href="([^"]+)">Look further back', older.text)
    assert again is None or again[1] != further[1]
