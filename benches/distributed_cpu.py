"""A metric that burns 5 ms of CPU, on three nodes of one machine beside the embedded node: what going over nodes costs
where CPUs are the limit, since three nodes have no more of them than one.

Once as they come (the cluster takes each node's CPUs for its own, and starts a worker for each), and once with as many
workers as the machine has CPUs on both sides.
"""

from __future__ import annotations

import os

from harness import clusters, digits, machine
from harness.clusters.base import NODES
from harness.contest import own_detail
from harness.evaluations import Evaluations, Spent, Wanted
from harness.figures import Figure, Peer, alternate
from harness.node import Evaluation, Node
from harness.settings import CASES, directory_on_disk, parse, say

METRIC = "burning.py:exact_after_5_ms"
# At most 15 % more.
RATIO = 0.87


def main() -> None:
    settings = parse(__doc__)
    examples, rounds = settings.pick(2_000, 400), settings.pick(5, 2)
    cpus = len(os.sched_getaffinity(0))
    say(f"distributed_cpu: {examples} examples, {NODES} nodes beside the embedded one ...")
    with directory_on_disk() as place, clusters.own(place) as cluster, Node(place / "embedded") as node:
        devset = digits.write(place / "devset.jsonl", examples)
        distributed = Evaluations(cluster)
        distributed.warm()
        node.warm(devset)
        for workers, how in ((None, "as they come"), (cpus, f"{cpus} workers")):
            load = machine.load()

            def spread(workers: int | None = workers) -> Spent:
                spent = distributed.evaluate(Wanted(devset, metric=METRIC, workers=workers))
                say(f"  {NODES} nodes: {spent.seconds:.2f} s")
                return spent

            def embedded(workers: int | None = workers) -> Evaluation:
                options = () if workers is None else ("--workers", str(workers))
                run = node.evaluate(devset, *options, metric=str(CASES / METRIC))
                say(f"  embedded: {run.seconds:.2f} s")
                return run

            own, against = alternate(rounds, spread, embedded)
            emit(f"{examples} examples, {how}", examples, own, against, load)


def emit(what: str, examples: int, own: list[Spent], against: list[Evaluation], load: float) -> None:
    scores = {run.score for run in (*own, *against)}
    if len(scores) != 1:
        raise RuntimeError(f"the two differ in the score: {scores}")
    Figure(
        "distributed_cpu",
        f"{what}, {NODES} nodes",
        "s",
        [spent.seconds for spent in own],
        Peer("embedded node", [run.seconds for run in against], detail=own_detail(against, examples)),
        {"ratio_at_least": RATIO},
        others_cpus=[run.others_cpus for run in (*own, *against)],
        detail={
            "startup_s": [spent.startup_seconds for spent in own],
            "nodes_cpu_us_per_example": [round(1e6 * sum(spent.nodes_cpu) / examples, 1) for spent in own],
            "python_cpu_us_per_example": [round(1e6 * spent.python_cpu / examples, 1) for spent in own],
        },
    ).emit(load)


if __name__ == "__main__":
    main()
