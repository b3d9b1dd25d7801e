"""A language model that answers after 50 ms, 64 examples in flight: what is lost between answers.

The ideal is examples / 64 * 50 ms. Beside it dspy.Evaluate with 64 threads.
"""

from __future__ import annotations

from harness import digits, machine, peer
from harness.contest import own_detail
from harness.figures import Figure, Peer, alternate
from harness.node import Evaluation, Node
from harness.settings import directory, parse, say

IN_FLIGHT = 64
LATENCY_MS = 50


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    examples = settings.pick(8_000, 1_600)
    ideal = examples / IN_FLIGHT * LATENCY_MS / 1000
    variables = {digits.LATENCY: str(LATENCY_MS)}
    say(f"latency_50ms: {examples} examples, ideal {ideal:g} s ...")
    with directory() as place, Node(place / "home") as node:
        devset = digits.write(place / "devset.jsonl", examples)
        node.warm(devset, variables)

        def evaluate(*options: str) -> Evaluation:
            run = node.evaluate(devset, "--num-threads", str(IN_FLIGHT), *options, variables=variables)
            say(f"  dspex{' '.join(('', *options))}: {run.seconds:.2f} s")
            return run

        def threads() -> peer.Answer:
            answer = peer.evaluate(devset, IN_FLIGHT, variables)
            say(f"  dspy, {IN_FLIGHT} threads: {answer.seconds:.2f} s")
            return answer

        own, against = alternate(settings.pick(5, 2), evaluate, threads)
        by_workers = {workers: evaluate("--workers", str(workers)).seconds for workers in (1, 2, 4)}
    Figure(
        "latency_50ms",
        f"{examples} examples, {IN_FLIGHT} in flight (ideal {ideal:g} s)",
        "s",
        [run.seconds for run in own],
        Peer(f"dspy.Evaluate, {IN_FLIGHT} threads", [answer.seconds for answer in against]),
        # Within 10 % of the ideal.
        {"median_at_most": 1.1 * ideal},
        others_cpus=[run.others_cpus for run in (*own, *against)],
        detail={"ideal_s": ideal, "by_workers_s": by_workers, **own_detail(own, examples)},
    ).emit(load)


if __name__ == "__main__":
    main()
