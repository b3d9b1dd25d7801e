"""A worker: a fork of the zygote that loads one run's program and executes its examples."""

from __future__ import annotations

import _thread
import atexit
import fcntl
import gc
import io
import logging
import os
import queue
import random
import resource
import signal
import socket
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from dspex.runtime import (
    accounting,
    asking,
    execution,
    loading,
    process,
    project,
    protocol,
    references,
    sandbox,
    sandbox_notes,
    serving,
    shipped,
)
from dspex.runtime.crew import Crew
from dspex.runtime.inbox import Inbox
from dspex.runtime.outbox import DURATION, Outbox

EXIT_PROTOCOL = 4
EXIT_BROKEN = 70
# For what the program left for its end; the node waits a little longer.
_STOP_GRACE_SECONDS = 1.5
# The node is gone, and nobody waits.
_LOST_GRACE_SECONDS = 0.2

# Above what programs open, and low enough for a small table in the kernel.
_HIGH_DESCRIPTOR = 900

# How long what came of a quick call or example may wait for those behind it, in microseconds of their execution.
_GATHER_MICROSECONDS = 3_000


def main(order: protocol.Fork, descriptor: int, output: int, zygote: int) -> NoReturn:
    """Become the worker that `order` describes. Called in the child, right after the fork."""
    connection = _become(order, descriptor, output, zygote)
    outbox = Outbox(connection)
    hello: dict[str, Any] = {"protocol": protocol.VERSION, "worker": order.worker, "pid": os.getpid()}
    listener = None
    if order.sandbox is not None:
        hello |= sandbox.apply(order.sandbox)
        listener = hello["listener"]
    outbox.send(protocol.HELLO, hello)
    Worker(connection, outbox, listener).run()


