"""A language model that answers after 200 ms, on a cluster of three with 64 examples under way for each node.

Beside it a cluster of one node with 64. Both have been warmed up, and take turns. The ideals are
examples / 192 * 200 ms and examples / 64 * 200 ms.

Twice: with a program that only waits, and with dspy and its language model. A call of dspy takes 1.6 ms of CPU time, so
192 of them in 200 ms keep one and a half CPUs busy: on a machine with two, three nodes wait for those and not for the
model.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from harness import clusters, digits, machine
from harness.clusters.base import NODES
from harness.evaluations import Evaluations, Spent, Wanted
from harness.figures import Figure, Peer, alternate
from harness.settings import Settings, add_quick, directory_on_disk, say

SLOTS = 64
LATENCY_MS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_quick(parser)
    parser.add_argument("--examples", type=int, metavar="N", help="how many [default: 12288, with --quick 3072]")
    options = parser.parse_args()
    settings = Settings(options.quick)
    measure(options.examples or settings.pick(12_288, 3_072), settings.pick(3, 1))


def measure(examples: int, rounds: int) -> None:
    say(f"distributed_lm: {examples} examples on {NODES} nodes and on one ...")
    with directory_on_disk() as place:
        for name in ("three", "one"):
            (place / name).mkdir()
        devset = digits.write(place / "devset.jsonl", examples)
        with clusters.own(place / "three") as three, clusters.own(place / "one", 1) as one:
            sides = {NODES: Evaluations(three), 1: Evaluations(one)}
            for side in sides.values():
                side.warm()
            for program, wanted in {
                "a program that waits": Wanted(
                    devset, program="nothing.py:Waiting", metric="nothing.py:is_zero", lm=None
                ),
                "dspy.Predict": Wanted(devset, latency_ms=LATENCY_MS),
            }.items():
                load = machine.load()
                compare(f"{program}, {examples} examples", wanted, sides, examples, rounds, load)


def compare(what: str, wanted: Wanted, sides: dict[int, Evaluations], examples: int, rounds: int, load: float) -> None:
    def evaluate(count: int) -> Spent:
        spent = sides[count].evaluate(replace(wanted, threads=count * SLOTS))
        say(f"  {count} of them: {spent.seconds:.2f} s, after {spent.startup_seconds:.2f} s of start-up")
        return spent

    own, against = alternate(rounds, lambda: evaluate(NODES), lambda: evaluate(1))
    results = {(spent.score, spent.digest) for spent in (*own, *against)}
    if len(results) != 1:
        raise RuntimeError(f"the two differ in score or digest: {results}")
    ideal = {count: examples / (count * SLOTS) * LATENCY_MS / 1000 for count in (NODES, 1)}
    Figure(
        "distributed_lm",
        f"{what} of {LATENCY_MS} ms, {NODES} nodes with {SLOTS} each (ideal {ideal[NODES]:g} s)",
        "s",
        [spent.seconds for spent in own],
        Peer(f"one node with {SLOTS}", [spent.seconds for spent in against], detail=detail(against, examples)),
        {"ratio_at_least": 2.8},
        others_cpus=[spent.others_cpus for spent in (*own, *against)],
        detail={"ideal_s": ideal, **detail(own, examples)},
    ).emit(load)


def detail(runs: list[Spent], examples: int) -> dict[str, object]:
    return {
        "startup_s": [spent.startup_seconds for spent in runs],
        "nodes_cpu_us_per_example": [round(1e6 * sum(spent.nodes_cpu) / examples, 1) for spent in runs],
        "python_cpu_us_per_example": [round(1e6 * spent.python_cpu / examples, 1) for spent in runs],
    }


if __name__ == "__main__":
    main()
