"""kill -9 of one of 8 workers with 400 requests under way: how many get no answer, or a wrong one.

A request waits for 20 ms and doubles a number. Every system is used as it comes: no retries of one's own around it.
"""

from __future__ import annotations

from typing import Any

from harness import contender, machine
from harness.contender import Order
from harness.figures import Figure, Peer
from harness.settings import has_ray, parse, say

WORKERS = 8
CALLS = 400
LIMIT_SECONDS = 20
PEERS = {
    f"ProcessPoolExecutor({WORKERS})": "processes",
    f"multiprocessing.Pool({WORKERS})": "mp_pool",
    f"Ray, {WORKERS} actors": "ray",
    "Ray, tasks": "ray_tasks",
}


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    say(f"pool_kill: {CALLS} requests, and at most {LIMIT_SECONDS} s for what is missing ...")
    rounds = settings.pick(5, 1)
    own = [_measure("dspex") for _ in range(rounds)]
    for name, system in PEERS.items():
        if system.startswith("ray") and not has_ray():
            continue
        peer = [_measure(system) for _ in range(rounds)]
        Figure(
            "pool_kill",
            f"lost or wrong of {CALLS}",
            "requests",
            [_missing(found) for found in own],
            Peer(name, [_missing(found) for found in peer], detail={"runs": peer}),
            {"median_at_most": 0},
            detail={"runs": own, "most": max(map(_missing, own))},
        ).emit(load)


def _measure(system: str) -> dict[str, Any]:
    options = {"calls": CALLS, "limit": LIMIT_SECONDS}
    found: dict[str, Any] = contender.run(Order("kill", system, WORKERS, "slow_double", options))
    return found


def _missing(found: dict[str, Any]) -> int:
    return int(found["lost"] + found["wrong"])


if __name__ == "__main__":
    main()
