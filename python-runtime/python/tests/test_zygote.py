"""A real zygote: forks, reports ends, kills groups, and never outlives its node."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import BOOT, PACKAGE_ROOT, Zygote, gone

THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon={daemon}).start()"


def test_ready_says_what_it_is(zygote: Zygote) -> None:
    ready = zygote.ready
    assert ready["protocol"] == 1
    assert ready["pid"] == zygote.process.pid
    assert ready["python"] == ".".join(map(str, sys.version_info[:3]))
    assert ready["dspy"] == importlib.metadata.version("dspy")
    assert ready["sum_rule"] == ("compensated" if sys.version_info >= (3, 12) else "plain")
    assert ready["import_seconds"] > 0


def test_a_node_of_another_protocol_is_refused_before_anything_is_forked() -> None:
    zygote = Zygote()
    zygote.connection.expect(16)
    _, theirs = socket.socketpair()
    body = {"protocol": 2, "worker": "worker-1", "environment": {}, "directory": "/"}
    zygote.connection.send(1, body, [theirs.fileno(), theirs.fileno()])
    refused = zygote.connection.expect(17)
    assert refused == {"kind": "protocol", "message": "the node speaks protocol 2, this runtime 1"}
    assert zygote.connection.receive() is None, "it ends"
    zygote.stop()


def test_it_is_one_thread_and_holds_only_its_own_descriptors(zygote: Zygote) -> None:
    pid = zygote.process.pid
    assert len(os.listdir(f"/proc/{pid}/task")) == 1
    targets = {name: os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    assert targets["0"] == "/dev/null"
    assert sorted(target.split(":")[0] for name, target in targets.items() if int(name) > 2) == ["socket"] * 3


def test_a_worker_is_its_own_group_and_says_when_it_started(zygote: Zygote) -> None:
    worker = zygote.fork()
    assert os.getpgid(worker.pid) == worker.pid == os.getsid(worker.pid)
    assert int(Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[19]) == worker.start_ticks
    worker.connection.send(4, {"payload": b"are you there"})
    assert worker.connection.expect(22) == {"payload": b"are you there"}
    worker.connection.send(3, {})
    assert zygote.expect(19, worker.name) == {"worker": worker.name, "pid": worker.pid, "code": 0, "signal": None}


def test_a_worker_has_no_descriptor_but_its_own(zygote: Zygote) -> None:
    first, second = zygote.fork(), zygote.fork()
    for worker in (first, second):
        names = sorted(int(name) for name in os.listdir(f"/proc/{worker.pid}/fd"))
        assert names[:3] == [0, 1, 2]
        assert len(names) == 4
        worker.connection.close()
        zygote.expect(19, worker.name)


def test_kill_takes_the_group_along(zygote: Zygote, project: Path) -> None:
    worker = zygote.fork(project)
    worker.load("program.py:program", metric="metric", columns=["action"])
    (result,) = worker.execute([{"action": "child"}])
    child = int(result[4].split(b'"')[3])
    zygote.connection.send(2, {"worker": worker.name})
    assert zygote.expect(19, worker.name)["signal"] == signal.SIGKILL
    assert gone(child)


def test_a_child_of_a_worker_that_ended_dies_with_it(zygote: Zygote, project: Path) -> None:
    worker = zygote.fork(project)
    worker.load("program.py:program", metric="metric", columns=["action"])
    (result,) = worker.execute([{"action": "child"}])
    worker.connection.send(3, {})
    assert zygote.expect(19, worker.name)["code"] == 0
    assert gone(int(result[4].split(b'"')[3]))


def test_killing_an_unknown_worker_is_nothing(zygote: Zygote) -> None:
    zygote.connection.send(2, {"worker": "nobody"})
    worker = zygote.fork()
    worker.connection.close()
    zygote.expect(19, worker.name)


def test_a_fork_without_descriptors_is_refused(zygote: Zygote) -> None:
    zygote.connection.send(1, {"worker": "bare", "environment": {}, "directory": "/"})
    assert "descriptors" in zygote.expect(20, "bare")["message"]


def test_many_forks_in_one_write_keep_their_descriptors_apart(zygote: Zygote) -> None:
    workers = []
    for number in range(8):
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        name = f"burst-{number}"
        body = {"worker": name, "environment": {}, "directory": "/"}
        zygote.connection.send(1, body, [theirs.fileno(), writer])
        theirs.close()
        os.close(writer)
        workers.append((name, ours, reader))
    for name, ours, reader in workers:
        ours.settimeout(20)
        assert name.encode() in ours.recv(4096)
        ours.close()
        os.close(reader)
        zygote.expect(19, name)


def test_a_node_that_does_not_read_can_still_kill() -> None:
    own = Zygote()
    own.connection.expect(16)
    victim = own.fork()
    for _ in range(3000):  # Each is answered, and nobody reads the answers.
        own.connection.send(1, {"worker": victim.name, "environment": {}, "directory": "/"})
    own.connection.send(2, {"worker": victim.name})
    assert gone(victim.pid)
    assert own.expect(19, victim.name)["signal"] == signal.SIGKILL
    own.stop()


@pytest.mark.parametrize("how", ["close", "stop", "garbage"])
def test_the_end_of_the_control_socket_ends_everything(how: str) -> None:
    own = Zygote()
    own.connection.expect(16)
    worker = own.fork()
    if how == "close":
        own.connection.close()
    elif how == "stop":
        own.connection.send(3, {})
    else:
        own.connection.socket.sendall(struct.pack("<I", 3) + b"\xc1\xc1\xc1")
    assert own.process.wait(10) == (4 if how == "garbage" else 0)
    assert gone(worker.pid)
    own.stop()


def test_a_zygote_and_its_workers_die_with_their_node(tmp_path: Path) -> None:
    """The node is killed and closes nothing itself: a copy of its socket stays open in this process."""
    ours, theirs = socket.socketpair()
    node = f"""
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {BOOT!r}, {str(PACKAGE_ROOT)!r}, "i", str(os.getpid())],
                 stdin={theirs.fileno()}, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", node], pass_fds=[theirs.fileno()])
    theirs.close()
    zygote = Zygote.__new__(Zygote)
    from conftest import Connection

    zygote.connection, zygote._forks = Connection(ours), 0
    pid = zygote.connection.expect(16)["pid"]
    worker = zygote.fork()
    process.kill()
    process.wait()
    assert gone(pid)
    assert gone(worker.pid)
    ours.close()


