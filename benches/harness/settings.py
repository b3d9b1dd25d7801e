"""Which program and which interpreter are measured, where, and how long."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import machine

BENCHES = Path(__file__).resolve().parents[1]
ROOT = BENCHES.parent
CASES = BENCHES / "cases"
# The package of this checkout: for the peers; workers get the one that the program carries.
PACKAGE = ROOT / "python-runtime" / "python"

PROGRAM = os.environ.get("DSPEX_TEST_PROGRAM") or str(ROOT / ".venv" / "bin" / "dspex")
PYTHON = os.environ.get("DSPEX_TEST_PYTHON") or str(ROOT / ".venv" / "bin" / "python")
# The same with Ray and Dask, which nothing else needs (requirements/bench.in).
RAY_PYTHON = os.environ.get("DSPEX_BENCH_RAY_PYTHON", "")
_EXAMPLES = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/dspex/target") / "release/examples"
# Calls from Rust inside a node (actors/examples).
ROUND_TRIPS = os.environ.get("DSPEX_BENCH_ROUND_TRIPS") or str(_EXAMPLES / "pool_round_trips")
# Pages of executions, read from Rust inside a node (consensus/examples).
EXECUTION_PAGES = os.environ.get("DSPEX_BENCH_EXECUTION_PAGES") or str(_EXAMPLES / "execution_pages")
# The client of the consensus benchmarks (tests/examples), and the server beside which they are measured.
LOAD = os.environ.get("DSPEX_BENCH_CONSENSUS_LOAD") or str(_EXAMPLES / "consensus_load")
ETCD = os.environ.get("DSPEX_BENCH_ETCD") or "etcd"


@dataclass(frozen=True)
class Settings:
    quick: bool

    def pick(self, full: int, quick: int) -> int:
        return quick if self.quick else full


def parse(description: str | None) -> Settings:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_quick(parser)
    return Settings(parser.parse_args().quick)


def add_quick(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="a short form: less of everything, for a first look")


def has_ray(name: str = "Ray") -> bool:
    """Whether Ray, or another peer in its environment, can be measured; says so where it cannot."""
    if os.access(RAY_PYTHON, os.X_OK):
        return True
    say(f"{name} is left out: scripts/bench.sh makes an interpreter with it, or DSPEX_BENCH_RAY_PYTHON names one")
    return False


def environment(**more: str) -> dict[str, str]:
    """What every measured process gets: the caller's environment, without what would lead it elsewhere.

    The cost map is the one that ships with litellm, for both sides: else each import would ask the network for it.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("DSPEX_") and name != "PYTHONPATH"}
    return {**own, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **more}


@contextmanager
def directory() -> Iterator[Path]:
    """A temporary directory on a real file system where there is one: durable writes are part of what is measured."""
    made = Path(tempfile.mkdtemp(prefix="dspex-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def directory_on_disk() -> Iterator[Path]:
    """A temporary directory where a sync means something, or none at all."""
    memory = {"tmpfs", "ramfs"}
    if machine.filesystem(Path(tempfile.gettempdir())) in memory:
        # For all that asks from here on, the figures' own line about the file system included.
        tempfile.tempdir = "/var/tmp"
        if machine.filesystem(Path(tempfile.tempdir)) in memory:
            raise RuntimeError("temporary directories are in memory here: name a directory on a disk in TMPDIR")
    with directory() as made:
        yield made


def say(text: str) -> None:
    """For people; stdout carries figures only."""
    print(text, file=sys.stderr, flush=True)
