"""A real `dspex node` that the tests of one file have for themselves, on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from conftest import PROGRAM

from dspex.client import connection

PATIENCE_SECONDS = 60


class RealNode:
    """Its directory, its process, and how it comes and goes."""

    def __init__(self, place: Path, settings: str) -> None:
        self.place = place
        (place / "dspex.toml").write_text(settings)
        with open(place / "log", "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "node", "--config", str(place / "dspex.toml")], stderr=log)

    def is_ready(self) -> bool:
        """Whether its probe says so; an OSError says that nobody answers."""
        raise NotImplementedError

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            assert self.process.poll() is None, (self.place / "log").read_text()
            try:
                if self.is_ready():
                    return
            except OSError:
                pass  # It does not listen yet, or has no leader.
            assert time.monotonic() < deadline, (self.place / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()


Own = TypeVar("Own", bound=RealNode)


@contextmanager
def running(make: Callable[[Path], Own]) -> Iterator[Own]:
    """The node in a directory of its own, ready, for drivers that are told of no other."""
    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    place = Path(tempfile.mkdtemp(prefix="dspex-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DSPEX_PROGRAM", PROGRAM)
        patch.setenv("DSPEX_HOME", str(place / "home"))
        for name in ("DSPEX_ADDRESS", "DSPEX_TOKEN_FILE", "DSPEX_CA"):
            patch.delenv(name, raising=False)
        patch.setattr(connection, "_clients", {})
        started = make(place)
        try:
            started.wait_until_ready()
            yield started
            for client in connection._clients.values():
                client.close()
        finally:
            started.stop()
    # What a node has unpacked is read-only.
    subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)
    shutil.rmtree(place)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
