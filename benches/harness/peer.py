"""dspy itself on the same task, in a fresh interpreter.

As a script it takes its order as JSON and answers in JSON: nothing of the benchmark is in the process that is timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import digits, machine
from harness.settings import BENCHES, CASES, PACKAGE, PYTHON, environment

_PATIENCE_SECONDS = 3600
THREADS = (1, 2, 4, 8, 16)


@dataclass
class Order:
    """`threads` 0 is a plain loop over program and metric, without dspy.Evaluate."""

    devset: str
    threads: int
    program: str = digits.PROGRAM
    metric: str = digits.METRIC
    lm: str = digits.LM


@dataclass
class Answer:
    """`seconds` is the time in Evaluate.__call__ (or in the loop)."""

    seconds: float
    score: float
    cpu: float
    private_bytes: int
    others_cpus: float = 0.0


def evaluate(devset: Path, threads: int, variables: dict[str, str] | None = None, **names: str) -> Answer:
    """dspy.Evaluate with this many threads, or with 0 the plain loop."""
    order = json.dumps(asdict(Order(str(devset), threads, **names)))
    with machine.Others() as others:
        ended = subprocess.run(
            [PYTHON, "-m", "harness.peer", order],
            env=environment(PYTHONPATH=f"{BENCHES}:{PACKAGE}:{CASES}", **(variables or {})),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
        )
    if ended.returncode != 0:
        raise RuntimeError(f"the peer ended with {ended.returncode}: {ended.stderr.strip()}")
    own = json.loads(ended.stdout.splitlines()[-1])
    answer = Answer(**own["answer"])
    answer.others_cpus = others.settle(own["process_cpu"])
    return answer


def _resolve(reference: str) -> Any:
    import importlib

    place, _, name = reference.rpartition(":")
    # Files of the benchmarks are modules here: their directory is on the path.
    return getattr(importlib.import_module(Path(place).stem if place.endswith(".py") else place), name)


def _execute(order: Order) -> Answer:
    import dspy

    program, metric, lm = (_resolve(reference) for reference in (order.program, order.metric, order.lm))
    program = program if isinstance(program, dspy.Module) else program()
    lines = Path(order.devset).read_text().splitlines()
    devset = [dspy.Example(**json.loads(line)).with_inputs("image") for line in lines]
    dspy.configure(lm=lm)
    cpu, started = time.process_time(), time.perf_counter()
    if order.threads:
        score = dspy.Evaluate(devset=devset, metric=metric, num_threads=order.threads)(program).score
    else:
        scores = [metric(example, program(**example.inputs())) for example in devset]
        score = round(100 * sum(scores) / len(scores), 2)
    seconds = time.perf_counter() - started
    return Answer(seconds, score, time.process_time() - cpu, machine.private_bytes())


if __name__ == "__main__":
    answer = _execute(Order(**json.loads(sys.argv[1])))
    print(json.dumps({"answer": asdict(answer), "process_cpu": time.process_time()}), flush=True)
