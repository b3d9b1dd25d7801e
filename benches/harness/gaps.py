"""How long nothing is written around an event: the median, the worst, and what stands beside them."""

from __future__ import annotations

from statistics import median
from typing import Any

from harness import consensus
from harness.consensus import Contest
from harness.figures import Figure

# What the load generator answered.
Gap = dict[str, Any]


def emit(benchmark: str, contest: Contest[list[Gap]], load: float) -> None:
    own, peer = ([gap for block in side for gap in block] for side in (contest.own, contest.peer))
    ours, theirs = ([gap["gap_ms"] for gap in side] for side in (own, peer))
    detail = {**_detail(own), "sync_ms": contest.sync_ms}
    beside = consensus.etcd(theirs, _detail(peer))
    Figure(benchmark, f"no write, median of {len(ours)}", "ms", ours, beside, detail=detail).emit(load)
    worst = consensus.etcd([max(theirs)] if theirs else [], {})
    Figure(benchmark, f"no write, worst of {len(ours)}", "ms", [max(ours)], worst).emit(load)
    ours, theirs = ([gap["failures"] for gap in side] for side in (own, peer))
    Figure(benchmark, "writes not answered within 1 s", "writes", ours, consensus.etcd(theirs, {})).emit(load)


def _detail(gaps: list[Gap]) -> dict[str, Any]:
    if not gaps:
        return {}
    # How long writes wait for each other without any event: a gap of this length says nothing.
    return {"gap_before_ms": median(gap["gap_before_ms"] for gap in gaps), "runs": gaps}
