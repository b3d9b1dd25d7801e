"""Memory of 8 ready workers with dspy imported: all processes of each system, the calling one included.

What processes share is counted once (PSS). ProcessPoolExecutor is measured three times: with processes that start
afresh (`spawn`, and `forkserver`, the default since Python 3.14), and with forks of a program that has imported dspy.
A second figure is for the workers alone.
"""

from __future__ import annotations

from typing import Any

from harness import contender, machine
from harness.contender import Order
from harness.figures import Figure, Peer
from harness.settings import has_ray, parse, say

WORKERS = 8
MIB = 1 << 20
DSPEX = "dspex"
# The name, the system, the least ratio.
PEERS = (
    (f"ProcessPoolExecutor({WORKERS}), spawn", "processes-spawn", 5),
    (f"ProcessPoolExecutor({WORKERS}), forkserver", "processes-forkserver", 5),
    (f"ProcessPoolExecutor({WORKERS}), fork after the import of dspy", "processes-fork", None),
    (f"Ray, {WORKERS} actors", "ray", 10),
)


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    say(f"pool_memory: {WORKERS} workers of each system ...")
    rounds = settings.pick(3, 1)
    own = [_measure("dspex") for _ in range(rounds)]
    for name, system, ratio in PEERS:
        if system == "ray" and not has_ray():
            continue
        peer = [_measure(system) for _ in range(rounds)]
        for key, what in (("bytes", "all processes"), ("workers_bytes", "the workers alone")):
            Figure(
                "pool_memory",
                f"{WORKERS} ready workers, {what}",
                "MiB",
                [found[key] / MIB for found in own],
                Peer(name, [found[key] / MIB for found in peer], detail=_detail(peer)),
                {} if ratio is None else {"ratio_at_least": ratio},
                detail=_detail(own),
            ).emit(load)


def _measure(system: str) -> dict[str, Any]:
    found: dict[str, Any] = contender.run(Order("memory", system, WORKERS, "predict"))
    return found


def _detail(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"processes_mib": [round(process / MIB, 1) for process in found[-1]["processes"]]}


if __name__ == "__main__":
    main()