def test_a_zygote_with_another_parent_leaves_at_once() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", BOOT, str(PACKAGE_ROOT), "i", "1"], stdin=theirs, cwd="/")
    theirs.close()
    assert process.wait(20) == 0
    ours.close()


@pytest.mark.parametrize(
    ("module", "code", "kind"),
    [
        ("dspy/__init__.py", "raise RuntimeError('half installed')", "dspy_broken"),
        ("dspy/__init__.py", THREAD.format(daemon=False), "dspy_broken"),
        ("cloudpickle.py", "raise ModuleNotFoundError('no', name='cloudpickle')", "dependency_missing"),
    ],
)
def test_an_interpreter_that_cannot_serve_says_why(tmp_path: Path, module: str, code: str, kind: str) -> None:
    file = tmp_path / module
    file.parent.mkdir(exist_ok=True)
    file.write_text(code)
    own = Zygote(environment={"PYTHONPATH": str(tmp_path)})
    refused = own.connection.expect(17)
    assert refused["kind"] == kind
    assert sys.executable in refused["message"]
    assert own.process.wait(10) == 3
    own.stop()


def test_threads_at_start_up_are_refused(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(THREAD.format(daemon=True))
    own = Zygote(environment={"PYTHONPATH": str(tmp_path)})
    assert own.connection.expect(17)["kind"] == "threads"
    assert own.process.wait(10) == 3
    own.stop()


def test_threads_that_numpy_would_start_do_not_keep_it_from_starting() -> None:
    own = Zygote(environment={"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"})
    own.connection.expect(16)
    own.stop()


@pytest.mark.parametrize(
    ("version", "kind"), [("3.2.0", "dspy_unsupported"), ("3.3.0", "dspy_unsupported"), ("3.5.1", "dspy_unsupported")]
)
def test_another_dspy_is_refused_before_it_is_imported(tmp_path: Path, version: str, kind: str) -> None:
    metadata = tmp_path / f"dspy-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dspy\nVersion: {version}\n")
    own = Zygote(environment={"PYTHONPATH": str(tmp_path)})
    started = time.monotonic()
    refused = own.connection.expect(17)
    assert (refused["kind"], version in refused["message"]) == (kind, True)
    assert time.monotonic() - started < 10
    own.stop()


def test_without_dspy_the_refusal_is_a_frame_and_without_msgspec_a_line(tmp_path: Path) -> None:
    bare = Zygote(python=[sys.executable, "-S"])
    line = bare.process.stdout.read().decode()
    assert line.startswith('dspex-refused {"kind": "dspy_missing"')
    assert bare.process.wait(10) == 3
    bare.stop()


def test_what_a_worker_started_in_a_session_of_its_own_dies_with_it(zygote: Zygote, tmp_path: Path) -> None:
    detach = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "open('child', 'w').write(str(child.pid))\n"
        "raise ValueError('enough')\n"
    )
    (tmp_path / "detach.py").write_text(detach)
    worker, other = zygote.fork(tmp_path), zygote.fork(tmp_path)
    kept = subprocess.Popen(["sleep", "600"], start_new_session=True)
    worker.try_load("detach.py:program")
    child = int((tmp_path / "child").read_text())
    assert not gone(child)
    os.kill(worker.pid, signal.SIGKILL)
    zygote.expect(19, worker.name)
    deadline = time.monotonic() + 10
    while not gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(child), "it outlived its worker"
    assert kept.poll() is None, "what is not the worker's is left alone"
    kept.kill()
    kept.wait()
    other.connection.send(4, {"payload": b"x"})
    other.connection.expect(22)
    other.connection.close()
