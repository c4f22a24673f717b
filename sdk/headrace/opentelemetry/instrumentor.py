"""Spans for runs and tasks, under the name that code written for Hatchet imports: see `HatchetInstrumentor`."""

from headrace.telemetry.otel import HatchetInstrumentor

__all__ = ["HatchetInstrumentor"]
