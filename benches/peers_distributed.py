"""The same evaluation by a cluster of three, by Ray and by Dask, each by its own idiom: digits, 50 ms a call.

Six workers with eight examples at once for each system (Ray: actors with threads; Dask: a local cluster and a future
for each example; DSPex: two for each node). Each is up when the evaluation is asked for, and nothing of the program has
been loaded anywhere. Then the same once more while a worker is killed with -9 at a quarter of the examples: what is
lost, how long it takes, and what the user sees.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from harness import clusters, contender, digits, machine
from harness.clusters.base import NODES, Cluster
from harness.contender import Order
from harness.evaluating import Memory
from harness.evaluations import Evaluations, Wanted
from harness.figures import Figure, Peer
from harness.settings import directory_on_disk, has_ray, parse, say

WORKERS, THREADS = 6, 8
LATENCY_MS = 50
PEERS = {"Ray": "ray", "Dask": "dask"}
LOOK_SECONDS = 0.01
KILL_AT = 0.25


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    examples, rounds = settings.pick(4_800, 2_400), settings.pick(3, 1)
    peers = {name: system for name, system in PEERS.items() if has_ray(name)}
    say(f"peers_distributed: {examples} examples of {LATENCY_MS} ms, {WORKERS * THREADS} at once ...")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("DSPex", *peers)}
    for _ in range(rounds):
        found["DSPex"].append(own(examples))
        tell("DSPex", found)
        for name, system in peers.items():
            options = {"examples": examples, "threads": THREADS}
            order = Order("evaluation", system, WORKERS, "digits", options, {digits.LATENCY: str(LATENCY_MS)})
            found[name].append(contender.run(order))
            tell(name, found)
    scores = {run["calm"]["score"] for runs in found.values() for run in runs}
    if len(scores) != 1:
        raise RuntimeError(f"the systems differ in the score: {scores}")
    for name in peers or {None: ""}:
        emit(found["DSPex"], name, found.get(name or "", []), examples, load)


def tell(name: str, found: dict[str, list[dict[str, Any]]]) -> None:
    calm, hard = found[name][-1]["calm"], found[name][-1]["hard"]
    say(f"  {name}: first after {calm['first_s']:.2f} s, all after {calm['total_s']:.2f} s")
    say(f"    a worker killed: {hard['total_s']:.2f} s, {hard['lost']} lost; the user sees: {hard['sees']}")


def own(examples: int) -> dict[str, Any]:
    """A cluster of three, fresh: as the peers, it has loaded nothing yet."""
    with directory_on_disk() as place:
        began = time.perf_counter()
        with clusters.own(place) as cluster:
            started = time.perf_counter() - began
            evaluations = Evaluations(cluster)
            devset = digits.write(place / "devset.jsonl", examples)
            wanted = Wanted(devset, latency_ms=LATENCY_MS, threads=WORKERS * THREADS, workers=WORKERS)

            def pids() -> set[int]:
                return machine.with_descendants({node.pid for node in cluster.nodes} | {os.getpid()})

            before = evaluations.cpu()
            with Memory(pids) as memory, machine.Others() as others:
                calm = evaluated(cluster, evaluations, wanted, kill=False)
                evaluations.settle()
            after = evaluations.cpu()
            cpu = sum(after[0]) - sum(before[0]) + after[1] - before[1]
            hard = evaluated(cluster, evaluations, wanted, kill=True)
    if calm.pop("digest") != hard.pop("digest"):
        raise RuntimeError(f"the digests differ: {calm} and {hard}")
    return {
        "start_s": started,
        "memory_bytes": memory.peak_bytes,
        "cpu_s": cpu,
        "others_cpus": others.settle(cpu),
        "calm": calm,
        "hard": hard,
    }


def evaluated(cluster: Cluster, evaluations: Evaluations, wanted: Wanted, *, kill: bool) -> dict[str, Any]:
    """The first result is when a look at the run shows one that is recorded, which may be some 20 ms late."""
    began = time.perf_counter()
    run = evaluations.begin(wanted)
    first, victim = 0.0, None
    while True:
        shown = evaluations.show(run)
        if shown["done"]:
            first = first or time.perf_counter() - began
        if shown["status"] != "running":
            break
        if kill and victim is None and shown["done"] >= KILL_AT * shown["examples"]:
            # As with the peers one that has something to do; here of a node that does not own the run.
            workers = evaluations.workers(1, run) or evaluations.workers(2, run) or evaluations.workers(0, run)
            victim = max(workers, key=lambda worker: worker["in_flight"])["pid"] if workers else None
            if victim is not None:
                os.kill(victim, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)
    if shown["status"] != "finished":
        raise RuntimeError(f"the evaluation did not succeed: {shown}\n{cluster.last_words()}")
    if kill and victim is None:
        raise RuntimeError("the run has ended before a worker could be killed")
    return {
        "first_s": first,
        "total_s": time.perf_counter() - began,
        "score": shown["score"],
        "lost": shown["examples"] - shown["done"] + shown["failed"],
        "repeated": shown["duplicates"],
        "sees": "nothing" if not shown["failed"] else f"{shown['failed']} failed examples",
        "digest": shown["digest"],
    }


def emit(own: list[dict[str, Any]], name: str | None, peer: list[dict[str, Any]], examples: int, load: float) -> None:
    def values(runs: list[dict[str, Any]], key: str) -> list[float]:
        if key == "memory":
            return [run["memory_bytes"] / (1 << 20) for run in runs]
        part, _, which = key.partition(".")
        return [run[part][which] for run in runs]

    others = [run["others_cpus"] for run in (*own, *peer)]
    figures = {
        "calm.first_s": ("until the first result", "s"),
        "calm.total_s": ("all results", "s"),
        "memory": ("all processes at their peak (PSS)", "MiB"),
        "hard.total_s": ("all results, a worker killed", "s"),
        "hard.lost": ("results lost, a worker killed", "examples"),
    }
    for key, (what, unit) in figures.items():
        first = key == "calm.first_s"
        Figure(
            "peers_distributed",
            f"{examples} examples, {NODES} nodes, {what}",
            unit,
            values(own, key),
            Peer(name, values(peer, key), detail={"runs": peer} if first else {}) if name else None,
            others_cpus=others,
            detail={"runs": own} if first else {},
        ).emit(load)


if __name__ == "__main__":
    main()
