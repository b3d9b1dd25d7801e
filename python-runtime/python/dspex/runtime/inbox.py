"""What a worker is to do, and which of its threads reads it from the socket.

A second thread that reads costs two switches for each frame, and under the GIL a wait. So with one executing thread,
that thread reads the socket itself whenever it has nothing to do. The other one, the guard, looks now and then, and
reads in its place while it executes something slow: a worker always hears its node.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

# The guard looks so often. A look costs some switches, because it needs the GIL.
LOOK_SECONDS = 0.02
# What is executed for so long when the guard looks is slow.
_SLOW_SECONDS = 0.01
# After so many looks at an idle thread the guard sleeps until there is work again.
_IDLE_LOOKS = 10

T = TypeVar("T")


class Inbox:
    """Items for the executing threads; None means stop."""

    def __init__(self, receive: Callable[[], bool], look: Callable[[], None]) -> None:
        """`receive` reads from the socket once and puts what came; False at its end. `look`: the guard is looking."""
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._receive = receive
        self._look = look
        # The one executing thread, if there is one.
        self._alone: int | None = None
        self._turn = threading.Lock()
        # The rest is for who holds the turn.
        self._guard_reads = True
        self._own_reads = False
        self._awaited: queue.SimpleQueue[Any] | None = None
        self._taken_before = 0
        self._asleep = False
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._taken = 0
        self._taken_at = 0.0

    def put(self, item: Any) -> None:
        self._items.put(item)

    def empty(self) -> bool:
        return self._items.empty()

    def take_back(self) -> list[Any]:
        """All items that no thread has taken; an end stays."""
        items = []
        try:
            while (item := self._items.get_nowait()) is not None:
                items.append(item)
        except queue.Empty:
            return items
        self._items.put(None)
        return items

    def alone(self) -> None:
        """From now on, the calling thread is the only one that takes items."""
        self._alone = threading.get_ident()

    def take(self) -> Any:
        """The next item."""
        return self._items.get() if self._alone is None else self.wait_for(self._items)

    def wait_for(self, expected: queue.SimpleQueue[T]) -> T:
        """The next of a queue that what is read from the socket fills."""
        if self._alone != threading.get_ident():
            return expected.get()
        while True:
            try:
                item = expected.get_nowait()
            except queue.Empty:
                if self._read_or_wait(expected):
                    continue
                item = expected.get()
            self._taken += 1
            self._taken_at = time.perf_counter()
            return item

    def _read_or_wait(self, expected: queue.SimpleQueue[Any]) -> bool:
        """The executing thread has nothing to do. False: the guard reads, wait for it."""
        with self._turn:
            if self._guard_reads:
                self._awaited, self._taken_before = expected, self._taken
                return False
            self._own_reads = True
        going_on = self._receive()
        with self._turn:
            self._own_reads = False
            if not going_on:
                # The end has been put; whatever else is awaited, nothing will come.
                self._guard_reads = True
            wake, self._asleep = self._asleep, False
        if wake:
            self._alarm.release()
        return True

    def guard(self) -> None:
        """Read, or look after the thread that reads, until the end of the socket."""
        while self._read():
            self._watch()

    def _read(self) -> bool:
        """False: the socket has ended. True: the executing thread took over."""
        while self._receive():
            with self._turn:
                # What it waited for has come, so it has something to do, and reads when that is done.
                if self._awaited is not None and not (self._awaited.empty() and self._taken == self._taken_before):
                    self._awaited, self._guard_reads = None, False
                    return True
        return False

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
                elif time.perf_counter() - self._taken_at > _SLOW_SECONDS:
                    self._guard_reads = True
                    return
                else:
                    idle, asleep = 0, False
            if asleep:
                self._alarm.acquire()
                idle = 0
