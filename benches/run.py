"""All benchmarks, or those named: DSPex beside dspy, other pools, etcd, Ray and Dask.

Figures on stdout (JSON), words on stderr.

Ends with 0 whether or not a target was met, and with 1 when a benchmark broke.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from harness.figures import describe
from harness.settings import BENCHES, PROGRAM, PYTHON, add_quick, say

# The ones that decide first.
BENCHMARKS = (
    "zero_latency",
    "cpu_metric",
    "latency_50ms",
    "workers_start",
    "first_example",
    "worker_memory",
    "growth",
    "pool_round_trips",
    "predict_pool",
    "pool_memory",
    "pool_kill",
    "evaluate_dropin",
    "session_rates",
    "leader_kill",
    "leader_transfer",
    "idle_sessions",
    "session_calls",
    "executions",
    "distributed_lm",
    "distributed_cpu",
    "distributed_overhead",
    "inference_under_bulk",
    "peers_distributed",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    add_quick(parser)
    options = parser.parse_args()
    unknown = sorted(set(options.benchmarks) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for path in (PROGRAM, PYTHON):
        if not os.access(path, os.X_OK):
            say(f"{path} is missing: run make build, or set DSPEX_TEST_PROGRAM and DSPEX_TEST_PYTHON")
            return 2
    lines: list[dict[str, Any]] = []
    broken = [name for name in options.benchmarks or BENCHMARKS if not measure(name, options.quick, lines)]
    if lines:
        say(table(lines))
    for name in broken:
        say(f"BROKEN: {name}")
    return 1 if broken else 0


def measure(name: str, quick: bool, lines: list[dict[str, Any]]) -> bool:
    """A process of its own for each: none inherits another's memory, and one that breaks does not end the rest."""
    arguments = ["--quick"] if quick else []
    with subprocess.Popen(
        [sys.executable, str(BENCHES / f"{name}.py"), *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(json.loads(line))
    return process.returncode == 0


def table(lines: list[dict[str, Any]]) -> str:
    """The figures as README.md shows them."""
    rows = ["", "| Benchmark | DSPex | Peer | Ratio | Target | Load |", "|---|---|---|---|---|---|"]
    for line in lines:
        peer, target, load = line["peer"], line["target"], line["load"]
        others = "" if load["others_cpus"] is None else f", others {load['others_cpus']:.2g} CPUs"
        cells = (
            f"{line['benchmark']}: {line['metric']}",
            f"{line['median']:.4g} {line['unit']}",
            f"{peer['median']:.4g} {line['unit']}: {peer['name']}" if peer else "",
            f"{line['ratio']:.3g}" if line["ratio"] is not None else "",
            f"{describe(target)}: {'met' if line['met'] else '**not met**'}" if target else "",
            f"{load['before']:.2g} to {load['after']:.2g}{others}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    versions = lines[-1]["versions"]
    said = ", ".join(f"{name} {value}" for name, value in versions.items())
    return "\n".join([*rows, "", f"{lines[-1]['date']}: {said}"])


if __name__ == "__main__":
    sys.exit(main())
