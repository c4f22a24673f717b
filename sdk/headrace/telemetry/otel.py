"""Headrace's spans, made with OpenTelemetry: `HatchetInstrumentor().instrument()`.

The context of a span travels in a run's metadata (`traceparent`, and whatever else the process's propagator writes), which the one
door puts there: so one trace leads from the caller over the queue into the task, and on into its children.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, assert_never

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace.settings.environment import from_environment
from headrace.telemetry import tracing
from headrace.telemetry.otel_attributes import Attributes
from headrace.telemetry.tracing import Ended, Failed, Returned, Stopped, WentToSleep

if TYPE_CHECKING:
    from headrace.core.durable.log import Entry
    from headrace.core.events.event import Event
    from headrace.core.run.plans.plan import Json
    from headrace.core.run.record import ErrorInfo, RunRecord
    from headrace.core.run.request import StartRun
    from headrace.settings.settings import Settings

FLUSH_MS = 5_000
"""How long an invocation waits at its end for the exporter to take what was collected."""

_W3C = TraceContextTextMapPropagator()


class HatchetInstrumentor:
    """Spans for the runs that this process starts and the tasks that it runs.

        HatchetInstrumentor(tracer_provider=provider).instrument()

    tracer_provider: default: the process's own, also one that is set later. config: default: from the environment; its `otel`
    says what spans are called and which attributes they leave out, `log_payloads` whether inputs are among them.
    meter_provider, enable_hatchet_otel_collector, schedule_delay_millis, max_export_batch_size, max_queue_size: accepted, and without
    effect: there is no collector of Hatchet's to send to. The exporter is the provider's.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: Any = None,
        config: Settings | None = None,
        enable_hatchet_otel_collector: bool = True,
        schedule_delay_millis: int | None = None,
        max_export_batch_size: int | None = None,
        max_queue_size: int | None = None,
    ) -> None:
        self.tracer_provider = tracer_provider
        self.meter_provider = meter_provider
        self._config = config

    @cached_property
    def config(self) -> Settings:
        return self._config if self._config is not None else from_environment()

    def instrument(self, *, tracer_provider: TracerProvider | None = None) -> None:
        """Make spans from here on, in this process. Whatever was instrumented before is replaced."""
        tracing.install(_Spans(tracer_provider or self.tracer_provider, self.config))

    def uninstrument(self) -> None:
        """Make no more spans."""
        tracing.install(None)


class _Spans:
    """`tracing.Tracing` on OpenTelemetry."""

    def __init__(self, provider: TracerProvider | None, settings: Settings) -> None:
        self._provider = provider
        self._settings = settings
        self._tracer: Tracer = trace.get_tracer("headrace", tracer_provider=provider)
        self._attributes = Attributes(settings)

    # ---- what is asked for

    @contextmanager
    def starting(self, wanted: Sequence[StartRun]) -> Iterator[Sequence[StartRun]]:
        parent = _parent([each.options.metadata for each in wanted])
        if len(wanted) == 1:
            with self._producer("hatchet.run_workflow", self._attributes.of_start(wanted[0]), parent):
                yield [_carrying(wanted[0])]
            return
        with self._producer("hatchet.run_workflows", self._attributes.of_starts(wanted), parent):
            if not self._settings.otel.individual_run_spans_for_bulk_run:
                yield [_carrying(each) for each in wanted]
                return
            yield [self._of_its_own(each) for each in wanted]

    def _of_its_own(self, wanted: StartRun) -> StartRun:
        with self._producer("hatchet.run_workflow", self._attributes.of_start(wanted), None):
            return _carrying(wanted)

    @contextmanager
    def pushing(self, events: Sequence[Event], *, bulk: bool) -> Iterator[Sequence[Event]]:
        name = "hatchet.bulk_push_event" if bulk else "hatchet.push_event"
        with self._producer(name, self._attributes.of_events(events, bulk=bulk), None):
            yield [replace(each, metadata=_with_trace(each.metadata)) for each in events]

    @contextmanager
    def scheduling(
        self, workflow: str, due_ms: int, metadata: Mapping[str, Json]
    ) -> Iterator[Mapping[str, Json]]:
        attributes = self._attributes.of_schedule(workflow, due_ms, metadata)
        with self._producer("hatchet.schedule_workflow", attributes, None):
            yield _with_trace(metadata)

    def _producer(self, name: str, attributes: Mapping[str, Any], parent: Context | None) -> Any:
        return self._tracer.start_as_current_span(
            name, context=parent, kind=SpanKind.PRODUCER, attributes=attributes
        )

    # ---- what runs

    def attempt(self, worker: str, work: Sequence[tuple[RunRecord, str]]) -> _Attempt:
        record, task = work[0]
        name = "hatchet.start_step_run"
        if self._settings.otel.include_task_name_in_start_step_run_span_name:
            name = f"{name}.{record.plan.workflow}:{task}"
        parent, links = _origin(record, task)
        attributes = self._attributes.of_attempt(worker, record, task)
        if len(work) > 1:
            attributes["hatchet.batch_size"] = len(work)
            parent, links = (
                None,
                [Link(found) for each, _ in work if (found := _origin_span(each)) is not None],
            )
        span = self._tracer.start_span(
            name,
            context=parent if parent is not None else Context(),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=links,
        )
        return _Attempt(self._tracer, span, parent)

    def waiting(self, task_external_id: str, wait: Entry, says: str) -> Callable[[], None]:
        attributes = self._attributes.of_wait(task_external_id, wait, says)
        span = self._tracer.start_span("hatchet.durable.wait_for", attributes=attributes)
        return span.end

    def flush(self) -> None:
        provider = self._provider or trace.get_tracer_provider()
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            flush(FLUSH_MS)


