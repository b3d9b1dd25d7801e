"""Both clusters in turn, each round on fresh ones; and what stands beside their figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness import clusters, machine
from harness.clusters.base import Cluster
from harness.figures import Peer, alternate
from harness.settings import directory_on_disk, say

T = TypeVar("T")


@dataclass
class Contest(Generic[T]):
    """What was measured of DSPex in each round, and of etcd: nothing where there is none."""

    own: list[T]
    peer: list[T]
    # A sync of the disk before each round, both sides' in their order: what writes wait for, and what varies most.
    sync_ms: list[float]


def contest(rounds: int, measure: Callable[[Cluster], T]) -> Contest[T]:
    syncs: list[float] = []

    def once(name: str, make: Callable[[Path], Cluster]) -> T:
        with directory_on_disk() as place:
            syncs.append(machine.sync_ms(place))
            with make(place) as cluster:
                say(f"  {name} (a sync of the disk takes {syncs[-1]:g} ms) ...")
                return measure(cluster)

    name = clusters.etcd_version()
    if name is None:
        return Contest([once("DSPex", clusters.own) for _ in range(rounds)], [], syncs)
    own, peer = alternate(rounds, lambda: once("DSPex", clusters.own), lambda: once(name, clusters.peer))
    return Contest(own, peer, syncs)


def etcd(runs: list[float], detail: dict[str, Any]) -> Peer | None:
    """The peer of a figure, where it was measured."""
    return Peer(clusters.etcd_version() or "etcd", runs, detail=detail) if runs else None
