"""The zygote: imports dspy once and forks workers on the node's command.

One thread and one loop, so that a fork copies no lock in a bad state. It never runs user code, calls no LM and opens
no connection. It must import on interpreters that lack everything else, so that a refusal can be told: hence the
imports inside functions.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dspex.runtime import protocol

EXIT_REFUSED = 3
EXIT_PROTOCOL = 4
# Reports that wait for the node to read them: tens of thousands of workers' worth.
MAX_UNSENT = 4 * 1024 * 1024


def main(instance: str, parent: int | str, confined: bool = False) -> NoReturn:
    """Serve the control socket on fd 0 until it ends. Called by the node's boot line.

    `confined`: its workers are sandboxed. What it imports is the operator's; it has no more rights than they have, all
    the same.
    """
    control = _take_control_socket()
    gc.disable()  # Collections while importing only cost time: one follows, before the heap is frozen.
    from dspex.runtime.preflight import Refusal

    try:
        ready = _prepare(int(parent), confined)
    except Refusal as refusal:
        _refuse(control, refusal.kind, refusal.message)
    except BaseException as error:
        # Never fall out of here: a thread that an import left behind would keep a process without a purpose alive.
        _refuse(control, "dspy_broken", f"the runtime failed to start: {type(error).__name__}: {error}")
    os.environ["DSPEX_INSTANCE"] = instance
    zygote = Zygote(control, confined)
    # What is frozen is never touched by a worker's collector, and so stays shared with it.
    gc.collect()
    gc.freeze()
    zygote.send("READY", ready)
    zygote.serve()


def _take_control_socket() -> socket.socket:
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    return control


def _prepare(parent: int, confined: bool) -> dict[str, Any]:
    """Everything that must hold before the first fork; the body of `ready`."""
    from dspex.runtime import preflight

    preflight.check_python()
    preflight.check_dspy_version()
    try:
        from dspex.runtime import process, protocol
    except ImportError as error:
        name = error.name or "ctypes"
        raise preflight.Refusal("dependency_missing", preflight.missing_dependency(name)) from error
    if not process.die_with_parent(parent):
        os._exit(0)  # Nobody is left to read a refusal.
    process.adopt_orphans()
    if confined:
        from dspex.runtime import sandbox

        sandbox.give_up_privileges()
    version, seconds = preflight.import_dspy()
    try:
        # The worker's own code is shared by the fork, too.
        from dspex.runtime import dspy_seams, warm, worker  # noqa: F401

        dspy_seams.put_off_cache()
        dspy_seams.keep_plain_adapters()
        warm.run()
    except BaseException as error:
        message = f"dspy {version} lacks what DSPex uses: {type(error).__name__}: {error}"
        raise preflight.Refusal("dspy_broken", message) from error
    threads = process.count_threads()
    if threads != 1:
        raise preflight.Refusal(
            "threads",
            f"importing dspy left {threads} threads in {sys.executable}: forking such a process is not safe. "
            "Look for a sitecustomize, a .pth file or a start-up hook (coverage, tracing) that starts threads.",
        )
    return {
        "protocol": protocol.VERSION,
        "pid": os.getpid(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "executable": sys.executable,
        "dspy": version,
        "sum_rule": "compensated" if sys.version_info >= (3, 12) else "plain",
        "import_seconds": seconds,
        "paths": process.library_paths(),
    }


def _refuse(control: socket.socket, kind: str, message: str) -> NoReturn:
    try:
        from dspex.runtime import protocol
    except Exception:
        # Without msgspec there are no frames; the node reads this line from the tail of the output.
        print("dspex-refused " + json.dumps({"kind": kind, "message": message}), file=sys.stderr, flush=True)
    else:
        try:
            control.sendall(protocol.encode_frame(protocol.REFUSED, {"kind": kind, "message": message}))
        except OSError:
            pass
    sys.stdout.flush()
    os._exit(EXIT_REFUSED)


class Zygote:
    """The loop over the control socket and the ends of children."""

    def __init__(self, control: socket.socket, confined: bool) -> None:
        from dspex.runtime import protocol

        self._protocol = protocol
        self._control = control
        self._confined = confined
        self._reader = protocol.FrameReader(protocol.TO_ZYGOTE)
        # Descriptors in the order of their arrival; each fork frame takes the next two (PROTOCOL.md).
        self._descriptors: list[int] = []
        self._pids: dict[str, int] = {}
        self._workers: dict[int, str] = {}
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._unsent = bytearray()
        self._poll = select.poll()
        self._poll.register(self._control, select.POLLIN)
        self._poll.register(self._wake_reader, select.POLLIN)

    def send(self, kind: str, body: dict[str, Any]) -> None:
        """Report to the node. Never blocks: a node that is slow to read must still be able to have a worker killed."""
        self._unsent += self._protocol.encode_frame(getattr(self._protocol, kind), body)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._control.send(self._unsent, socket.MSG_DONTWAIT)]
        except BlockingIOError:
            if len(self._unsent) > MAX_UNSENT:
                self._fail("the node does not read what it is told")
        except OSError:
            self._stop(0)  # The node is gone: its workers go with it.
        events = select.POLLIN | (select.POLLOUT if self._unsent else 0)
        self._poll.register(self._control, events)

    def serve(self) -> NoReturn:
        # The handler itself does nothing: what wakes the loop is the byte that the interpreter writes.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        while True:
            for descriptor, events in self._poll.poll():
                if descriptor == self._wake_reader.fileno():
                    self._drain_wakeups()
                    self._reap()
                    continue
                if events & select.POLLOUT:
                    self._flush()
                if events & ~select.POLLOUT:
                    self._receive()

    def _drain_wakeups(self) -> None:
        try:
            while self._wake_reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _receive(self) -> None:
        try:
            data, descriptors, flags, _ = socket.recv_fds(self._control, 1 << 16, 64, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            self._stop(0)
        self._descriptors += descriptors
        if not data:
            self._stop(0)
        if flags & socket.MSG_CTRUNC:
            self._fail("descriptors were lost on the control socket")
        try:
            for message in self._reader.feed(data):
                self._obey(message)
        except self._protocol.ProtocolError as error:
            self._fail(str(error))

    def _obey(self, message: object) -> None:
        if isinstance(message, self._protocol.Fork):
            self._fork(message)
        elif isinstance(message, self._protocol.Kill):
            pid = self._pids.get(message.worker)
            # Unknown: it has ended and was reaped, so that its pid may belong to someone else by now.
            if pid is not None:
                _kill_group(pid)
        else:
            self._stop(0)

    def _fork(self, order: protocol.Fork) -> None:
        if order.protocol != self._protocol.VERSION:
            text = f"the node speaks protocol {order.protocol}, this runtime {self._protocol.VERSION}"
            self.send("REFUSED", {"kind": "protocol", "message": text})
            self._stop(EXIT_REFUSED)
        if len(self._descriptors) < 2:
            self._fork_failed(order, "the fork frame came without its two descriptors")
            return
        connection, output = self._descriptors[:2]
        del self._descriptors[:2]
        try:
            if order.worker in self._pids:
                self._fork_failed(order, "a worker of this id is alive")
                return
            sys.stdout.flush()
            sys.stderr.flush()
            parent = os.getpid()
            try:
                pid = os.fork()
            except OSError as error:
                self._fork_failed(order, f"fork: {error.strerror}")
                return
            if pid == 0:
                self._become_worker(order, connection, output, parent)
            self._forked(order.worker, pid)
        finally:
            os.close(connection)
            os.close(output)

    def _forked(self, worker: str, pid: int) -> None:
        from dspex.runtime import process

        self._pids[worker] = pid
        self._workers[pid] = worker
        # Even if it has died by now, it is not reaped yet: its entry in /proc is still its own.
        self.send("FORKED", {"worker": worker, "pid": pid, "start_ticks": process.start_ticks(pid)})

    def _become_worker(self, order: protocol.Fork, connection: int, output: int, parent: int) -> NoReturn:
        from dspex.runtime import worker

        try:
            signal.set_wakeup_fd(-1)
            for own in (self._control, self._wake_reader, self._wake_writer):
                own.close()  # As objects: a late close by the collector would hit a number in use by then.
            worker.main(order, connection, output, parent)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            # Whatever happens, a worker never returns into the zygote's loop.
            os._exit(worker.EXIT_BROKEN)

    def _fork_failed(self, order: protocol.Fork, message: str) -> None:
        self.send("FORK_FAILED", {"worker": order.worker, "message": message})

    def _reap(self) -> None:
        """Report every child that has ended. Its group dies before its pid can be used again."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            _kill_group(pid)
            _, status = os.waitpid(pid, 0)
            worker = self._workers.pop(pid, None)
            if worker is not None:
                del self._pids[worker]
            self._kill_orphans()
            if worker is None:
                continue
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
            killer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
            self.send("EXITED", {"worker": worker, "pid": pid, "code": code, "signal": killer})

    def _kill_orphans(self) -> None:
        """What a dead worker started in sessions of their own has become ours; it goes, too."""
        from dspex.runtime import process

        for pid in process.children():
            if pid in self._workers:
                continue
            worker = process.worker_of(pid)
            # A hostile one takes the mark off.
            if worker not in self._pids if worker else self._confined:
                _kill_group(pid)

    def _fail(self, message: str) -> NoReturn:
        print(f"dspex zygote: {message}", file=sys.stderr, flush=True)
        self._stop(EXIT_PROTOCOL)

    def _stop(self, code: int) -> NoReturn:
        for pid in self._workers:
            _kill_group(pid)
        for pid in self._workers:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
        self._pids.clear()
        self._workers.clear()
        self._kill_orphans()
        os._exit(code)


def _kill_group(pid: int) -> None:
    """Kill a child that is not reaped yet, and its group. Just after the fork the group may not exist."""
    for kill in (os.kill, os.killpg):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
