"""A node's side of the protocol, small enough to read: it drives a real zygote over a real socket pair."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PACKAGE_ROOT))

# No test asserts how fast a machine is.
hypothesis.settings.register_profile("dspex", deadline=None)
hypothesis.settings.load_profile("dspex")

# A shell without job control starts what runs in the background deaf to Ctrl-C, and that is inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

BOOT = (
    "import sys; sys.path[:] = [sys.argv[1], *(p for p in sys.path if p)]; "
    "import dspex.runtime.zygote as zygote; zygote.main(sys.argv[2], sys.argv[3])"
)
# Most of it is for an interpreter that imports dspy beside all else that a busy machine does.
PATIENCE_SECONDS = 120
# The real program. Read before the fixture `node` names the double.
PROGRAM = (
    os.environ.get("DSPEX_TEST_PROGRAM")
    or os.environ.get("DSPEX_PROGRAM")
    or str(PACKAGE_ROOT.parents[1] / ".venv" / "bin" / "dspex")
)


class Connection:
    """Frames over a socket."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        end.settimeout(PATIENCE_SECONDS)
        self._buffer = b""

    def send(self, kind: int, body: dict[str, Any], descriptors: list[int] | None = None) -> None:
        frame = msgspec.msgpack.encode([kind, body])
        frame = struct.pack("<I", len(frame)) + frame
        if descriptors:
            frame = frame[socket.send_fds(self.socket, [frame], descriptors) :]
        self.socket.sendall(frame)

    def receive(self) -> tuple[int, dict[str, Any]] | None:
        """The next frame; None at the end of the connection."""
        while len(self._buffer) < 4 or len(self._buffer) < 4 + struct.unpack_from("<I", self._buffer)[0]:
            data = self.socket.recv(1 << 18)
            if not data:
                return None
            self._buffer += data
        (length,) = struct.unpack_from("<I", self._buffer)
        kind, body = msgspec.msgpack.decode(self._buffer[4 : 4 + length])
        self._buffer = self._buffer[4 + length :]
        return kind, body

    def expect(self, kind: int) -> dict[str, Any]:
        received = self.receive()
        assert received is not None, f"the connection ended before a frame of kind {kind}"
        assert received[0] == kind, received
        return received[1]

    def close(self) -> None:
        self.socket.close()


class Worker:
    """A forked worker, with its output collected."""

    def __init__(self, name: str, connection: Connection, output: int) -> None:
        self.name = name
        self.connection = connection
        self.output = b""
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    def _read(self, output: int) -> None:
        while data := os.read(output, 1 << 16):
            self.output += data
        os.close(output)

    def load(self, program: str, **more: Any) -> dict[str, Any]:
        kind, body = self.try_load(program, **more)
        assert kind == 17, body
        return body

    def try_load(self, program: str, **more: Any) -> tuple[int, dict[str, Any]]:
        order = {"threads": 1, "program": program, "lm_settings": [], "failure_score": 0.0, **more}
        self.connection.send(1, order)
        self.rows: list[bytes] = []
        while True:
            received = self.connection.receive()
            assert received is not None, self.output.decode()
            if received[0] != 19:
                return received
            self.rows += received[1]["rows"]

    def execute(self, rows: list[Any]) -> list[list[Any]]:
        """The results of these rows in order."""
        encoded = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        self.connection.send(2, {"examples": [[index, 1, row] for index, row in enumerate(encoded)]})
        results: dict[int, list[Any]] = {}
        while len(results) < len(rows):
            for result in self.connection.expect(20)["results"]:
                assert result[0] not in results, "a result came twice"
                results[result[0]] = result
        return [results[index] for index in range(len(rows))]

    def printed(self) -> str:
        self._reader.join(PATIENCE_SECONDS)
        return self.output.decode()


