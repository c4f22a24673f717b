"""Spans: one trace from the caller over the queue into tasks and their children, with every kind of start; and none where it is off."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagators.aws import AwsXRayPropagator
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from headrace import (
    Context,
    DurableContext,
    EmptyModel,
    FailedTaskRunExceptionGroup,
    Headrace,
    OpenTelemetryConfig,
    OTelAttribute,
    Settings,
)
from headrace.opentelemetry.instrumentor import HatchetInstrumentor
from headrace_infra.local.stack import LocalStack
from headrace_infra.testing import local

app = Headrace(config=Settings())


@app.task()
def leaf(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return {"metadata": ctx.additional_metadata}


@app.task()
def parent(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return leaf.run()


@app.task(retries=1)
async def flaky(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    if ctx.retry_count == 0:
        raise ValueError("not yet")
    return {}


@app.task(execution_timeout=timedelta(seconds=0.2))
async def slow(input: EmptyModel, ctx: Context) -> None:
    import asyncio

    await asyncio.sleep(30)


diamond = app.workflow(name="diamond")


@diamond.task()
def left(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return {}


@diamond.task()
def right(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return {}


@diamond.task(parents=[left, right])
def join(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return {}


@app.task(on_events=["order:paid"])
def on_paid(input: EmptyModel, ctx: Context) -> dict[str, Any]:
    return {}


@app.durable_task()
async def patient(input: EmptyModel, ctx: DurableContext) -> dict[str, Any]:
    await ctx.aio_sleep_for(timedelta(minutes=5))
    await ctx.aio_sleep_for(timedelta(minutes=5))
    return {"invocations": ctx.invocation_count}


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with local(app, backend="memory", background=False) as running:
        yield running


class Traced:
    """The spans of this process, collected in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("test")

    def instrument(self, **otel: Any) -> None:
        settings = Settings(stack="acme", log_payloads=True, otel=OpenTelemetryConfig(**otel))
        HatchetInstrumentor(tracer_provider=self.provider, config=settings).instrument()

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str, task: str | None = None) -> list[ReadableSpan]:
        return [
            span
            for span in self.spans
            if span.name == name and task in (None, (span.attributes or {}).get("hatchet.step_name"))
        ]

    def one(self, name: str, task: str | None = None) -> ReadableSpan:
        [span] = self.named(name, task)
        return span


@pytest.fixture
def traced() -> Iterator[Traced]:
    found = Traced()
    found.instrument()
    yield found
    HatchetInstrumentor(tracer_provider=found.provider).uninstrument()


def is_under(child: ReadableSpan, above: ReadableSpan) -> bool:
    return (
        child.parent is not None
        and child.parent.span_id == above.context.span_id
        and child.context.trace_id == above.context.trace_id
    )


