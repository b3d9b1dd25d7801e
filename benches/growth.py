"""Whether an example costs more in a large evaluation than in a small one: 1,000, 10,000, 50,000 without latency."""

from __future__ import annotations

from statistics import median

from harness import digits, machine, peer
from harness.contest import own_detail
from harness.figures import Figure, Peer
from harness.node import Evaluation, Node
from harness.settings import directory, parse, say

# What differs by less cannot be told from noise on two shared cores.
NOISE = 1.15


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    sizes = (1_000, 2_000, 5_000) if settings.quick else (1_000, 10_000, 50_000)
    own: dict[int, list[Evaluation]] = {size: [] for size in sizes}
    against: dict[int, list[float]] = {size: [] for size in sizes[:2]}
    say(f"growth: {sizes} examples, dspy up to {sizes[1]} ...")
    with directory() as place, Node(place / "home") as node:
        devsets = {size: digits.write(place / f"{size}.jsonl", size) for size in sizes}
        node.warm(devsets[sizes[0]])
        for _ in range(settings.pick(3, 2)):
            for size, devset in devsets.items():
                # The small ones are short: as many of them as their noise needs.
                for _ in range(5 if size == sizes[0] else 1):
                    own[size].append(node.evaluate(devset))
                    say(f"  dspex, {size}: {own[size][-1].seconds:.2f} s")
                if size in against:
                    against[size].append(peer.evaluate(devset, 8).seconds)
                    say(f"  dspy, {size}: {against[size][-1]:.2f} s")
    each = {size: [1e6 * run.seconds / size for run in runs] for size, runs in own.items()}
    for size, runs in own.items():
        seen = [1e6 * seconds / size for seconds in against.get(size, ())]
        Figure(
            "growth",
            f"an example of {size}",
            "us",
            each[size],
            Peer("dspy.Evaluate, 8 threads", seen) if seen else None,
            others_cpus=[run.others_cpus for run in runs],
            detail=own_detail(runs, size),
        ).emit(load)
    smallest, largest = sizes[0], sizes[-1]
    Figure(
        "growth",
        f"an example of {largest} / of {smallest}",
        "times",
        [median(each[largest]) / median(each[smallest])],
        target={"median_at_most": NOISE},
        detail={"median_us": {size: round(median(values), 1) for size, values in each.items()}},
    ).emit(load)


if __name__ == "__main__":
    main()