class Zygote:
    """A zygote process and its control connection."""

    def __init__(self, environment: dict[str, str] | None = None, python: list[str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [*(python or [sys.executable]), "-c", BOOT, str(PACKAGE_ROOT), "test-instance", str(os.getpid())],
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", **(environment or {})},
            )
        self.connection = Connection(ours)
        self._forks = 0

    def fork(self, directory: Path | str = "/", environment: dict[str, str] | None = None) -> Worker:
        self._forks += 1
        name = f"worker-{self._forks}"
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        with theirs:
            body = {"worker": name, "environment": environment or dict(os.environ), "directory": str(directory)}
            self.connection.send(1, body, [theirs.fileno(), writer])
        os.close(writer)
        forked = self.expect(18, name)
        worker = Worker(name, Connection(ours), reader)
        hello = worker.connection.expect(16)
        assert hello == {"protocol": 1, "worker": name, "pid": forked["pid"]}
        worker.pid = forked["pid"]  # type: ignore[attr-defined]
        worker.start_ticks = forked["start_ticks"]  # type: ignore[attr-defined]
        return worker

    def expect(self, kind: int, worker: str) -> dict[str, Any]:
        """The next frame of this kind about this worker; those about others are passed over."""
        while True:
            received = self.connection.receive()
            assert received is not None, "the zygote ended"
            if received[0] == kind and received[1]["worker"] == worker:
                return received[1]

    def stop(self) -> None:
        self.connection.close()
        try:
            self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    started = Zygote()
    started.ready = started.connection.expect(16)  # type: ignore[attr-defined]
    yield started
    started.stop()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's directory with a program whose LM answers in this process."""
    (tmp_path / "program.py").write_text(USERS_PROGRAM)
    return tmp_path


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What dspex.Evaluate talks to: the program that DSPEX_PROGRAM names, else the double in this directory."""
    if "DSPEX_PROGRAM" in os.environ:
        # Not the home of whoever runs the tests. Short: a socket's path may have 107 bytes.
        home = tempfile.mkdtemp(prefix="dspex-")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DSPEX_HOME", os.path.join(home, "home"))
            yield
            subprocess.run([os.environ["DSPEX_PROGRAM"], "local", "stop", "--force"], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)
        return
    os.environ["DSPEX_PROGRAM"] = _double(tmp_path_factory)
    yield
    del os.environ["DSPEX_PROGRAM"]


@pytest.fixture
def double(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The double, also where a real program is at hand: it stands for a node of any address."""
    from dspex.client import connection

    monkeypatch.setenv("DSPEX_PROGRAM", _double(tmp_path_factory))
    monkeypatch.setattr(connection, "_clients", {})
    yield
    for client in connection._clients.values():
        client.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """(method, body) of every request of this process to its client processes."""
    from dspex.client import connection

    requests: list[tuple[str, dict[str, Any]]] = []
    send = connection.Client._request

    def noting(self: Any, method: str, body: dict[str, Any], take: Any) -> int:
        requests.append((method, body))
        return send(self, method, body, take)

    monkeypatch.setattr(connection.Client, "_request", noting)
    return requests


def _double(places: pytest.TempPathFactory) -> str:
    program = places.mktemp("double") / "dspex"
    double = Path(__file__).with_name("client_double.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {double} "$@"\n')
    program.chmod(0o755)
    return str(program)


def gone(pid: int, seconds: float = 5) -> bool:
    """Whether the process ends within this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


USERS_PROGRAM = '''
import os
import sys
import threading
import time

import dspy

_meeting = threading.Lock()
_present = 0


class Act(dspy.Module):
    """Does what the example says."""

    def forward(self, action):
        if action == "raise":
            raise ValueError("told to")
        if action == "exit":
            sys.exit(7)
        if action == "interrupt":
            raise KeyboardInterrupt
        if action == "fork":
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
        if action == "die":
            os._exit(9)
        if action == "close":
            os.closerange(3, 4096)
        if action == "print":
            print("printed by the program")
        if action == "sleep":
            time.sleep(60)
        if action == "child":
            import subprocess
            child = subprocess.Popen(["sleep", "60"])
            return dspy.Prediction(answer=str(child.pid))
        if action == "environment":
            return dspy.Prediction(answer=repr([os.environ.get("MINE"), os.environ["DSPEX_INSTANCE"], os.getcwd()]))
        if action == "meet":
            global _present
            with _meeting:
                _present += 1
            time.sleep(0.2)
            with _meeting:
                met = _present
            time.sleep(0.1)
            with _meeting:
                _present -= 1
            return dspy.Prediction(answer=met)
        if action == "trace":
            return dspy.Prediction(answer=len(dspy.settings.trace))
        return dspy.Prediction(answer=action)


class AsyncOnly(dspy.Module):
    async def aforward(self, action):
        return dspy.Prediction(answer=action)


class Needy(dspy.Module):
    def __init__(self, k):
        super().__init__()


program = Act()
predict = dspy.Predict("question, context -> answer: int")
number = 17


def make():
    return Act()


def make_number():
    return 17


def metric(example, prediction):
    return 1.0


def none(example, prediction):
    pass


def text(example, prediction):
    return "good"


def fails(example, prediction):
    raise KeyError("label")


def scored(example, prediction):
    return dspy.Prediction(score=0.25)


def not_a_number(example, prediction):
    return float("nan")


def three(example, prediction, required):
    return 1


async def asynchronous(example, prediction):
    return 1


devset = [
    dspy.Example(action="a", tag={"x"}).with_inputs("action"),
    dspy.Example(action="b", n=1).with_inputs("action"),
]
empty = []
wrong = [{"action": "a"}]


def make_devset():
    return [dspy.Example(action=str(i)).with_inputs("action") for i in range(5)]


def broken_devset():
    raise OSError("no such table")


lm = dspy.LM("openai/mine")
not_an_lm = "openai/mine"
'''


@pytest.fixture
def stop_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Ends the node, a real one that these evaluations have for themselves."""
    from dspex.client import connection

    assert os.access(PROGRAM, os.X_OK), f"{PROGRAM} is missing: run make build, or set DSPEX_TEST_PROGRAM"
    place = tempfile.mkdtemp(prefix="dspex-")
    monkeypatch.setenv("DSPEX_PROGRAM", PROGRAM)
    monkeypatch.setenv("DSPEX_HOME", os.path.join(place, "home"))
    monkeypatch.delenv("DSPEX_ADDRESS", raising=False)
    monkeypatch.setattr(connection, "_clients", {})

    def stop() -> None:
        subprocess.run([PROGRAM, "local", "stop", "--force"], check=True, capture_output=True)

    yield stop
    for client in connection._clients.values():
        client.close()
    stop()
    shutil.rmtree(place, ignore_errors=True)
