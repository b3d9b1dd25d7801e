"""Many idle sessions of one value of 128 bytes, beside as many keys of etcd: disk, memory, and a start with them.

A node is stopped as an operator stops it, before there are any and when all are there: what its data directory has
grown by, divided by their number, is what one takes of the disk. Then it is started again, until it answers a stale
read, and until it answers a linearizable one.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

from harness import consensus, machine
from harness.clusters.base import NODES, Cluster
from harness.figures import Figure
from harness.settings import parse, say

START_SECONDS = 300
# Key of a round -> what the figure is called, its unit, and what it is divided by.
KEYS = {
    "disk_bytes": ("a node's data directory", "MiB", 1 << 20),
    "disk_bytes_each": ("growth of a node's data directory for each", "bytes", 1),
    "stale_ms": ("a node's start until a stale read", "ms", 1),
    "linearizable_ms": ("a node's start until a linearizable read", "ms", 1),
    "memory_bytes": ("memory of a node (RSS)", "MiB", 1 << 20),
}


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    sessions, rounds, starts = settings.pick(100_000, 10_000), settings.pick(3, 1), settings.pick(3, 1)
    say(f"idle_sessions: {rounds} rounds with {sessions} sessions ...")
    contest = consensus.contest(rounds, lambda cluster: measure(cluster, sessions, starts))
    for key, (what, unit, divisor) in KEYS.items():
        ours, theirs = ([found[key] / divisor for found in side] for side in (contest.own, contest.peer))
        # Once for all figures.
        first = key == "disk_bytes"
        beside = consensus.etcd(theirs, {"runs": contest.peer} if first else {})
        detail = {"runs": contest.own, "sync_ms": contest.sync_ms} if first else {}
        Figure("idle_sessions", f"{sessions} sessions, {what}", unit, ours, beside, detail=detail).emit(load)


def measure(cluster: Cluster, sessions: int, starts: int) -> dict[str, Any]:
    # One that follows.
    number = (cluster.agree() + 1) % NODES
    node = cluster.nodes[number]
    cluster.stop(number)
    before = machine.disk_bytes(node.data)
    cluster.start(number)
    cluster.agree()
    memory_before = machine.resident_bytes(node.pid)
    filled = cluster.ask("fill", keys=sessions, clients=256, connections_per_node=4)
    say(f"    {sessions} sessions were written in {filled['seconds']:.1f} s")
    cluster.agree()
    cluster.stop(number)
    after, lies_in = machine.disk_bytes(node.data), parts(node.data)
    times = [start(cluster, number, f"idle-{sessions - 1:06}") for _ in range(starts)]
    memory = machine.resident_bytes(node.pid)
    return {
        "disk_bytes_each": (after - before) / sessions,
        "disk_bytes": after,
        "disk_bytes_before": before,
        "disk_parts": lies_in,
        "stale_ms": median(stale for stale, _ in times),
        "linearizable_ms": median(linearizable for _, linearizable in times),
        "memory_bytes": memory,
        "memory_bytes_before": memory_before,
        "fill_s": filled["seconds"],
    }


def start(cluster: Cluster, number: int, key: str) -> tuple[float, float]:
    """Milliseconds from the start of the process to its answers."""
    if cluster.nodes[number].process is not None:
        cluster.stop(number)
    began = time.monotonic()
    cluster.start(number)
    found = cluster.ask("first_answer", node=number, key=key, limit_s=START_SECONDS)
    return 1000 * (found["stale_at_s"] - began), 1000 * (found["linearizable_at_s"] - began)


def parts(data: Path) -> dict[str, int]:
    """Where the bytes lie."""
    found: dict[str, int] = {}
    for path in sorted(data.rglob("*")):
        if path.is_file():
            place = "/".join(path.relative_to(data).parts[:-1]) or "."
            found[place] = found.get(place, 0) + 512 * path.lstat().st_blocks
    return found


if __name__ == "__main__":
    main()
