"""The embedded node under measurement, in a home of its own, and evaluations on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import digits, machine
from harness.settings import PROGRAM, PYTHON, environment

_PATIENCE_SECONDS = 1800


@dataclass
class Evaluation:
    """One `dspex eval`. `seconds` is from the first dispatch to the last committed result."""

    seconds: float
    startup_seconds: float
    score: float
    node_cpu: float
    workers_cpu: float
    others_cpus: float


class Node:
    """`dspex eval` starts the node when it is first needed; leaving the block stops it."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        pid = self.status().get("pid")
        self._call("local", "stop", "--force", check=False)
        # Never leave one behind, even where stopping is what broke.
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def status(self) -> dict[str, Any]:
        shown = self._call("local", "status", "-o", "json", check=False)
        return dict(json.loads(shown)) if shown.strip() else {}

    def evaluate(
        self,
        devset: Path,
        *options: str,
        program: str = digits.PROGRAM,
        metric: str = digits.METRIC,
        lm: str = digits.LM,
        variables: dict[str, str] | None = None,
    ) -> Evaluation:
        before = self._cpu()
        with machine.Others() as others:
            result = json.loads(self.eval(devset, *options, program=program, metric=metric, lm=lm, variables=variables))
            self._await_idle()
        after = self._cpu()
        run = json.loads(self._call("run", "show", result["run_id"], "-o", "json"))
        if result["failed"] or result["status"] != "finished":
            raise RuntimeError(f"the evaluation did not succeed: {result}")
        node, workers = after[0] - before[0], after[1] - before[1]
        return Evaluation(
            # Two clocks, the node's and the log's: whichever is less kind to DSPex.
            seconds=max(run["execution_s"], run["duration_s"]),
            startup_seconds=run["startup_s"],
            score=result["score"],
            node_cpu=node,
            workers_cpu=workers,
            others_cpus=others.settle(node + workers),
        )

    def eval(
        self,
        devset: Path,
        *options: str,
        program: str = digits.PROGRAM,
        metric: str = digits.METRIC,
        lm: str = digits.LM,
        variables: dict[str, str] | None = None,
    ) -> str:
        """`dspex eval`, as a user types it; what it printed."""
        return self._call(
            *("eval", program, "--devset", str(devset), "--metric", metric, "--lm", lm, "--python", PYTHON),
            *("-o", "json", "-q", *options),
            variables=variables,
        )

    def warm(self, devset: Path, variables: dict[str, str] | None = None) -> None:
        """Starts the node and a zygote for these variables: what is measured afterwards finds both running."""
        self.eval(devset, "--limit", "20", variables=variables)
        self._await_idle()

    def _call(self, *arguments: str, check: bool = True, variables: dict[str, str] | None = None) -> str:
        ended = subprocess.run(
            [PROGRAM, *arguments],
            env=environment(DSPEX_HOME=str(self._home), **(variables or {})),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
        )
        if check and ended.returncode != 0:
            raise RuntimeError(f"dspex {arguments[0]} ended with {ended.returncode}: {ended.stderr.strip()}")
        return ended.stdout

    def _await_idle(self) -> None:
        """Until the last worker has been reaped: only then is its CPU time in the books."""
        for _ in range(200):
            if not any(zygote["workers"] for zygote in self.status().get("zygotes", ())):
                return
            time.sleep(0.05)

    def _cpu(self) -> tuple[float, float]:
        """CPU seconds of the node, and of its zygotes with all their workers so far."""
        status = self.status()
        if "pid" not in status:
            return 0.0, 0.0
        zygotes = sum(machine.cpu_seconds(zygote["pid"], with_children=True) for zygote in status["zygotes"])
        return machine.cpu_seconds(status["pid"]), zygotes
