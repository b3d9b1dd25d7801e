"""`dspex member transfer-leader` beside etcd's MoveLeader: how long nothing is written.

A write begins every 5 ms, at the three nodes in turn, each with a time limit of 1 s. The gap is the longest time
between two acknowledged writes since the request to hand over.
"""

from __future__ import annotations

from harness import consensus, gaps, machine
from harness.clusters.base import Cluster
from harness.settings import parse, say


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    # So many of a cluster, before both are made anew.
    rounds, in_a_row = settings.pick(2, 1), settings.pick(5, 2)
    say(f"leader_transfer: {rounds * in_a_row} transfers ...")
    contest = consensus.contest(rounds, lambda cluster: [transfer(cluster) for _ in range(in_a_row)])
    gaps.emit("leader_transfer", contest, load)


def transfer(cluster: Cluster) -> gaps.Gap:
    found = cluster.ask("transfer")
    say(f"    {found['gap_ms']:.0f} ms without a write ({found['gap_before_ms']:.0f} ms before)")
    return found


if __name__ == "__main__":
    main()
