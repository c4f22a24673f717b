"""OpenTelemetry: `headrace.opentelemetry.instrumentor.HatchetInstrumentor`. Needs the extra `otel`."""
