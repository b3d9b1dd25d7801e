"""A real node with one worker: the calls of a driver are begun in the order in which they were made."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROGRAM

import dspex
from dspex.client import connection


@pytest.fixture
def own_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    place = tempfile.mkdtemp(prefix="dspex-")
    monkeypatch.setenv("DSPEX_PROGRAM", PROGRAM)
    monkeypatch.setenv("DSPEX_HOME", os.path.join(place, "home"))
    monkeypatch.setenv("DSPEX_POOLS__GENERAL__WORKERS", "1")
    monkeypatch.delenv("DSPEX_ADDRESS", raising=False)
    monkeypatch.setattr(connection, "_clients", {})
    yield
    subprocess.run([PROGRAM, "local", "stop", "--force"], check=True, capture_output=True)
    shutil.rmtree(place, ignore_errors=True)


def test_calls_are_begun_in_the_order_in_which_they_were_made(own_node: None, tmp_path: Path) -> None:
    tools, noted = tmp_path / "tools.py", tmp_path / "noted"
    tools.write_text(
        "import time\n\ndef note(path, number):\n    time.sleep(0.002)\n"
        "    with open(path, 'a') as noted:\n        noted.write(f'{number}\\n')\n"
    )
    with dspex.connect() as client:
        pool = client.pool("general")
        futures = [
            pool.submit(f"{tools}:note", {"path": str(noted), "number": number}, queue_timeout=60)
            for number in range(100)
        ]
        for future in futures:
            future.result(60)
    assert [int(line) for line in noted.read_text().split()] == list(range(100))
