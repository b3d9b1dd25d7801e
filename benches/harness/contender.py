"""A system under measurement in a fresh interpreter: the bench gives an order as JSON, the interpreter answers in JSON."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
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
    """What is to be measured (harness/measures.py) of which system (harness/systems)."""

    measure: str
    system: str
    workers: int
    work: str
    options: dict[str, Any] = field(default_factory=dict)


def run(order: Order) -> Any:
    """What the measure found out."""
    python = RAY_PYTHON if order.system.startswith("ray") else PYTHON
    with ExitStack() as stack:
        place = stack.enter_context(directory())
        if order.system == "dspex":
            stack.enter_context(Node(place / "home"))
        ended = subprocess.run(
            [python, "-m", "harness.contender", json.dumps(asdict(order))],
            env=environment(**_variables(order, place)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=_PATIENCE_SECONDS,
        )
    if ended.returncode != 0:
        raise RuntimeError(f"{order.system} ended with {ended.returncode}: {ended.stderr.strip()[-4000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def _variables(order: Order, place: Path) -> dict[str, str]:
    variables = {"PYTHONPATH": f"{BENCHES}:{CASES}:{PACKAGE}", MARK: secrets.token_hex(8)}
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
    return variables


def marked() -> set[int]:
    """All processes of this contender."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
            except OSError:
                pass  # It has ended, or is another user's.
    return found


if __name__ == "__main__":
    from harness import measures

    print(json.dumps(measures.perform(Order(**json.loads(sys.argv[1])))), flush=True)
    # Threads that still wait for a call that was lost must not keep this process.
    os._exit(0)
