"""What a worker is to do, and which of its threads reads it from the socket.

A second thread that reads costs two switches for each frame, and under the GIL a wait. So with one executing thread,
that thread reads the socket itself whenever it has nothing to do. The other one, the guard, looks now and then, and
reads in its place while it executes something slow: a worker always hears its node.

With several executing threads the guard reads, and looks now and then while the node goes on sending.
"""

from __future__ import annotations

import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

# The guard looks so often. A look costs some switches, because it needs the GIL.
LOOK_SECONDS = 0.02
# What is executed for so long when the guard looks is slow.
_SLOW_SECONDS = 0.01
# Between items that are at hand, the executing thread looks for others so often.
_READ_SECONDS = 0.005
# After so many looks at an idle thread the guard sleeps until there is work again.
_IDLE_LOOKS = 10
# SO_RCVTIMEO: a read ends after a look's time, or waits for ever. A poll before each read would be one more system call
# that lets go of the GIL.
_READ_FOR_A_LOOK = struct.pack("@ll", 0, int(LOOK_SECONDS * 1_000_000))
_READ_FOR_EVER = struct.pack("@ll", 0, 0)

# To the executing thread: read.
_READ: Any = object()
# To one of several: wait until it is wanted again.
_PAUSE: Any = object()

T = TypeVar("T")


class Inbox:
    """Items for the executing threads; None means stop."""

    def __init__(self, connection: socket.socket, receive: Callable[[], bool], look: Callable[[], None]) -> None:
        """`receive` reads from the connection once and puts what came; False at its end, and BlockingIOError where
        nothing came in time. `look`: the guard looks."""
        self._connection = connection
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._receive = receive
        self._look = look
        # One for each thread: they must not be used at once.
        self._own_poll, self._guard_poll = _poll(connection), _poll(connection)
        # Those of several threads that are not wanted now wait here.
        self._paused = threading.Semaphore(0)
        # The one executing thread, if there is one.
        self._alone: int | None = None
        # There are several, and the guard looks after them.
        self._shared = False
        self._looks = False
        self._looked_at = 0.0
        self._turn = threading.Lock()
        # The rest is for who holds the turn.
        self._guard_reads = True
        self._own_reads = False
        # What the executing thread waits for while the guard reads.
        self._awaited: queue.SimpleQueue[Any] | None = None
        self._asleep = False
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._taken_at = 0.0
        self._read_at = 0.0

    def put(self, item: Any) -> None:
        self._items.put(item)

    def waiting(self) -> int:
        """Items that no thread has taken."""
        return self._items.qsize()

    def take_back(self) -> list[Any]:
        """All items that no thread has taken; an end stays."""
        items, ended = [], False
        pauses = 0
        try:
            while not ended:
                item = self._items.get_nowait()
                ended = item is None
                pauses += item is _PAUSE
                if not ended and item is not _READ and item is not _PAUSE:
                    items.append(item)
        except queue.Empty:
            pass
        self.pause(pauses)
        if ended:
            self._items.put(None)
        return items

    def pause(self, count: int) -> None:
        """So many of several threads stop taking items, once those that are there already are taken."""
        for _ in range(count):
            self._items.put(_PAUSE)

    def go_on(self, count: int) -> None:
        """So many of those that stopped, or are about to, take items again."""
        if count > 0:
            self._paused.release(count)

    def alone(self) -> None:
        """From now on, the calling thread is the only one that takes items."""
        self._alone = threading.get_ident()

    def shared(self) -> None:
        """From now on, several threads take items."""
        self._shared = True

    @property
    def is_guarded(self) -> bool:
        """The guard looks after what the executing threads keep back. With one of them: instead of reading."""
        return self._looks if self._shared else self._alone is not None and not self._guard_reads

    def take(self) -> Any:
        """The next item."""
        if self._alone is None:
            while (item := self._items.get()) is _PAUSE:
                self._paused.acquire()
            return item
        if time.perf_counter() - self._read_at > _READ_SECONDS and self.is_guarded and self._own_poll.poll(0):
            self._read_here()
        return self.wait_for(self._items)

    def wait_for(self, expected: queue.SimpleQueue[T]) -> T:
        """The next of a queue that what is read from the socket fills."""
        if self._alone != threading.get_ident():
            return expected.get()
        while True:
            try:
                item = expected.get_nowait()
            except queue.Empty:
                with self._turn:
                    self._awaited = expected if self._guard_reads else None
                if self._awaited is None:
                    self._read_here()
                    continue
                item = expected.get()
                with self._turn:
                    self._awaited = None
            if item is not _READ:
                self._taken_at = time.perf_counter()
                return item

    def _read_here(self) -> None:
        """Unless the guard has taken over meanwhile."""
        with self._turn:
            if self._guard_reads:
                return
            self._own_reads = True
        going_on = self._receive()
        with self._turn:
            self._own_reads = False
            # Idle before, it begins now: a look at this moment must not find it slow.
            self._read_at = self._taken_at = time.perf_counter()
            if not going_on:
                # The end has been put; whatever else is awaited, nothing will come.
                self._guard_reads = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._alarm.release()

    def guard(self) -> None:
        """Read, or look after the thread that reads, until the end of the socket."""
        while self._read():
            self._watch()

    def _read(self) -> bool:
        """False: the socket has ended. True: the executing thread took over."""
        while True:
            if self._alone is not None:
                # Looks meanwhile: what was slow may be over.
                come = self._guard_poll.poll(LOOK_SECONDS * 1000)
                with self._turn:
                    if self._awaited is not None or not self._is_slow():
                        # It reads as soon as it has nothing to do.
                        self._guard_reads = False
                        if self._awaited is not None:
                            self._awaited.put(_READ)
                        return True
                if not come:
                    continue
            if not (self._receive_and_look() if self._shared else self._receive()):
                return False

    def _receive_and_look(self) -> bool:
        """For several threads: looks while it waits, for a while."""
        for _ in range(_IDLE_LOOKS):
            try:
                going_on = self._receive()
            except BlockingIOError:
                self._look_now()
                continue
            if going_on and not self._looks:
                self._wait(_READ_FOR_A_LOOK)
                self._looks = True
            elif time.perf_counter() - self._looked_at > LOOK_SECONDS:
                # A node that says something all the time does not keep the guard from looking.
                self._look_now()
            return going_on
        self._looks = False
        # The last look for now: what was kept back before this is sent, and nothing is after it.
        self._look()
        self._wait(_READ_FOR_EVER)
        return True

    def _look_now(self) -> None:
        self._looked_at = time.perf_counter()
        self._look()

    def _wait(self, patience: bytes) -> None:
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, patience)

    def _is_slow(self) -> bool:
        return time.perf_counter() - self._taken_at > _SLOW_SECONDS

    def _watch(self) -> None:
        idle = 0
        while True:
            time.sleep(LOOK_SECONDS)
            self._look()
            with self._turn:
                if self._guard_reads:
                    return
                if self._own_reads:
                    idle += 1
                    asleep = self._asleep = idle > _IDLE_LOOKS
                else:
                    idle, asleep = 0, False
                    self._guard_reads = self._is_slow()
            if self._guard_reads:
                # The last look for now: what was kept back before this is sent, and nothing is after it.
                self._look()
                return
            if asleep:
                self._alarm.acquire()
                idle = 0


def _poll(connection: socket.socket) -> select.poll:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return poll
