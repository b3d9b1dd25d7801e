"""The caller's trace context in user code: spans that it opens hang beneath the node's.

Only where the program uses OpenTelemetry itself: then its API is imported already; nothing is installed here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_NOTHING = nullcontext()


def under(traceparent: str | None) -> AbstractContextManager[None]:
    """Within, the current context is the remote span that `traceparent` (W3C) names."""
    if traceparent is None or "opentelemetry" not in sys.modules:
        return _NOTHING
    return _under(traceparent)


@contextmanager
def _under(traceparent: str) -> Iterator[None]:
    try:
        from opentelemetry import context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        token = context.attach(TraceContextTextMapPropagator().extract({"traceparent": traceparent}))
    except Exception:
        # A broken telemetry package must not fail the user's call.
        yield
        return
    try:
        yield
    finally:
        context.detach(token)
