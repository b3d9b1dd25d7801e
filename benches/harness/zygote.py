"""A node's side of the worker protocol (python-runtime/PROTOCOL.md): zygotes and workers without a node around."""

from __future__ import annotations

import os
import select
import socket
import struct
import subprocess
from collections.abc import Iterator
from typing import Any

import msgspec

from harness.settings import PACKAGE, PYTHON, environment

_BOOT = (
    "import sys; sys.path[:] = [sys.argv[1], *(p for p in sys.path if p)]; "
    "import dspex.runtime.zygote as zygote; zygote.main(sys.argv[2], sys.argv[3])"
)
_PATIENCE_SECONDS = 60

FORK, STOP_ZYGOTE = 1, 3
READY, FORKED, EXITED = 16, 18, 19
LOAD, EXECUTE, STOP_WORKER, PING = 1, 2, 3, 4
HELLO, LOADED, RESULTS, PONG = 16, 17, 20, 22


class Connection:
    """Frames over a socket."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        end.settimeout(_PATIENCE_SECONDS)
        self._buffer = b""

    def send(self, kind: int, body: dict[str, Any], descriptors: list[int] | None = None) -> None:
        data = msgspec.msgpack.encode([kind, body])
        frame = struct.pack("<I", len(data)) + data
        if descriptors:
            frame = frame[socket.send_fds(self.socket, [frame], descriptors) :]
        self.socket.sendall(frame)

    def receive(self) -> tuple[int, dict[str, Any]]:
        """The next frame."""
        while (frame := self._next()) is None:
            self._read()
        return frame

    def receive_all(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The frames that one read completes."""
        self._read()
        while (frame := self._next()) is not None:
            yield frame

    def _read(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the connection ended early")
        self._buffer += data

    def _next(self) -> tuple[int, dict[str, Any]] | None:
        if len(self._buffer) < 4:
            return None
        end = 4 + struct.unpack_from("<I", self._buffer)[0]
        if len(self._buffer) < end:
            return None
        kind, body = msgspec.msgpack.decode(self._buffer[4:end])
        self._buffer = self._buffer[end:]
        return kind, body

    def expect(self, kind: int) -> dict[str, Any]:
        """The next frame, which must be of this kind."""
        received, body = self.receive()
        if received != kind:
            raise ConnectionError(f"a frame of kind {received} instead of {kind}: {body}")
        return body

    def close(self) -> None:
        self.socket.close()


class Worker:
    """A forked worker; its output goes nowhere."""

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self.connection = connection
        self.pid = 0

    def execute(self, rows: list[bytes]) -> None:
        """Orders these examples, and takes in all results."""
        self.connection.send(EXECUTE, {"examples": [[index, 1, row] for index, row in enumerate(rows)]})
        seen = 0
        while seen < len(rows):
            results = self.connection.expect(RESULTS)["results"]
            for result in results:
                if result[6] is not None:
                    raise RuntimeError(f"an example failed: {result[6]}")
            seen += len(results)


class Zygote:
    """A zygote process and its control connection."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        variables = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self._environment = environment(**variables)
        with theirs:
            self.process = subprocess.Popen(
                [PYTHON, "-c", _BOOT, str(PACKAGE), "benchmark", str(os.getpid())],
                stdin=theirs,
                cwd="/",
                env=self._environment,
            )
        self.connection = Connection(ours)
        self._forks = 0
        self._nowhere = os.open(os.devnull, os.O_WRONLY)

    def __enter__(self) -> Zygote:
        self.connection.expect(READY)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        os.close(self._nowhere)
        self.process.wait(_PATIENCE_SECONDS)

    def order(self) -> Worker:
        """Asks for a worker and does not wait for it."""
        self._forks += 1
        name = f"worker-{self._forks}"
        ours, theirs = socket.socketpair()
        with theirs:
            body = {"worker": name, "environment": self._environment, "directory": "/"}
            self.connection.send(FORK, body, [theirs.fileno(), self._nowhere])
        return Worker(name, Connection(ours))

    def end(self, workers: list[Worker]) -> None:
        """Stops workers, and waits until the last is reaped."""
        for worker in workers:
            worker.connection.close()
        missing = {worker.name for worker in workers}
        while missing:
            kind, body = self.connection.receive()
            if kind == EXITED:
                missing.discard(body["worker"])


def as_they_speak(workers: list[Worker]) -> Iterator[tuple[Worker, int]]:
    """What the workers say, as it comes: the worker and the kind of frame; for ever."""
    by_descriptor = {worker.connection.socket.fileno(): worker for worker in workers}
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = poll.poll(1000 * _PATIENCE_SECONDS)
        if not ready:
            raise TimeoutError("no worker speaks")
        for descriptor, _ in ready:
            worker = by_descriptor[descriptor]
            for kind, _body in worker.connection.receive_all():
                yield worker, kind
