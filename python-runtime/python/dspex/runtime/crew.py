"""The threads of a worker that executes several items at once: as many as its node says."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from dspex.runtime.inbox import Inbox


class Crew:
    """Threads that take items from an inbox. Those that are too many now wait until they are wanted again."""

    def __init__(self, inbox: Inbox, work: Callable[[], None], name: str) -> None:
        self._inbox = inbox
        self._work = work
        self._name = name
        self._started = 0
        self._wanted = 0
        self._stopped = False
        # Orders come from the thread that reads the socket, the first size from another one.
        self._lock = threading.Lock()

    def resize(self, count: int) -> None:
        """From now on at most `count` items are executed at once; those that are being executed end first.

        Where the process may not have so many threads, those that it could start do the work.
        """
        with self._lock:
            if self._stopped or count < 1:
                return
            more, self._wanted = count - self._wanted, count
            if more < 0:
                self._inbox.pause(-more)
                return
            new = max(0, count - self._started)
            self._start(new)
            # What is there counts: more pauses than threads would stop them all.
            self._wanted = min(count, self._started)
            self._inbox.go_on(more - new)

    def _start(self, new: int) -> None:
        for missing in range(new, 0, -1):
            name = f"{self._name}-{self._started}"
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except RuntimeError as error:
                if self._started == 0:
                    raise  # Nobody would ever execute anything.
                told = f"{self._started} threads execute, and not {self._started + missing}: {error}"
                print(f"dspex worker: {told}", file=sys.stderr, flush=True)
                return
            self._started += 1

    def stop(self) -> None:
        """Each thread ends when it takes its next item."""
        with self._lock:
            self._stopped = True
            self._inbox.go_on(self._started)
            for _ in range(self._started):
                self._inbox.put(None)
