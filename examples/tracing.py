"""OpenTelemetry: one trace from the caller over the queue into a task and its children, printed as a tree.

Run it: python examples/tracing.py
"""

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace import Context, EmptyModel
from headrace.opentelemetry.instrumentor import HatchetInstrumentor
from quickstart import hatchet
from runtime import running


@hatchet.task(name="send-mail")
def send_mail(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"sent": "yes"}


@hatchet.task(name="close-order")
def close_order(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return send_mail.run()


def tree(spans: list[ReadableSpan], above: int | None = None, depth: int = 0) -> None:
    """Print the spans under `above`, by the time at which they began."""
    for span in sorted(spans, key=lambda each: each.start_time or 0):
        if (span.parent.span_id if span.parent else None) == above:
            attributes: dict[str, Any] = dict(span.attributes or {})
            print("  " * depth + span.name, attributes.get("hatchet.workflow_name", ""))
            tree(spans, span.context.span_id, depth + 1)


def main() -> None:
    exporter = InMemorySpanExporter()  # in an app: OTLPSpanExporter(), or another
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HatchetInstrumentor(tracer_provider=provider).instrument()
    with running(hatchet), provider.get_tracer("web").start_as_current_span("POST /orders"):
        close_order.run()
    tree(list(exporter.get_finished_spans()))


if __name__ == "__main__":
    main()