def _become(order: protocol.Fork, descriptor: int, output: int, zygote: int) -> socket.socket:
    os.setsid()
    if not process.die_with_parent(zygote):
        os._exit(0)
    # The only handler that the zygote changed; the rest is as Python starts.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(output, 2)
    process.close_all_but({descriptor})
    connection = socket.socket(fileno=_out_of_the_way(descriptor))
    # New streams: the zygote's remember what their descriptors were. The encoding is fixed, because a program's print
    # must not fail when the node runs with LANG=C.
    sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc, assignment]
    own = {"DSPEX_INSTANCE": os.environ["DSPEX_INSTANCE"], process.WORKER_VARIABLE: order.worker}
    _set_environment({**order.environment, **own})
    try:
        os.chdir(order.directory)
    except OSError as error:
        print(f"dspex worker: {order.directory}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(EXIT_BROKEN)
    _seed()
    _forget_exit_functions()
    gc.enable()
    return connection


def _out_of_the_way(descriptor: int) -> int:
    """The same socket under a number that nothing else gets: once user code has closed it, no file takes it over.

    Asking the kernel before each send what stands behind the number would let go of the GIL each time.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = _HIGH_DESCRIPTOR if soft == resource.RLIM_INFINITY else min(_HIGH_DESCRIPTOR, soft - 64)
    if lowest <= descriptor:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(descriptor)
    return moved


def _set_environment(wanted: dict[str, str]) -> None:
    """Only what differs is written: most often nothing does, and each write copies a page."""
    present = os.environ
    for name in [name for name in present if name not in wanted]:
        del present[name]
    for name, value in wanted.items():
        if present.get(name) != value:
            present[name] = value
    time.tzset()


def _stream(descriptor: int) -> TextIO:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _forget_exit_functions() -> None:
    """What was registered before the fork is the zygote's: a worker must not clean up after it."""
    atexit._clear()
    atexit.register(logging.shutdown)
    for inherited in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        inherited.atexit = False
    if weakref.finalize._registered_with_atexit:  # type: ignore[attr-defined]
        atexit.register(weakref.finalize._exitfunc)  # type: ignore[attr-defined]


def _flush_files() -> None:
    """What the program's open files hold: the process ends without the interpreter's own clean-up."""
    files = [each for each in gc.get_objects() if isinstance(each, (io.TextIOWrapper, io.BufferedWriter))]
    # A text file's lines go through its buffer, so the buffers come last.
    for each in sorted(files, key=lambda file: isinstance(file, io.BufferedWriter)):
        try:
            each.flush()
        except (OSError, ValueError):
            pass


def _seed() -> None:
    """Workers must not draw the same numbers: a fork copies the generators."""
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


class Worker:
    """The worker's threads: the guard of its inbox, and the ones that execute (the main thread alone, or several)."""

    def __init__(self, connection: socket.socket, outbox: Outbox, listener: int | None = None) -> None:
        # Where the node is asked what the sandbox lets pass. It has taken it by the time it says its first word; user
        # code, which comes after, must not answer for the node.
        self._listener = listener
        self._connection = connection
        self._outbox = outbox
        self._loads: queue.SimpleQueue[protocol.Load | protocol.Serve | None] = queue.SimpleQueue()
        self._frames = protocol.FrameReader(protocol.TO_WORKER)
        self._inbox = Inbox(connection, self._receive, self._look)
        # Of several threads; a single one is the main thread.
        self._crew: Crew | None = None
        self._runner: execution.Execution | None = None
        # The most items that were executed at once.
        self._at_once = 1
        # What the node said before there was a crew: it may answer the word that the program is loaded at once.
        self._wanted: int | None = None
        self._sizing = threading.Lock()
        self._stopping = threading.Lock()
        self._serving: serving.Serving | None = None
        self._questions = asking.Questions(outbox, self._inbox)

    def run(self) -> NoReturn:
        try:
            self._run()
        except BaseException:
            self._broken()

    def _run(self) -> NoReturn:
        # Not a threading.Thread: starting one waits for it, and `threading.enumerate()` shows the user's threads only.
        _thread.start_new_thread(self._inbox.guard, ())
        order = self._loads.get()
        if order is None:
            self._leave()
        if isinstance(order, protocol.Serve):
            self._serve(order)
        else:
            loaded = self._load(order)
            if loaded is None:
                self._loads.get()  # Nothing can be executed; the node will stop us.
                self._leave()
            self._runner = runner = execution.Execution(loaded, self._outbox)
            self._on_threads(loaded.threads, lambda: self._execute(runner), "dspex-example")
        self._leave()

    def _on_threads(self, threads: int, work: Callable[[], None], name: str) -> None:
        if threads == 1:
            self._inbox.alone()
            work()
            return
        self._at_once = threads
        self._inbox.shared()
        with self._sizing:
            self._crew = Crew(self._inbox, work, name)
            # Not first the one number and then the other: examples may be here already, and are begun at once.
            if self._wanted is None:
                self._crew.resize(threads)
            else:
                self._resize(self._crew, self._wanted)
        self._loads.get()

    def _resize(self, crew: Crew, count: int) -> None:
        self._at_once = max(self._at_once, count)
        if self._runner is not None:
            self._runner.threads = self._at_once
        crew.resize(count)

    def _serve(self, order: protocol.Serve) -> None:
        try:
            served = serving.Serving(order, self._outbox)
        except BaseException as error:
            self._outbox.leave_if_forked()
            failed = references.raised(error, f"loading the commands of the pool {order.pool}")
            self._outbox.send(protocol.LOAD_FAILED, _with_place(failed.body()))
            self._loads.get()
            return
        self._serving = served
        self._outbox.send(protocol.SERVING, {"commands": served.names})
        self._on_threads(order.threads, lambda: self._answer(served), "dspex-call")

    def _answer(self, served: serving.Serving) -> None:
        inbox, outbox = self._inbox, self._outbox
        try:
            gathered = 0
            while (call := inbox.take()) is not None:
                reply = served.call(call)
                duration, cpu = reply[3:]
                gathered += duration if cpu is None else min(cpu, duration)
                outbox.keep_reply(reply)
                if self._more_will_follow(gathered):
                    continue
                outbox.flush()
                gathered = 0
            outbox.flush()
        except BaseException:
            self._broken()

    def _more_will_follow(self, gathered: int) -> bool:
        """Whether what has come of an item may wait for the next ones; `gathered`: microseconds of all that waits.

        Quick items come many at once, and a system call for each would cost as much as the item. But only while the
        guard looks after what is kept: asked once it is kept, because the guard looks a last time when it stops. And
        where nothing is executed twice, no more items are here than execute at once: what has ended is never kept
        there, and is not lost with the worker.
        """
        inbox = self._inbox
        return inbox.is_guarded and gathered <= _GATHER_MICROSECONDS and inbox.waiting() >= self._at_once

    def _load(self, order: protocol.Load) -> loading.Loaded | None:
        accounting.install()
        sys.argv = [order.program.rpartition(":")[0]]
        project.enter(order.root, order.path)
        try:
            loaded = loading.load(order) if order.payload is None else shipped.load(order, self._questions)
            for rows in loaded.rows:
                self._outbox.send(protocol.ROWS, {"rows": rows})
            self._outbox.send(protocol.LOADED, loaded.report)
        except BaseException as error:
            # Much of what loading looks at is the user's: properties, signatures, settings.
            self._outbox.leave_if_forked()
            failed = references.raised(error, f"loading {order.program}")
            self._outbox.send(protocol.LOAD_FAILED, _with_place(failed.body()))
            return None
        return loaded

    def _execute(self, runner: execution.Execution) -> None:
        inbox, outbox = self._inbox, self._outbox
        try:
            gathered = 0
            while (item := inbox.take()) is not None:
                index, attempt, row, trace = item
                try:
                    result = runner.run(index, attempt, row, trace)
                except execution.NoScore as error:
                    message = protocol.bounded(str(error), 4096)
                    outbox.send(protocol.FATAL, {"message": message, "index": index})
                    continue
                gathered += result[DURATION]
                outbox.keep_result(result)
                if self._more_will_follow(gathered):
                    continue
                outbox.flush()
                gathered = 0
            outbox.flush()
        except BaseException:
            # Ours, not the user's: a worker that has lost a thread must not look alive.
            self._broken()

    def _broken(self) -> NoReturn:
        """End for a failure of the runtime's own, which must not read as if the program had exited."""
        self._outbox.leave_if_forked()
        try:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(EXIT_BROKEN)

    def _look(self) -> None:
        # What was kept back for company must not wait for a slow call.
        if self._outbox.is_keeping:
            self._outbox.flush()

    def _receive(self) -> bool:
        """Do what the node says next. False: it has said its last. BlockingIOError: nothing came in time."""
        try:
            data = self._connection.recv(1 << 18)
            if self._listener is not None:
                os.close(self._listener)
                self._listener = None
            for message in self._frames.feed(data):
                if not self._obey(message):
                    self._stop(_STOP_GRACE_SECONDS)
                    return False
        except protocol.ProtocolError as error:
            print(f"dspex worker: {error}", file=sys.stderr, flush=True)
            os._exit(EXIT_PROTOCOL)
        except BlockingIOError:
            raise
        except OSError:
            data = b""  # The end of the connection, however it came, means stop.
        if not data:
            self._stop(_LOST_GRACE_SECONDS)
        return bool(data)

    def _obey(self, message: Any) -> bool:
        """False: stop."""
        if isinstance(message, protocol.Execute):
            for index, attempt, row in message.examples:
                self._inbox.put((index, attempt, row, message.traces.get(index)))
        elif isinstance(message, protocol.Calls):
            for call in message.calls:
                self._inbox.put(call)
        elif isinstance(message, protocol.Ping):
            self._outbox.send(protocol.PONG, {"payload": message.payload})
        elif isinstance(message, protocol.Answer):
            self._questions.answer(message)
        elif isinstance(message, (protocol.Load, protocol.Serve)):
            self._loads.put(message)
        elif isinstance(message, protocol.Define):
            if self._serving is not None:
                self._serving.define(message.name, message.body)
        elif isinstance(message, protocol.Recall):
            self._outbox.send(protocol.RETURNED, {"calls": [call[0] for call in self._inbox.take_back()]})
        elif isinstance(message, protocol.Threads):
            # A main thread that is the only one stays so: a program may rely on that.
            with self._sizing:
                self._wanted = message.count
                if self._crew is not None:
                    self._resize(self._crew, message.count)
        else:
            return False
        return True

    def _stop(self, grace: float) -> None:
        """Let idle threads end the process in good order; a busy one is not waited for."""
        if not self._stopping.acquire(blocking=False):
            return  # Both threads may come to the end of the socket.
        try:
            _thread.start_new_thread(_exit_after, (grace,))
        except RuntimeError:
            os._exit(0)  # The program's threads are at the limit.
        self._loads.put(None)
        if self._crew is not None:
            self._crew.stop()
        else:
            self._inbox.put(None)

    def _leave(self) -> NoReturn:
        try:
            # As a script's end would: a program's exporters send their last batch, its log files get their last lines.
            atexit._run_exitfuncs()
        except BaseException:
            traceback.print_exc()
        _flush_files()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
        os._exit(0)


def _with_place(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "message": sandbox_notes.of_directory(body["kind"], body["message"])}


def _exit_after(grace: float) -> NoReturn:
    time.sleep(grace)
    os._exit(0)
