"""A real node with one worker: the calls of a driver are begun in the order in which they were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dspex


def test_calls_are_begun_in_the_order_in_which_they_were_made(
    stop_node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSPEX_POOLS__GENERAL__WORKERS", "1")
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
