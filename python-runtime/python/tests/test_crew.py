"""The threads of a worker: as many execute at once as the node says, and nothing is lost when that changes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dspex.runtime.crew import Crew
from dspex.runtime.inbox import Inbox

PATIENCE_SECONDS = 30


class Work:
    """Items that are executed until somebody lets them go."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.inbox = Inbox(self.near, lambda: False, lambda: None)
        self.gate = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.now = 0
        self.most = 0
        self.done: list[int] = []
        self.ended = 0
        self.crew = Crew(self.inbox, self._execute, "item")

    def _execute(self) -> None:
        while (item := self.inbox.take()) is not None:
            with self._lock:
                self.now += 1
                self.most = max(self.most, self.now)
            self.gate.acquire()
            with self._lock:
                self.now -= 1
                self.done.append(item)
        with self._lock:
            self.ended += 1

    def put(self, *items: int) -> None:
        for item in items:
            self.inbox.put(item)

    def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not what():
            assert time.monotonic() < deadline, f"{self.now} at once, {len(self.done)} done, {self.ended} ended"
            time.sleep(0.001)


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.crew.stop()
    work.gate.release(1000)
    work.near.close()
    work.far.close()


def test_as_many_execute_at_once_as_are_wanted(work: Work) -> None:
    work.crew.resize(3)
    work.put(*range(10))
    work.until(lambda: work.now == 3)
    work.crew.resize(5)
    work.until(lambda: work.now == 5)
    assert work.most == 5


def test_fewer_are_wanted_once_those_under_way_have_ended(work: Work) -> None:
    work.crew.resize(4)
    work.put(*range(4))
    work.until(lambda: work.now == 4)
    work.crew.resize(1)
    work.gate.release(4)
    work.until(lambda: len(work.done) == 4)
    work.most = 0
    work.put(*range(4, 8))
    for count in range(5, 9):
        work.until(lambda: work.now == 1)
        work.gate.release()
        work.until(lambda count=count: len(work.done) == count)
    assert (work.most, sorted(work.done)) == (1, list(range(8)))


def test_idle_threads_that_are_too_many_take_nothing(work: Work) -> None:
    work.crew.resize(8)
    work.crew.resize(2)
    work.put(*range(20))
    work.until(lambda: work.now == 2)
    work.gate.release(20)
    work.until(lambda: len(work.done) == 20)
    assert work.most == 2


def test_nothing_is_lost_whatever_is_wanted_meanwhile(work: Work) -> None:
    work.gate.release(10_000)
    for number in range(300):
        work.put(number)
        work.crew.resize(1 + number * 7 % 9)
    work.until(lambda: len(work.done) == 300)
    assert sorted(work.done) == list(range(300))
    work.crew.resize(9)
    work.gate = threading.Semaphore(0)
    work.put(*range(20))
    work.until(lambda: work.now == 9)


def test_all_threads_end_also_those_that_wait(work: Work) -> None:
    work.crew.resize(6)
    work.crew.resize(2)
    work.crew.stop()
    work.until(lambda: work.ended == 6)
    work.crew.resize(9)
    assert work.ended == 6
    work.until(lambda: not any(thread.name.startswith("item-") for thread in threading.enumerate()))


def limit_threads(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """As if the process might not have more threads of a crew than that."""
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def bounded(thread: threading.Thread) -> None:
        if len(started) == most:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", bounded)


def test_where_no_more_threads_can_be_started_those_that_are_there_work(
    work: Work, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    work.crew.resize(2)
    limit_threads(monkeypatch, 3)
    work.crew.resize(600)
    assert "5 threads execute, and not 600: can't start new thread" in capfd.readouterr().err
    work.put(*range(5))
    work.until(lambda: work.now == 5)
    # Fewer again: as many as are wanted go on, not as many fewer as were never there.
    work.crew.resize(3)
    work.put(*range(5, 20))
    work.gate.release(5)
    work.until(lambda: len(work.done) == 5 and work.now == 3)
    work.gate.release(20)
    work.until(lambda: len(work.done) == 20)


def test_a_crew_without_any_thread_says_so(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_threads(monkeypatch, 0)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        work.crew.resize(2)
