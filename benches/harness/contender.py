"""A system under measurement in a fresh interpreter: it gets an order as JSON, and answers in JSON."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.node import Node
from harness.settings import BENCHES, CASES, PACKAGE, PROGRAM, PYTHON, RAY_PYTHON, directory, environment

# In the environment of all processes of one contender, by which they are found.
MARK = "BENCH_MARK"
_PATIENCE_SECONDS = 900


@dataclass
class Order:
    """What is to be measured (harness/measures.py, harness/evaluating.py) of which system (harness/systems,
    harness/evaluators)."""

    measure: str
    system: str
    workers: int
    work: str
    options: dict[str, Any] = field(default_factory=dict)
    # More variables of its environment, and so of what it starts.
    variables: dict[str, str] = field(default_factory=dict)


def run(order: Order) -> Any:
    """What the measure found out."""
    python = RAY_PYTHON if order.system.startswith(("ray", "dask")) else PYTHON
    mark = secrets.token_hex(8)
    with ExitStack() as stack:
        place = stack.enter_context(directory())
        if order.system == "dspex":
            stack.enter_context(Node(place / "home"))
        stack.callback(_end, mark)
        # Files: some systems leave processes behind that would keep a pipe open.
        said, complained = (stack.enter_context((place / name).open("w+")) for name in ("stdout", "stderr"))
        ended = subprocess.run(
            [python, "-m", "harness.contender", json.dumps(asdict(order))],
            env=environment(**_variables(order, place, mark)),
            stdout=said,
            stderr=complained,
            timeout=_PATIENCE_SECONDS,
        )
        said.seek(0)
        complained.seek(0)
        if ended.returncode != 0:
            raise RuntimeError(f"{order.system} ended with {ended.returncode}: {complained.read().strip()[-4000:]}")
        return json.loads(said.read().splitlines()[-1])


def _variables(order: Order, place: Path, mark: str) -> dict[str, str]:
    variables = {"PYTHONPATH": f"{BENCHES}:{CASES}:{PACKAGE}", MARK: mark}
    if order.system == "dspex":
        variables |= {
            "DSPEX_HOME": str(place / "home"),
            "DSPEX_PROGRAM": PROGRAM,
            "DSPEX_POOLS__GENERAL__WORKERS": str(order.workers),
        }
    elif order.system.startswith("ray"):
        # Nothing of it is to stay: not in the home directory, not in /tmp/ray, and nothing is sent to its makers.
        token = place / "token"
        token.write_text(secrets.token_hex(32))
        variables |= {
            "BENCH_RAY_DIRECTORY": str(place / "r"),
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
    elif order.system == "dask":
        variables |= {"DASK_TEMPORARY_DIRECTORY": str(place / "d")}
    return variables | order.variables


def marked(mark: str | None = None) -> set[int]:
    """All processes of a contender; without a mark, of this one."""
    sought = f"{MARK}={mark or os.environ[MARK]}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if sought in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                pass  # It has ended, or is another user's.
    return found


def _end(mark: str) -> None:
    for pid in marked(mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _perform(order: Order) -> Any:
    if order.measure == "evaluation":
        from harness import evaluating

        return evaluating.perform(order)
    from harness import measures

    return measures.perform(order)


if __name__ == "__main__":
    print(json.dumps(_perform(Order(**json.loads(sys.argv[1])))), flush=True)
    # Threads that still wait for a call that was lost must not keep this process.
    os._exit(0)
