"""DSPex as a user has it, for tests of what documents show: `dspex` and `python` on PATH, a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
# Read when the tests are collected: the fixture `node` sets DSPEX_PROGRAM to a double.
_PROGRAM = os.environ.get("DSPEX_TEST_PROGRAM") or os.environ.get("DSPEX_PROGRAM")
# Documents are for the newest dspy; the suite is run with older ones, too.
CURRENT_DSPY = find_spec("dspy.lm15") is not None
# In `make test` nothing is left out because it is missing.
COMPLETE = "DSPEX_TEST_PROGRAM" in os.environ and CURRENT_DSPY
_KEPT = ("LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


def program() -> Path:
    """`make test` names it; otherwise it is where `make build` leaves it."""
    if not CURRENT_DSPY:
        pytest.skip("documents are for the newest dspy")
    path = Path(_PROGRAM or CHECKOUT / ".venv/bin/dspex")
    if not path.is_file():
        assert _PROGRAM is None, f"there is no program {path}"
        pytest.skip("the program is not built: make build, or DSPEX_TEST_PROGRAM")
    return path


@contextmanager
def installed(directory: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell in which DSPex is installed. The node that was started in it ends with the block."""
    commands = directory / "bin"
    commands.mkdir()
    # Wrappers: a link to a virtual environment's interpreter is an interpreter without its packages.
    for name, target in (("dspex", program()), ("python", Path(sys.executable))):
        (commands / name).write_text(f'#!/bin/sh\nexec {target} "$@"\n')
        (commands / name).chmod(0o755)
    home = directory / "home"
    home.mkdir()
    environment = {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "DSPEX_PYTHON": sys.executable,
        "DSPEX_PROGRAM": str(program()),
        "PYTHONPATH": str(CHECKOUT / "python-runtime/python"),
    }
    try:
        yield environment
    finally:
        subprocess.run([str(program()), "local", "stop"], env=environment, capture_output=True, timeout=60)
