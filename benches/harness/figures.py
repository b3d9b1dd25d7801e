"""A figure: what was measured, beside its peer, as one JSON line for programs and a line for people."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import gettempdir
from typing import Any, TypeVar

from harness import machine
from harness.settings import PROGRAM, PYTHON, say

T = TypeVar("T")


@dataclass
class Peer:
    """What the figure is compared with, measured in the same run."""

    name: str
    runs: list[float]
    median: float = 0.0
    # Whatever else was seen of it: CPU time, other thread counts.
    detail: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runs = [_short(run) for run in self.runs]
        self.median = _short(median(self.runs))


@dataclass
class Figure:
    """`ratio` is peer / own: how many times less DSPex needs. Where more is better it is own / peer."""

    benchmark: str
    metric: str
    unit: str
    runs: list[float]
    peer: Peer | None = None
    # A bound on `median` or `ratio`: {"median_at_most": 40, "ratio_at_least": 50}.
    target: dict[str, float] = field(default_factory=dict)
    # CPUs that other processes kept busy meanwhile, in each run.
    others_cpus: Sequence[float] = ()
    detail: dict[str, Any] = field(default_factory=dict)
    more_is_better: bool = False

    def emit(self, load_before: float) -> None:
        """Writes the figure down. Never fails because of a target: that is for the reader to judge."""
        runs = [_short(run) for run in self.runs]
        own = _short(median(runs))
        ratio = self._ratio(own)
        line = {
            "benchmark": self.benchmark,
            "metric": self.metric,
            "unit": self.unit,
            "runs": runs,
            "median": own,
            "peer": asdict(self.peer) if self.peer else None,
            "ratio": ratio,
            "target": self.target or None,
            "met": self._met(own, ratio),
            "detail": self.detail,
            "load": {
                "before": _short(load_before),
                "after": _short(machine.load()),
                "others_cpus": _short(median(self.others_cpus)) if self.others_cpus else None,
            },
            "versions": versions(),
            "command": " ".join([f"benches/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        print(json.dumps(line), flush=True)
        say(summary(line))

    def _ratio(self, own: float) -> float | None:
        if self.peer is None or not own or not self.peer.median:
            return None
        return _short(own / self.peer.median if self.more_is_better else self.peer.median / own)

    def _met(self, own: float, ratio: float | None) -> bool | None:
        if not self.target:
            return None
        seen = {"median": own, "ratio": ratio}
        return all(_holds(seen[name.split("_", 1)[0]], name, bound) for name, bound in self.target.items())


def _holds(seen: float | None, name: str, bound: float) -> bool:
    if seen is None:
        return False
    return seen <= bound if name.endswith("_at_most") else seen >= bound


def summary(line: dict[str, Any]) -> str:
    """A figure in one line."""
    said = f"  {line['benchmark']}: {line['metric']} {line['median']:g} {line['unit']}"
    if line["peer"]:
        ratio = "" if line["ratio"] is None else f" (ratio {line['ratio']:g})"
        said += f"; {line['peer']['name']} {line['peer']['median']:g}{ratio}"
    if line["target"]:
        said += f"; target {describe(line['target'])}: {'met' if line['met'] else 'NOT MET'}"
    load = line["load"]
    others = "" if load["others_cpus"] is None else f", {load['others_cpus']:g} CPUs busy with others"
    return f"{said} [load {load['before']:g} to {load['after']:g}{others}]"


def describe(target: dict[str, float]) -> str:
    """A target in words."""
    return ", ".join(f"{name.replace('_', ' ')} {bound:g}" for name, bound in target.items())


def alternate(rounds: int, first: Callable[[], T], second: Callable[[], T]) -> tuple[list[T], list[T]]:
    """A B A B: what slows the machine down for a while slows both."""
    taken: tuple[list[T], list[T]] = ([], [])
    for _ in range(rounds):
        taken[0].append(first())
        taken[1].append(second())
    return taken


@cache
def versions() -> dict[str, Any]:

    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    asked = "import importlib.metadata as m, platform as p; print(p.python_version(), m.version('dspy'))"
    python, dspy = subprocess.run([PYTHON, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    return {
        "dspex": said.split()[-1],
        "python": python,
        "dspy": dspy,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "filesystem": machine.filesystem(Path(gettempdir())),
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")
