"""How a pool is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

_WORST = {"ok": 0, "warning": 1, "error": 2}


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers of a pool do what, and what became of its calls."""

    pool: str
    # Ready ones; on their way; emptied by `dspex worker drain`.
    workers: int = 0
    starting: int = 0
    drained: int = 0
    # Of the ready ones: would take a call at once; execute.
    available: int = 0
    busy: int = 0
    # Calls that wait for a worker, and that workers have.
    queued: int = 0
    in_flight: int = 0
    # Calls since the pool began; of these, failed by raising, by a death or a limit; of these, found no worker in time.
    requests: int = 0
    errors: int = 0
    queue_timeouts: int = 0
    # Calls that were refused because the queue was full. They are no requests.
    refused: int = 0
    # Workers that were started in place of others.
    restarts: int = 0
    # "ok", "warning" or "error", over the last minute, and why.
    health: str = "ok"
    health_reasons: list[str] = []
    # Whose workers they are.
    interpreter: str = ""
    directory: str = ""


_COUNTS = tuple(name for name in PoolStats.__struct_fields__ if PoolStats.__annotations__[name] == "int")


def read(items: Iterable[dict[str, Any]]) -> list[PoolStats]:
    """From the answer of `pools.stats`."""
    return [msgspec.convert(item, PoolStats) for item in items]


def of(items: list[PoolStats], interpreter: str, directory: str) -> list[PoolStats]:
    """Those whose workers a caller gets; all, where the node has an environment of its own."""
    own = [item for item in items if (item.interpreter, item.directory) == (interpreter, directory)]
    return own or items


def total(pool: str, items: Iterable[PoolStats]) -> PoolStats:
    """Of all the environments that a node has such a pool for; zeros where it has none yet."""
    items = list(items)
    if len(items) == 1:
        return items[0]
    counts: dict[str, int] = {name: sum(getattr(item, name) for item in items) for name in _COUNTS}
    health = max((item.health for item in items), key=lambda health: _WORST.get(health, 2), default="ok")
    reasons = [reason for item in items for reason in item.health_reasons]
    return PoolStats(pool=pool, health=health, health_reasons=reasons, **counts)  # type: ignore[arg-type]