class _Attempt:
    """`tracing.AttemptSpan` on OpenTelemetry."""

    def __init__(self, tracer: Tracer, span: Span, parent: Context | None) -> None:
        self._tracer, self._span = tracer, span
        self._context = trace.set_span_in_context(span, parent)
        self._ended = False
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        found = self._span.get_span_context()
        return f"{found.trace_id:032x}-{found.span_id:016x}"

    def enter(self) -> None:
        otel_context.attach(self._context)

    def end(self, how: Ended) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        match how:
            case Returned():
                self._span.set_status(StatusCode.OK)
            case Failed(error):
                _record(self._span, error)
            case Stopped():
                self._tracer.start_span("hatchet.cancel_step_run", context=self._context).end()
            case WentToSleep():
                self._span.set_attribute("hatchet.suspended", True)
            case _:
                assert_never(how)
        self._span.end()


def _record(span: Span, error: ErrorInfo) -> None:
    span.set_status(StatusCode.ERROR, f"{error.type}: {error.message}")
    span.add_event(
        "exception",
        {
            "exception.type": error.type,
            "exception.message": error.message,
            "exception.stacktrace": error.trace,
        },
    )


# ---------------------------------------------------------------- the context, in metadata


def _carrying(wanted: StartRun) -> StartRun:
    return replace(wanted, options=replace(wanted.options, metadata=_with_trace(wanted.options.metadata)))


def _with_trace(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """Metadata with the current span's context: W3C's always, and what the process's propagator writes."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    propagate.inject(carrier)
    return {**metadata, **carrier}


def _context_in(metadata: Mapping[str, Json]) -> Context | None:
    """The context that metadata carries; None where it carries none, or none that can be read."""
    carrier = {name: value for name, value in metadata.items() if isinstance(value, str)}
    found = propagate.extract(carrier, context=Context())
    if not trace.get_current_span(found).get_span_context().is_valid:
        found = _W3C.extract(carrier, context=found)
    return found if trace.get_current_span(found).get_span_context().is_valid else None


def _parent(carried: Sequence[Mapping[str, Json]]) -> Context | None:
    """What a start hangs under where no span is open here: what an event or a schedule brought along. None: the open span."""
    if trace.get_current_span().get_span_context().is_valid:
        return None
    return next((found for metadata in carried if (found := _context_in(metadata)) is not None), None)


def _origin_span(record: RunRecord) -> SpanContext | None:
    found = _context_in(record.metadata)
    return trace.get_current_span(found).get_span_context() if found is not None else None


def _origin(record: RunRecord, task: str) -> tuple[Context | None, list[Link]]:
    """What an attempt hangs under, which is what started its run, and links to its parents' spans, which the rows name.

    A run that no traced process has started is one trace all the same: its later tasks hang under the first parent.
    """
    parents = [record.tasks[name] for name in record.plan.task(task).parents if name in record.tasks]
    before = [found for row in parents if row.span and (found := _span_named(row.span)) is not None]
    links = [Link(found) for found in before]
    context = _context_in(record.metadata)
    if context is None and before:
        context = trace.set_span_in_context(trace.NonRecordingSpan(before[0]), Context())
    return context, links


def _span_named(name: str) -> SpanContext | None:
    trace_id, _, span_id = name.partition("-")
    try:
        found = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    except ValueError:
        return None
    return found if found.is_valid else None
