"""Clusters of three processes on loopback: DSPex and etcd, started, lost and restarted in the same way."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from harness.clusters.base import NODES, Cluster
from harness.clusters.dspex_cluster import DspexCluster
from harness.clusters.etcd_cluster import EtcdCluster
from harness.settings import ETCD, say


def own(place: Path, count: int = NODES) -> Cluster:
    return DspexCluster(place, count)


def peer(place: Path) -> Cluster:
    return EtcdCluster(place)


@cache
def etcd_version() -> str | None:
    """The peer's name; None where it cannot be measured, which is said once."""
    try:
        said = subprocess.run([ETCD, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        say(
            f"SKIPPED: etcd is left out, and its figures are missing ({error}). scripts/bench.sh fetches it; "
            "apt-get install etcd-server installs it; DSPEX_BENCH_ETCD names one"
        )
        return None
    return f"etcd {said.split()[2]}"
