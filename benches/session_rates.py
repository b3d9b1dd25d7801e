"""Writes and linearizable reads of sessions in a cluster of three, beside puts and ranges of etcd.

Three processes on loopback with fsync and TLS for both; values of 128 bytes; one client program for both
(tests/examples/consensus_load), whose CPU time is reported. Each client writes or reads a key of its own.
"""

from __future__ import annotations

from typing import Any

from harness import consensus, machine
from harness.clusters.base import Cluster
from harness.consensus import Contest
from harness.figures import Figure
from harness.settings import parse, say

CLIENTS = (1, 64, 256)
CALLS = {"write": "writes", "read": "linearizable reads"}
# With many clients more than one connection to a node: one TLS stream is one thread's work in either server.
CONNECTIONS_PER_NODE = {1: 1, 64: 4, 256: 4}
# Key of the load generator's answer -> what the figure is called, and its unit.
KEYS = {
    "per_second": ("", "calls/s"),
    "p50_ms": (", median", "ms"),
    "p99_ms": (", p99", "ms"),
    "servers_cpu_us": (", CPU time of the three servers for each", "us"),
    "client_cpu_us": (", CPU time of the client for each", "us"),
}

# Call and clients -> the load generator's answer.
Round = dict[tuple[str, int], dict[str, Any]]


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    # Half seconds.
    seconds, warm_up = settings.pick(20, 3) / 2, settings.pick(4, 1) / 2
    rounds = settings.pick(3, 1)
    say(f"session_rates: {rounds} rounds, {seconds} s for each of {CLIENTS} clients, writing and reading ...")
    contest = consensus.contest(rounds, lambda cluster: measure(cluster, warm_up, seconds))
    for call in CALLS:
        for clients in CLIENTS:
            for key in KEYS:
                emit(contest, (call, clients), key, load)


def measure(cluster: Cluster, warm_up: float, seconds: float) -> Round:
    found: Round = {}
    for clients in CLIENTS:
        for call in CALLS:
            found[call, clients] = cluster.ask(
                "rates",
                what=call,
                clients=clients,
                connections_per_node=CONNECTIONS_PER_NODE[clients],
                warm_up_s=warm_up,
                seconds=seconds,
            )
    say(f"    { ({f'{call}, {clients}': round(rate['per_second']) for (call, clients), rate in found.items()}) } /s")
    return found


def emit(contest: Contest[Round], cell: tuple[str, int], key: str, load: float) -> None:
    call, clients = cell
    ours, theirs = ([found[cell] for found in side] for side in (contest.own, contest.peer))
    what, unit = KEYS[key]
    rate_itself = key == "per_second"
    Figure(
        "session_rates",
        f"{CALLS[call]}, {clients} {'client' if clients == 1 else 'clients'}{what}",
        unit,
        [rate[key] for rate in ours],
        consensus.etcd([rate[key] for rate in theirs], {"runs": theirs} if rate_itself else {}),
        others_cpus=[rate["others_cpus"] for rate in (*ours, *theirs)],
        # Once for all figures of these calls.
        detail={"runs": ours, "sync_ms": contest.sync_ms} if rate_itself else {},
        more_is_better=rate_itself,
    ).emit(load)


if __name__ == "__main__":
    main()