def test_one_trace_leads_from_the_caller_over_the_queue_into_the_task_and_its_child(traced: Traced) -> None:
    with local(app, backend="memory"):
        with traced.tracer.start_as_current_span("request") as request:
            ref = parent.run(wait_for_result=False)
        ref.result()
    started = traced.named("hatchet.run_workflow")
    ran, child = traced.one("hatchet.start_step_run", "parent"), traced.one("hatchet.start_step_run", "leaf")
    assert is_under(started[0], request)  # type: ignore[arg-type]
    assert is_under(ran, started[0])
    assert is_under(started[1], ran)
    assert is_under(child, started[1])
    assert (started[0].kind, ran.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert ran.status.status_code is StatusCode.OK
    said = dict(ran.attributes or {})
    assert said["hatchet.workflow_run_id"] == said["hatchet.step_run_id"] == ref.workflow_run_id
    assert said["hatchet.tenant_id"] == "acme"
    assert said["hatchet.workflow_name"] == "parent"
    assert said["hatchet.retry_count"] == 0
    assert (child.attributes or {})["hatchet.parent_workflow_run_id"] == ref.workflow_run_id


def test_the_context_is_w3c_s_in_the_metadata(stack: LocalStack, traced: Traced) -> None:
    ref = leaf.run(additional_metadata={"mine": 1}, wait_for_result=False)
    stack.drain()
    seen = ref.result()["metadata"]
    context = traced.one("hatchet.run_workflow").context
    flags = f"{int(context.trace_flags):02x}"
    assert seen == {
        "mine": 1,
        "traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags}",
    }


def test_each_attempt_has_a_span_and_an_error_is_recorded(stack: LocalStack, traced: Traced) -> None:
    flaky.run(wait_for_result=False)
    stack.drain()
    first, second = traced.named("hatchet.start_step_run")
    assert first.status.status_code is StatusCode.ERROR
    assert first.status.description == "ValueError: not yet"
    [event] = first.events
    assert event.name == "exception"
    said = dict(event.attributes or {})
    assert said["exception.type"] == "ValueError"
    assert "raise ValueError" in str(said["exception.stacktrace"])
    assert second.status.status_code is StatusCode.OK
    assert [(span.attributes or {})["hatchet.retry_count"] for span in (first, second)] == [0, 1]
    assert first.context.trace_id == second.context.trace_id


def test_a_timeout_ends_the_span_with_hatchet_s_words(stack: LocalStack, traced: Traced) -> None:
    ref = slow.run(wait_for_result=False)
    stack.drain()
    with pytest.raises(FailedTaskRunExceptionGroup):
        ref.result()
    assert (
        traced.one("hatchet.start_step_run").status.description
        == "HatchetError: Task exceeded timeout of 0.2s"
    )


def test_a_task_links_to_the_parents_that_it_fans_in(stack: LocalStack, traced: Traced) -> None:
    diamond.run(wait_for_result=False)
    stack.drain()
    started = traced.one("hatchet.run_workflow")
    spans = {name: traced.one("hatchet.start_step_run", name) for name in ("left", "right", "join")}
    assert all(is_under(span, started) for span in spans.values())
    assert {link.context.span_id for link in spans["join"].links} == {
        spans["left"].context.span_id,
        spans["right"].context.span_id,
    }
    assert spans["left"].links == ()


def test_tasks_of_a_run_that_no_one_traced_are_one_trace(stack: LocalStack, traced: Traced) -> None:
    HatchetInstrumentor().uninstrument()
    diamond.run(wait_for_result=False)
    traced.instrument()
    stack.drain()
    left_, join_ = traced.one("hatchet.start_step_run", "left"), traced.one("hatchet.start_step_run", "join")
    assert left_.parent is None
    assert is_under(join_, left_)


def test_a_bulk_run_is_one_span_or_one_for_each_run(stack: LocalStack, traced: Traced) -> None:
    items = [leaf.create_bulk_run_item() for _ in range(3)]
    leaf.run_many(items, wait_for_result=False)
    stack.drain()
    bulk = traced.one("hatchet.run_workflows")
    assert (bulk.attributes or {})["hatchet.num_workflows"] == 3
    assert (bulk.attributes or {})["hatchet.unique_workflow_names"] == '["leaf"]'
    assert [is_under(span, bulk) for span in traced.named("hatchet.start_step_run")] == [True] * 3
    assert traced.named("hatchet.run_workflow") == []

    traced.exporter.clear()
    traced.instrument(individual_run_spans_for_bulk_run=True)
    leaf.run_many(items, wait_for_result=False)
    stack.drain()
    bulk, each = traced.one("hatchet.run_workflows"), traced.named("hatchet.run_workflow")
    assert [is_under(span, bulk) for span in each] == [True] * 3
    ids = {span.context.span_id for span in each}
    assert {span.parent.span_id for span in traced.named("hatchet.start_step_run") if span.parent} == ids


def test_an_event_hands_its_trace_to_the_runs_that_it_starts(stack: LocalStack, traced: Traced) -> None:
    app.event.push("order:paid", {})
    stack.drain()
    pushed, started = traced.one("hatchet.push_event"), traced.one("hatchet.run_workflow")
    assert (pushed.attributes or {})["hatchet.event_key"] == "order:paid"
    assert is_under(started, pushed)
    attempt = traced.one("hatchet.start_step_run", "on_paid")
    assert is_under(attempt, started)
    said = attempt.attributes or {}
    assert said["hatchet.triggering_event_key"] == "order:paid"
    assert said["hatchet.triggering_event_external_id"]


def test_a_bulk_push_is_one_span(stack: LocalStack, traced: Traced) -> None:
    from headrace import BulkPushEventWithMetadata

    app.event.bulk_push([BulkPushEventWithMetadata(key="order:paid", payload={}) for _ in range(2)])
    stack.drain()
    pushed = traced.one("hatchet.bulk_push_event")
    assert (pushed.attributes or {})["hatchet.num_events"] == 2
    assert (pushed.attributes or {})["hatchet.unique_event_keys"] == '["order:paid"]'
    assert [is_under(span, pushed) for span in traced.named("hatchet.run_workflow")] == [True, True]


def test_a_scheduled_run_hangs_under_the_call_that_scheduled_it(stack: LocalStack, traced: Traced) -> None:
    leaf.schedule(datetime.fromtimestamp(stack.engine.clock.now_ms() / 1000, UTC) + timedelta(minutes=1))
    stack.drain()
    scheduled = traced.one("hatchet.schedule_workflow")
    started = traced.one("hatchet.run_workflow")
    assert is_under(started, scheduled)
    assert is_under(traced.one("hatchet.start_step_run", "leaf"), started)


def test_a_durable_wait_has_one_span_however_often_its_task_is_replayed(
    stack: LocalStack, traced: Traced
) -> None:
    ref = patient.run(wait_for_result=False)
    stack.drain()
    for _ in range(3):
        stack.advance(timedelta(minutes=5, seconds=1))
    assert ref.result() == {"invocations": 3}
    attempts = traced.named("hatchet.start_step_run", "patient")
    assert [bool((span.attributes or {}).get("hatchet.suspended")) for span in attempts] == [
        True,
        True,
        False,
    ]
    first, second = traced.named("hatchet.durable.wait_for")
    assert is_under(first, attempts[0])
    assert is_under(second, attempts[1])
    of_first = first.attributes or {}
    assert of_first["hatchet.wait_for"] == "a sleep of 0:05:00"
    assert (of_first["hatchet.num_conditions"], of_first["hatchet.step_run_id"]) == (1, ref.workflow_run_id)


def test_a_cancelled_run_is_a_span_under_its_attempt(traced: Traced) -> None:
    begun = threading.Event()
    other = Headrace(config=Settings())

    @other.task()
    async def endless(input: EmptyModel, ctx: Context) -> None:
        import asyncio

        begun.set()
        await asyncio.sleep(30)

    with local(other, backend="memory"):
        ref = endless.run(wait_for_result=False)
        assert begun.wait(10)
        other.runs.cancel(ref.workflow_run_id)
        with pytest.raises(ValueError, match="cancelled"):
            ref.result()
    assert is_under(traced.one("hatchet.cancel_step_run"), traced.one("hatchet.start_step_run"))


def test_what_spans_say_is_a_matter_of_settings(stack: LocalStack, traced: Traced) -> None:
    traced.instrument(
        excluded_attributes=[OTelAttribute.ADDITIONAL_METADATA, "priority"],
        include_task_name_in_start_step_run_span_name=True,
    )
    leaf.run(additional_metadata={"secret": "x"}, wait_for_result=False)
    stack.drain()
    span = traced.one("hatchet.start_step_run.leaf:leaf")
    said = dict(span.attributes or {})
    assert not {"hatchet.additional_metadata", "hatchet.priority"} & said.keys()
    assert said["instrumentor"] == "hatchet"


def test_inputs_are_in_spans_only_where_they_may_be_logged(stack: LocalStack, traced: Traced) -> None:
    app.event.push("order:open", {"card": "4242"})
    assert (traced.one("hatchet.push_event").attributes or {})["hatchet.payload"] == '{"card":"4242"}'
    traced.exporter.clear()
    HatchetInstrumentor(tracer_provider=traced.provider, config=Settings()).instrument()
    app.event.push("order:open", {"card": "4242"})
    assert "4242" not in str(traced.one("hatchet.push_event").to_json())
    stack.drain()


@pytest.mark.parametrize("junk", ["", "no trace", "00-zz-11-01", 7, None, {"a": 1}])
def test_metadata_that_holds_no_trace_is_metadata(stack: LocalStack, traced: Traced, junk: Any) -> None:
    HatchetInstrumentor().uninstrument()
    leaf.run(additional_metadata={"traceparent": junk}, wait_for_result=False)
    traced.instrument()
    stack.drain()
    assert traced.one("hatchet.start_step_run").parent is None


def test_a_span_that_ends_wrong_starts_no_run_and_says_so(stack: LocalStack, traced: Traced) -> None:
    with pytest.raises(ValueError, match="no workflow 'nothing'"):
        app.stubs.workflow(name="nothing").run(wait_for_result=False)
    assert traced.one("hatchet.run_workflow").status.status_code is StatusCode.ERROR


def test_x_ray_goes_along_by_its_own_propagator(stack: LocalStack, traced: Traced) -> None:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(AwsXRayPropagator())
    try:
        ref = leaf.run(wait_for_result=False)
        stack.drain()
        context = traced.one("hatchet.run_workflow").context
        trace_id = f"{context.trace_id:032x}"
        root = f"Root=1-{trace_id[:8]}-{trace_id[8:]};Parent={context.span_id:016x};Sampled=1"
        assert ref.result()["metadata"]["X-Amzn-Trace-Id"] == root
        assert is_under(traced.one("hatchet.start_step_run"), traced.one("hatchet.run_workflow"))
        traced.exporter.clear()
        HatchetInstrumentor().uninstrument()
        leaf.run(additional_metadata={"X-Amzn-Trace-Id": root}, wait_for_result=False)
        traced.instrument()
        stack.drain()
        assert traced.one("hatchet.start_step_run").context.trace_id == context.trace_id
    finally:
        propagate.set_global_textmap(before)


def test_the_process_s_own_provider_is_the_default() -> None:
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider), "another test has set one"
    HatchetInstrumentor().instrument()  # no provider is there yet: spans go nowhere, and nothing breaks
    try:
        with local(app, backend="memory"):
            assert "traceparent" not in leaf.run()["metadata"]
    finally:
        HatchetInstrumentor().uninstrument()


