"""dspex.Evaluate in a script of its own, as a DSPy user has one: imported, its examples built, its node warm.

As a script it takes its order as JSON and answers in JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.settings import BENCHES, PACKAGE, PROGRAM, PYTHON, environment

_PATIENCE_SECONDS = 3600
_WARM_UP = 20


def evaluate(devset: Path, threads: int | None, variables: dict[str, str]) -> dict[str, Any]:
    """`seconds` of one evaluation, its score, and the CPU time of the script meanwhile."""
    ended = subprocess.run(
        [PYTHON, "-m", "harness.dropin", json.dumps({"devset": str(devset), "threads": threads})],
        env=environment(PYTHONPATH=f"{BENCHES}:{PACKAGE}", DSPEX_PROGRAM=PROGRAM, **variables),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"the script ended with {ended.returncode}: {ended.stderr.strip()[-4000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _execute(devset: str, threads: int | None) -> dict[str, Any]:
    import dspex
    import dspy
    from dspex.samples.digits import exact, lm, zero_shot

    dspy.configure(lm=lm)
    examples = [dspy.Example(**json.loads(line)).with_inputs("image") for line in Path(devset).read_text().splitlines()]
    # dspy.Evaluate's own default is one thread; the command's is 8.
    options = {"metric": exact, "num_threads": threads or 8}
    program = zero_shot()
    dspex.Evaluate(devset=examples[:_WARM_UP], **options)(program)
    evaluate = dspex.Evaluate(devset=examples, **options)
    cpu, began = time.process_time(), time.perf_counter()
    result = evaluate(program)
    return {
        "seconds": time.perf_counter() - began,
        "score": result.score,
        "cpu": round(time.process_time() - cpu, 3),
    }


if __name__ == "__main__":
    print(json.dumps(_execute(**json.loads(sys.argv[1]))), flush=True)
