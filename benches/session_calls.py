"""Calls in warm sessions of a cluster of three, from a Python program of its own: beside calls of a pool and writes
of a session.

One call at a time, each kind in turn, so that a disturbed moment disturbs all. Then kill -9 of a session's home: how
long until the next call is answered, asked for at a node that stays. And many sessions in use: the memory of all nodes
with their workers.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from harness import clusters, machine
from harness.clusters.base import NODES, Cluster
from harness.figures import Figure
from harness.settings import CASES, PACKAGE, PROGRAM, directory_on_disk, parse, say

sys.path.insert(0, str(PACKAGE))
os.environ["DSPEX_PROGRAM"] = PROGRAM

import dspex

NOTHING = f"{CASES / 'session_commands.py'}:nothing"
COUNT = f"{CASES / 'session_commands.py'}:count"
PATIENCE_SECONDS = 120


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    rounds, calls = settings.pick(3, 1), settings.pick(1000, 200)
    kills, sessions = settings.pick(4, 2), settings.pick(1000, 100)
    say(f"session_calls: {rounds} rounds of {calls} calls and {kills} kills of a home, {sessions} sessions in use ...")
    found = [measured(calls, kills, sessions) for _ in range(rounds)]
    emit(found, sessions, load)


def measured(calls: int, kills: int, sessions: int) -> dict[str, Any]:
    with directory_on_disk() as place, clusters.own(place) as cluster, ExitStack() as stack:
        clients = [stack.enter_context(connected(cluster, number)) for number in range(NODES)]
        before = cpu_seconds(cluster)
        with machine.Others() as others:
            latencies = in_turn(clients, calls)
        others_cpus = others.settle(cpu_seconds(cluster) - before)
        memory = in_use(cluster, clients, sessions)
        moves = [moved(cluster, clients, number) for number in range(kills)]
        result = {**latencies, "memory": memory, "moves": moves, "others_cpus": others_cpus}
    shown = {key: value for key, value in result.items() if key != "memory"}
    say(f"    { {key: value if key == 'moves' else round(value, 3) for key, value in shown.items()} }")
    return result


def cpu_seconds(cluster: Cluster) -> float:
    """Of all that is measured: the nodes with their workers, and this program with its client process."""
    pids = machine.with_descendants({node.pid for node in cluster.nodes} | {os.getpid()})
    return sum(machine.cpu_seconds(pid) for pid in pids if Path(f"/proc/{pid}").exists())


def connected(cluster: Cluster, number: int) -> dspex.Client:
    token, ca = cluster.token(), cluster.certificates / "ca.pem"
    return dspex.connect(cluster.nodes[number].address, token_file=str(token), ca=str(ca))


def in_turn(clients: list[dspex.Client], calls: int) -> dict[str, float]:
    """Medians in milliseconds. The session's home is the first node."""
    pool = clients[0].pool()
    session = clients[0].create_session()
    elsewhere = clients[1].session(session.id)
    steps: dict[str, Callable[[], Any]] = {
        "pool": lambda: pool.call(NOTHING, queue_timeout=PATIENCE_SECONDS),
        "session": lambda: session.execute(NOTHING, queue_timeout=PATIENCE_SECONDS),
        "elsewhere": lambda: elsewhere.execute(NOTHING, queue_timeout=PATIENCE_SECONDS),
        "writing": lambda: session.execute(COUNT, queue_timeout=PATIENCE_SECONDS),
        "write": lambda: session.set({"m": 1}),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(calls + 50):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            # The first ones start workers and fill caches.
            if number >= 50:
                taken[name].append(time.perf_counter() - began)
    return {f"{name}_ms": 1000 * median(times) for name, times in taken.items()}


def in_use(cluster: Cluster, clients: list[dspex.Client], sessions: int) -> dict[str, Any]:
    """Each is called twice, those of all nodes in turn; what all processes take after that."""
    made = [clients[number % NODES].create_session(data={"n": 0}) for number in range(sessions)]
    began = time.perf_counter()
    for _ in range(2):
        for session in made:
            session.execute(COUNT, queue_timeout=PATIENCE_SECONDS)
    seconds = time.perf_counter() - began
    pids = machine.with_descendants({node.pid for node in cluster.nodes})
    taken = {pid: machine.shared_out_bytes(pid) for pid in pids if Path(f"/proc/{pid}").exists()}
    return {"bytes": sum(taken.values()), "processes": len(taken), "calls_per_second": 2 * sessions / seconds}


def moved(cluster: Cluster, clients: list[dspex.Client], number: int) -> float:
    """Milliseconds from a home's death until a call is answered that another node is asked for."""
    home = number % NODES
    asked = (home + 1) % NODES
    session = clients[home].create_session()
    session.execute(COUNT, queue_timeout=PATIENCE_SECONDS)
    surviving = clients[asked].session(session.id)
    surviving.execute(COUNT, queue_timeout=PATIENCE_SECONDS)
    # The node that is asked has a Python ready.
    clients[asked].create_session().execute(NOTHING, queue_timeout=PATIENCE_SECONDS)
    cluster.nodes[home].process.kill()  # type: ignore[union-attr]
    began = time.perf_counter()
    answered = surviving.execute(COUNT, queue_timeout=PATIENCE_SECONDS)
    taken = 1000 * (time.perf_counter() - began)
    if answered != 3:
        raise RuntimeError(f"the third call counted to {answered}")
    cluster.was_killed(home)
    cluster.start(home)
    cluster.agree()
    return taken


def emit(found: list[dict[str, Any]], sessions: int, load: float) -> None:
    def figure(metric: str, unit: str, runs: list[float], target: dict[str, float], **more: Any) -> None:
        others = [one["others_cpus"] for one in found]
        Figure("session_calls", metric, unit, runs, target=target, others_cpus=others, **more).emit(load)

    def beyond(kind: str) -> list[float]:
        return [one[f"{kind}_ms"] - one["pool_ms"] for one in found]

    at_most = {"median_at_most": 1.5}
    figure("a call in a session beyond one of a pool, median", "ms", beyond("session"), at_most, detail={"runs": found})
    figure("the same, asked for at another node than its home", "ms", beyond("elsewhere"), {})
    commits = [(one["writing_ms"] - one["session_ms"]) / one["write_ms"] for one in found]
    figure("what a change adds, in writes of a session", "writes", commits, {"median_at_most": 1.0})
    moves = [move for one in found for move in one["moves"]]
    figure("kill -9 of the home until the next answer, worst", "ms", [max(moves)], {"median_at_most": 2000.0})
    memory = [one["memory"]["bytes"] / (1 << 20) for one in found]
    detail = {"runs": [one["memory"] for one in found]}
    figure(f"{sessions} sessions in use, memory of all", "MiB", memory, {"median_at_most": 2048.0}, detail=detail)


if __name__ == "__main__":
    main()
