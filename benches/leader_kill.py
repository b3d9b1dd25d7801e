"""kill -9 of the leader of three: how long nothing is written.

A write begins every 5 ms, at the two nodes that survive, in turn, each with a time limit of 1 s. The gap is the longest
time between two acknowledged writes. etcd is measured in the same way; both have their default election timeouts.
"""

from __future__ import annotations

from harness import consensus, gaps, machine
from harness.clusters.base import Cluster
from harness.settings import parse, say


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    # So many of a cluster, before both are made anew.
    rounds, in_a_row = settings.pick(4, 1), settings.pick(5, 2)
    say(f"leader_kill: {rounds * in_a_row} kills of a leader ...")
    contest = consensus.contest(rounds, lambda cluster: [kill(cluster) for _ in range(in_a_row)])
    gaps.emit("leader_kill", contest, load)


def kill(cluster: Cluster) -> gaps.Gap:
    found = cluster.ask("kill")
    say(f"    {found['gap_ms']:.0f} ms without a write")
    leader = found["more"]["leader"]
    cluster.was_killed(leader)
    cluster.start(leader)
    return found


if __name__ == "__main__":
    main()
