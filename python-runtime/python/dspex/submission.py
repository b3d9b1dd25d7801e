"""What an evaluation asks of a node when it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dspex import trace_context
from dspex.client import Client, caller
from dspex.shipping import Shipment, code, secrets

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
    environment: str | None = None
    failure_score: float = 0.0
    strategy: str = "auto"


@dataclass(frozen=True)
class Uploaded:
    """A shipment, of which a node has payload and rows."""

    client: Client
    shipment: Shipment
    # Their digests.
    payload: str
    rows: str
    # Code and environment, for a node that is not the embedded one.
    shipped: dict[str, Any] | None


def upload(client: Client, shipment: Shipment, environment: str | None = None) -> Uploaded:
    """What is there already does no harm, so this may be repeated."""
    shipped = None if client.embedded else _shipped(client, shipment, environment)
    return Uploaded(client, shipment, client.put(shipment.payload), client.put(shipment.rows), shipped)


def _shipped(client: Client, shipment: Shipment, environment: str | None) -> dict[str, Any]:
    """The project is packed, searched for secrets and sent by the client process, unless the node has it."""
    needed = code.of(shipment.modules)
    bundle = ""
    if needed.root is not None:
        body = {"root": needed.root, "files": needed.files, "secrets": secrets.of_environment()}
        bundle = client.call("bundles.put", body)["digest"]
    return code.as_sent(needed, bundle, environment)


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
        "shipped": uploaded.shipped,
    }
    body = {
        "caller": _caller(uploaded),
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


def _caller(uploaded: Uploaded) -> dict[str, Any]:
    own = caller.caller()
    if uploaded.shipped is not None:
        # That node gives its workers an environment of its own, so this one stays here, with its secrets.
        return {**own, "environment": {}}
    return {**own, "environment": {**own["environment"], **uploaded.shipment.secrets}}
