"""What it costs to have an example executed by a cluster of three: a program that does nothing, 100,000 times.

CPU time of all processes of all nodes, from /proc, without what the program itself takes (a plain loop over it in one
process, measured in the same run); beside it the embedded node with the same work. Then the memory of each node at its
peak. And, in a second run, whether a tenth of the examples near the end costs more than the first: a run is looked at
for that, and each look is a command that takes CPU time from what is measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from harness import clusters, digits, machine, peer
from harness.clusters.base import NODES, Cluster
from harness.evaluations import Evaluations, Wanted
from harness.figures import Figure, Peer
from harness.node import Node
from harness.settings import CASES, directory_on_disk, parse, say

PROGRAM = "nothing.py:Nothing"
METRIC = "nothing.py:is_zero"
THREADS = 24
OVERHEAD_US = 300.0
MEMORY_MIB = 400.0
# What differs by less cannot be told from noise on two shared cores.
NOISE = 1.15
LOOK_SECONDS = 0.25
# So much of a run is before its end.
LAST = 0.95


@dataclass
class Reading:
    """How many examples were done, and what all processes of all nodes had spent by then."""

    done: int
    cpu: float


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    examples = settings.pick(100_000, 20_000)
    say(f"distributed_overhead: {examples} examples that take no time ...")
    with directory_on_disk() as place:
        devset = digits.write(place / "devset.jsonl", examples)
        loop = peer.evaluate(devset, 0, program=str(CASES / PROGRAM), metric=str(CASES / METRIC))
        own = 1e6 * loop.cpu / examples
        say(f"  a plain loop: {own:.0f} us an example")
        with Node(place / "embedded") as node:
            embedded = on_embedded(node, devset, examples, own)
            say(f"  embedded: {embedded:.0f} us beyond that")
        with clusters.own(place) as cluster:
            found = on_cluster(cluster, devset, examples)
    emit(found, examples, own, embedded, loop.score, load)


def on_embedded(node: Node, devset: Path, examples: int, own: float) -> float:
    """Microseconds an example beyond the program's own."""
    node.warm(devset)
    run = node.evaluate(devset, "--num-threads", str(THREADS), program=str(CASES / PROGRAM), metric=str(CASES / METRIC))
    return 1e6 * (run.node_cpu + run.workers_cpu) / examples - own


def on_cluster(cluster: Cluster, devset: Path, examples: int) -> dict[str, Any]:
    evaluations = Evaluations(cluster)
    evaluations.warm()
    wanted = Wanted(devset, program=PROGRAM, metric=METRIC, lm=None, threads=THREADS)
    spent = evaluations.evaluate(wanted)
    peak = [machine.peak_resident_bytes(node.pid) / (1 << 20) for node in cluster.nodes]
    looked_at = evaluations.begin(wanted)
    readings = watch(evaluations, looked_at)
    if (again := evaluations.ended(looked_at))["digest"] != spent.digest:
        raise RuntimeError(f"the second run is not as the first: {again}, and {spent.run}")
    return {
        "nodes_cpu_s": spent.nodes_cpu,
        "python_cpu_s": spent.python_cpu,
        "seconds": spent.seconds,
        "others_cpus": spent.others_cpus,
        "peak_mib": peak,
        "readings": readings,
        "score": spent.score,
    }


def watch(evaluations: Evaluations, run: str) -> list[Reading]:
    """From the first result to the end."""
    readings: list[Reading] = []
    while True:
        shown = evaluations.show(run, at=1)
        own, python = evaluations.cpu()
        if shown["done"]:
            readings.append(Reading(shown["done"], sum(own) + python))
        if shown["status"] != "running":
            return readings
        time.sleep(LOOK_SECONDS)


def between(readings: list[Reading], first: float, last: float, examples: int) -> float:
    """Microseconds of CPU time an example from one part of the run to another."""

    def spent(part: float) -> float:
        wanted = part * examples
        for early, late in pairwise(readings):
            if early.done <= wanted <= late.done and late.done > early.done:
                return early.cpu + (late.cpu - early.cpu) * (wanted - early.done) / (late.done - early.done)
        raise RuntimeError(f"the run was not seen at {wanted:.0f} examples: it has too few of them")

    return 1e6 * (spent(last) - spent(first)) / ((last - first) * examples)


def emit(found: dict[str, Any], examples: int, own: float, embedded: float, score: float, load: float) -> None:
    if found["score"] != score:
        raise RuntimeError(f"the cluster's score is {found['score']}, and a plain loop's {score}")
    readings = found.pop("readings")
    nodes, python = (1e6 * cpu / examples for cpu in (sum(found["nodes_cpu_s"]), found["python_cpu_s"]))
    beside = {"nodes_cpu_us": round(nodes, 1), "python_cpu_us": round(python, 1), "plain_loop_cpu_us": round(own, 1)}
    others = [found["others_cpus"]]
    Figure(
        "distributed_overhead",
        f"CPU time beyond the program's own, {NODES} nodes, an example of {examples}",
        "us",
        [nodes + python - own],
        Peer("embedded node", [embedded]),
        {"median_at_most": OVERHEAD_US},
        others_cpus=others,
        detail={**beside, **found},
    ).emit(load)
    Figure(
        "distributed_overhead",
        f"peak memory (RSS) of the largest of {NODES} nodes, {examples} examples",
        "MiB",
        [max(found["peak_mib"])],
        target={"median_at_most": MEMORY_MIB},
        others_cpus=others,
        detail={"each": found["peak_mib"]},
    ).emit(load)
    # The very first results come while workers still start, and with the last one all nodes compute score and digest of
    # all results: these are costs of a run, not of an example.
    begin, end = max(0.02, readings[0].done / examples), LAST
    tenths = [between(readings, begin, begin + 0.1, examples), between(readings, end - 0.1, end, examples)]
    of_the_last = between(readings, end, 1.0, examples)
    Figure(
        "distributed_overhead",
        f"CPU time of an example in a tenth before the last {1 - LAST:.0%} / in the first, {examples} examples",
        "times",
        [tenths[1] / tenths[0]],
        target={"median_at_most": NOISE},
        others_cpus=others,
        detail={
            "first_us": tenths[0],
            "last_us": tenths[1],
            "of_the_last_percents_us": of_the_last,
            "readings": len(readings),
        },
    ).emit(load)


if __name__ == "__main__":
    main()