# ---------------------------------------------------------------- over the wire


class Receiver(HTTPServer):
    """Takes OTLP over HTTP, as a collector does."""

    def __init__(self) -> None:
        self.took: list[ExportTraceServiceRequest] = []
        super().__init__(("127.0.0.1", 0), self._handler())

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        took = self.took

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                took.append(
                    ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None: ...

        return Handler

    @property
    def names(self) -> list[str]:
        return sorted(
            span.name
            for request in self.took
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        )


def test_an_invocation_hands_its_spans_to_an_otlp_receiver_before_it_ends() -> None:
    """A Lambda function may be frozen as soon as it has answered: what a batch processor holds would wait for the next invocation."""
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{receiver.server_port}/v1/traces")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    HatchetInstrumentor(tracer_provider=provider).instrument()
    try:
        with local(app, backend="memory", background=False) as stack:
            leaf.run(wait_for_result=False)
            stack.drain()
            assert receiver.names == ["hatchet.run_workflow", "hatchet.start_step_run"]
    finally:
        HatchetInstrumentor().uninstrument()
        provider.shutdown()
        receiver.shutdown()
        receiver.server_close()


OFF = """
import sys
from headrace import Context, EmptyModel, Headrace
from headrace_infra.testing import local
app = Headrace()

@app.task()
def leaf(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {}

with local(app, backend="memory"):
    leaf.run()
found = sorted(name for name in sys.modules if name.startswith(("opentelemetry", "headrace.opentelemetry", "headrace.telemetry")))
print(*found, "headrace.engine.runs.traced" in sys.modules)
"""


def test_without_an_instrumentor_no_tracer_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFF],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [
        "headrace.telemetry",
        "headrace.telemetry.events",
        "headrace.telemetry.prometheus",
        "headrace.telemetry.tracing",
        "False",
    ]
