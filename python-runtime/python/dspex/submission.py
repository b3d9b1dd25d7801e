"""What an evaluation asks of a node when it begins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dspex import trace_context
from dspex.client import Client, caller
from dspex.shipping import Shipment

_MAX_ERRORS = 2**32 - 1
_MAX_THREADS = 4096


@dataclass(frozen=True)
class Options:
    """What dspex.Evaluate takes beside dspy's arguments."""

    workers: int | None = None
    timeout: float | None = None
    retries: int = 1
    metric_on: str = "worker"
    fallback: str | None = None
    address: str | None = None
    detach: bool = False
    failure_score: float = 0.0


@dataclass(frozen=True)
class Uploaded:
    """A shipment, of which a node has payload and rows."""

    client: Client
    shipment: Shipment
    # Their digests.
    payload: str
    rows: str


def upload(client: Client, shipment: Shipment) -> Uploaded:
    """What is there already does no harm, so this may be repeated."""
    return Uploaded(client, shipment, client.put(shipment.payload), client.put(shipment.rows))


def submit(uploaded: Uploaded, executor: Any, examples: int, options: Options) -> dict[str, Any]:
    """Begin the run: the answer of `runs.submit`. Not to be repeated: it could begin another one."""
    evaluation = {
        "program": f"pickle:{uploaded.payload}",
        "metric": f"pickle:{uploaded.shipment.metric_name}",
        "file": {
            "digest": uploaded.rows,
            "name": "devset",
            "examples": examples,
            "columns": [],
            "envelopes": True,
        },
        "num_threads": threads_of(executor),
        "workers": options.workers,
        "timeout_ms": None if options.timeout is None else max(1, round(options.timeout * 1000)),
        "retries": options.retries,
        "max_errors": max_errors_of(executor),
        "failure_score": options.failure_score,
    }
    body = {
        "caller": _caller(uploaded.shipment.secrets),
        "evaluation": evaluation,
        "detach": options.detach,
        "traceparent": trace_context.current(),
    }
    return uploaded.client.call("runs.submit", body)


def threads_of(executor: Any) -> int:
    return min(max(int(executor.num_threads), 1), _MAX_THREADS)


def max_errors_of(executor: Any) -> int:
    """As a number that the node counts with: infinity is a common way of no limit."""
    number: int = math.ceil(min(max(executor.max_errors, 0), _MAX_ERRORS))
    return number


def _caller(secrets: Mapping[str, str]) -> dict[str, Any]:
    own = caller.caller()
    return {**own, "environment": {**own["environment"], **secrets}}
