"""Evaluations on a cluster: `dspex eval` at its first node, from a project with the cases in it; what nodes spend."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import digits, machine
from harness.clusters.base import Cluster
from harness.settings import CASES, PROGRAM, PYTHON, environment

_PATIENCE_SECONDS = 3600
_IDLE_SECONDS = 30
# Evaluations until every node has had a worker, and how long each of them takes: nodes that have just started know
# neither each other's environments nor the program.
_WARM_UPS = 10
_WARM_UP_EXAMPLES = 200
_WARM_UP_LATENCY_MS = 100


@dataclass
class Wanted:
    """What is evaluated, and how: as `dspex eval` is told."""

    devset: Path
    program: str = digits.PROGRAM
    metric: str = digits.METRIC
    lm: str | None = digits.LM
    latency_ms: int = 0
    # Examples under way, over all nodes; None: as by default.
    threads: int | None = None
    workers: int | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def arguments(self) -> list[str]:
        given = {"--lm": self.lm, "--num-threads": self.threads, "--workers": self.workers}
        words = [self.program, "--devset", str(self.devset), "--metric", self.metric, "--python", PYTHON]
        for option, value in given.items():
            words += [] if value is None else [option, str(value)]
        variables = dict(self.variables)
        if self.latency_ms:
            variables[digits.LATENCY] = str(self.latency_ms)
        for name, value in variables.items():
            words += ["--env", f"{name}={value}"]
        return words


@dataclass
class Spent:
    """One evaluation. `seconds` is from the first dispatch to the last committed result."""

    seconds: float
    startup_seconds: float
    score: float
    digest: str
    # CPU seconds of each node's own process, and of all Python on all nodes.
    nodes_cpu: list[float]
    python_cpu: float
    others_cpus: float
    run: dict[str, Any]


class Evaluations:
    """On a cluster that is whole."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # A project of its own: the checkout around the cases would be sent as a whole.
        self._project = cluster.place / "project"
        shutil.copytree(CASES, self._project, ignore=shutil.ignore_patterns("__pycache__"))
        (self._project / "pyproject.toml").touch()

    def warm(self) -> None:
        """Until every node has executed something."""
        wanted = Wanted(
            digits.write(self._cluster.place / "warm.jsonl", _WARM_UP_EXAMPLES),
            latency_ms=_WARM_UP_LATENCY_MS,
            threads=4 * self._cluster.count,
        )
        missing = set(range(self._cluster.count))
        for _ in range(_WARM_UPS):
            run = self.begin(wanted)
            while self.show(run)["status"] == "running":
                missing -= {number for number in missing if self.workers(number, run)}
            if not missing:
                self.settle()
                return
        raise RuntimeError(f"the nodes {sorted(missing)} take no part in runs\n{self._cluster.last_words()}")

    def evaluate(self, wanted: Wanted) -> Spent:
        """To its end."""
        before = self.cpu()
        with machine.Others() as others:
            run = self.ended(self.begin(wanted))
            self.settle()
        after = self.cpu()
        nodes = [late - early for late, early in zip(after[0], before[0], strict=True)]
        python = after[1] - before[1]
        if run["failed"] or run["status"] != "finished":
            raise RuntimeError(f"the evaluation did not succeed: {run}\n{self._cluster.last_words()}")
        return Spent(
            # Two clocks, the node's and the log's: whichever is less kind to DSPex.
            seconds=max(run["execution_s"] or 0.0, run["duration_s"]),
            startup_seconds=run["startup_s"] or 0.0,
            score=run["score"],
            digest=run["digest"],
            nodes_cpu=nodes,
            python_cpu=python,
            others_cpus=others.settle(sum(nodes) + python),
            run=run,
        )

    def begin(self, wanted: Wanted) -> str:
        """The run's id, as soon as it is stored."""
        return str(json.loads(self.dspex("eval", *wanted.arguments(), "--detach"))["run_id"])

    def refused(self, wanted: Wanted) -> None:
        """Sends what the evaluation needs, where its program is known to be refused then."""
        ended = self._run(0, "eval", *wanted.arguments(), "--detach")
        if ended.returncode != 2:
            raise RuntimeError(f"nothing was refused: dspex eval ended with {ended.returncode}: {ended.stderr}")

    def show(self, run: str, at: int = 0) -> dict[str, Any]:
        return dict(json.loads(self.dspex("run", "show", run, at=at)))

    def ended(self, run: str) -> dict[str, Any]:
        self._run(0, "run", "watch", run)
        shown = self.show(run)
        if shown["status"] == "running":
            raise RuntimeError(f"the run does not end: {shown}\n{self._cluster.last_words()}")
        return shown

    def workers(self, at: int, run: str) -> list[dict[str, Any]]:
        """A node's workers of a run."""
        listed = json.loads(self.dspex("worker", "list", at=at))
        return [worker for worker in listed["items"] if worker["run_id"] == run]

    def settle(self) -> None:
        """Until the last worker of a run has been reaped: only then is its CPU time in the books."""
        end = time.monotonic() + _IDLE_SECONDS
        while time.monotonic() < end:
            listed = [json.loads(self.dspex("worker", "list", at=at)) for at in range(self._cluster.count)]
            if not any(worker["run_id"] for nodes in listed for worker in nodes["items"]):
                return
            time.sleep(0.05)
        raise RuntimeError("workers outlive their run")

    def cpu(self) -> tuple[list[float], float]:
        """CPU seconds so far: of each node's own process, and of all that the nodes have started."""
        own = [machine.cpu_seconds(node.pid) for node in self._cluster.nodes]
        return own, sum(machine.tree_cpu_seconds(node.pid) for node in self._cluster.nodes) - sum(own)

    def dspex(self, *arguments: str, at: int = 0) -> str:
        """What a command at a node printed."""
        ended = self._run(at, *arguments)
        if ended.returncode != 0:
            said = f"{ended.stderr.strip()}\n{self._cluster.last_words()}"
            raise RuntimeError(f"dspex {arguments[0]} ended with {ended.returncode}: {said}")
        return ended.stdout

    def _run(self, at: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        reached = ["--address", self._cluster.nodes[at].address, "--ca", str(self._cluster.certificates / "ca.pem")]
        return subprocess.run(
            [PROGRAM, *arguments, *reached, "--token-file", str(self._cluster.token()), "-o", "json", "-q"],
            env=environment(DSPEX_HOME=str(self._cluster.place / "home")),
            cwd=self._project,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
        )
