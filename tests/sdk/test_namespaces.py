"""Namespaces keep environments of one stack apart: queues, slots, limits, what is published, and what is read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace import ConcurrencyExpression, Context, EmptyModel, Headrace, RateLimit, RateLimitDuration
from headrace.engine.catalog.workflows import all_published
from headrace.memory.wiring import connect
from headrace.ports import Ports
from headrace.settings.settings import Settings


def environment(ports: Ports, namespace: str) -> Headrace:
    """One environment: the same code, the same names."""
    app = Headrace(config=Settings(namespace=namespace))

    @app.task(
        name="job",
        concurrency=ConcurrencyExpression("input.user", 1),
        rate_limits=[
            RateLimit(static_key="api"),
            RateLimit(dynamic_key="input.user", units=1, limit=5, duration=RateLimitDuration.MINUTE),
        ],
    )
    def job(input: EmptyModel, ctx: Context) -> None: ...

    app.worker("w", slots=2, workflows=[job])
    app.use(ports)
    app.rate_limits.put("api", 100)
    app._publish()
    return app


@pytest.fixture
def ports() -> Ports:
    return connect()


def test_each_has_its_own_queue(ports: Ports) -> None:
    prod, staging = environment(ports, "prod"), environment(ports, "Staging")
    prod._workflows_by_name["prod_job"].run(EmptyModel(user="u"), wait_for_result=False)  # type: ignore[call-arg]  # any input
    assert ports.queues.receive("staging_w", limit=1, wait_s=0, visibility_s=1) == []
    assert len(ports.queues.receive("prod_w", limit=1, wait_s=0, visibility_s=1)) == 1
    assert [worker.name for worker in staging.workers.list().rows] == ["staging_w"]
    assert staging.workers.get("w").name == staging.workers.get("staging_w").name == "staging_w"
    assert Headrace(config=Settings(namespace="dev"))._fleet()[0].name == "dev_default"


def test_a_worker_is_asked_for_by_its_short_name(ports: Ports) -> None:
    prod = environment(ports, "prod")
    job = prod._workflows_by_name["prod_job"]
    for name in ("w", "prod_w"):
        assert job.run(EmptyModel(user="u"), desired_worker_id=name, wait_for_result=False)  # type: ignore[call-arg]  # any input


def test_limits_and_slots_are_their_own(ports: Ports) -> None:
    prod, staging = environment(ports, "prod"), environment(ports, "staging")
    staging.rate_limits.put("api", 1)
    assert [(row.key, row.limit_value) for row in prod.rate_limits.list().rows] == [("api", 100)]
    assert [(row.key, row.limit_value) for row in staging.rate_limits.list().rows] == [("api", 1)]
    [ours], [theirs] = (app._workflows_by_name[f"{app.namespace}job"].plan().tasks for app in (prod, staging))
    assert {rate.key for rate in ours.rates}.isdisjoint(rate.key for rate in theirs.rates)
    assert not set(prod._registry.gate_limits) & set(staging._registry.gate_limits)
    run_id = (
        prod._workflows_by_name["prod_job"].run(EmptyModel(user="u"), wait_for_result=False).workflow_run_id
    )  # type: ignore[call-arg]  # any input
    from headrace.core.run.stored.record import record_of
    from headrace.core.table import run_key

    routing = record_of(ports.store.get(run_key(run_id)) or {}).routing
    assert [getattr(each, "key", None) for each in routing.rates] == ["prod_u"]


def test_what_is_published_and_run_is_read_by_its_own(ports: Ports) -> None:
    prod, staging, all_of_it = (
        environment(ports, "prod"),
        environment(ports, "staging"),
        Headrace(config=Settings()),
    )
    all_of_it.use(ports)
    run_id = (
        prod._workflows_by_name["prod_job"].run(EmptyModel(user="u"), wait_for_result=False).workflow_run_id
    )  # type: ignore[call-arg]  # any input
    assert sorted(all_published(staging.engine)) == ["prod_job", "staging_job"]
    assert [row.name for row in staging.workflows.list().rows] == ["staging_job"]
    assert staging.runs.list(since=None).rows == []
    for act in (staging.runs.get, staging.runs.get_status, staging.runs.get_details, staging.runs.cancel):
        with pytest.raises(ValueError, match=f"Workflow run {run_id} not found"):
            act(run_id)
    assert prod.runs.get_status(run_id) == all_of_it.runs.get_status(run_id) == "QUEUED"
    all_of_it.runs.cancel(run_id)
    assert prod.runs.get_status(run_id) == "CANCELLED"
    with pytest.raises(ValueError, match="no workflow 'staging_elsewhere'"):
        staging.workflows.pause("elsewhere", timedelta(hours=1))
