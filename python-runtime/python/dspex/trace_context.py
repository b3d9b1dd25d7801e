"""The current span of the driver, named for others (W3C trace context), where the program uses OpenTelemetry."""

from __future__ import annotations

import sys


def current() -> str | None:
    """`traceparent`, or None: no OpenTelemetry, or no span."""
    if "opentelemetry" not in sys.modules:
        return None
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return None
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")
