"""Which thread of a worker reads its socket: nothing is lost, doubled or waited for, whoever does."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dspex.runtime import inbox
from dspex.runtime.inbox import Inbox

PATIENCE_SECONDS = 30


class Node:
    """The other end: each byte is an item, 0 is the end, and 255 goes to another queue."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.readers: list[int] = []
        self.looks = 0
        self.others: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.inbox = Inbox(self.near, self._receive, self._look)
        self._ended = False
        self.guard = threading.Thread(target=self.inbox.guard, daemon=True)
        self.guard.start()

    def says(self, *items: int) -> None:
        self.far.sendall(bytes(items))

    def _receive(self) -> bool:
        data = self.near.recv(1024)
        self.readers.append(threading.get_ident())
        for item in data:
            if item == 255:
                self.others.put(item)
            elif item:
                self.inbox.put(item)
        if (not data or 0 in data) and not self._ended:
            self._ended = True
            self.inbox.put(None)
        return not self._ended

    def _look(self) -> None:
        self.looks += 1


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    node.inbox.alone()
    yield node
    node.far.close()
    node.guard.join(PATIENCE_SECONDS)
    assert not node.guard.is_alive(), "the guard ends with the socket"
    node.near.close()


def _until(holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_executing_thread_reads_for_itself_once_it_has_had_something_to_do(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy this machine is, nothing here is slow.
    monkeypatch.setattr(inbox, "_SLOW_SECONDS", PATIENCE_SECONDS)
    own = threading.get_ident()
    node.says(1)
    assert node.inbox.take() == 1, "read by the guard, which was there first"
    for item in range(2, 50):
        node.says(item)
        assert node.inbox.take() == item
    assert own not in node.readers[:1]
    assert set(node.readers[1:]) == {own}


def test_while_it_executes_something_slow_the_guard_reads(node: Node) -> None:
    node.says(1)
    node.inbox.take()
    node.says(2)
    node.inbox.take()
    node.says(255, 3)
    # Nobody takes anything: this thread "executes".
    assert node.others.get(timeout=PATIENCE_SECONDS) == 255
    assert node.readers[-1] == node.guard.ident
    assert node.inbox.take() == 3


def test_a_sleeping_guard_wakes_for_a_slow_item(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "LOOK_SECONDS", 0.001)
    node.says(1)
    node.inbox.take()
    taken: list[int] = []
    sleeping = threading.Timer(0.5, lambda: (taken.append(node.looks), node.says(2)))
    sleeping.start()
    assert node.inbox.take() == 2
    time.sleep(0.001)
    assert taken[0] < 100, "an idle worker's guard sleeps"
    node.says(255)
    assert node.others.get(timeout=PATIENCE_SECONDS) == 255, "and wakes when there is something to guard"


def test_what_comes_for_another_queue_is_read_while_waiting_for_it(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "_SLOW_SECONDS", PATIENCE_SECONDS)
    own = threading.get_ident()
    node.says(1)
    node.inbox.take()
    node.says(2, 255)
    assert node.inbox.wait_for(node.others) == 255
    assert node.inbox.take() == 2
    node.says(3)
    assert node.inbox.take() == 3
    assert node.readers[-1] == own


def test_a_message_that_is_no_item_does_not_stop_the_reading(node: Node) -> None:
    # The guard still reads, this thread waits for an item, and something else comes first.
    threading.Timer(0.05, lambda: node.says(255)).start()
    threading.Timer(0.15, lambda: node.says(7)).start()
    assert node.inbox.take() == 7
    assert node.others.get(timeout=1) == 255


def test_what_nobody_has_taken_is_given_back(node: Node) -> None:
    node.says(1, 2, 3)
    assert node.inbox.take() == 1
    _until(lambda: node.inbox.waiting())
    assert node.inbox.take_back() == [2, 3]
    node.says(4)
    assert node.inbox.take() == 4


def test_the_end_reaches_the_executing_thread_and_the_guard(node: Node) -> None:
    node.says(1)
    assert node.inbox.take() == 1
    node.far.close()
    assert node.inbox.take() is None


def test_an_end_stays_when_items_are_given_back(node: Node) -> None:
    node.says(5, 0)
    _until(lambda: node.inbox.waiting())
    time.sleep(0.05)
    assert node.inbox.take_back() in ([5], [])
    assert node.inbox.take() is None


@pytest.mark.parametrize("slow_every", [1, 7, 1000])
def test_nothing_is_lost_or_doubled_however_the_readers_change(
    node: Node, slow_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "LOOK_SECONDS", 0.0005)
    monkeypatch.setattr(inbox, "_SLOW_SECONDS", 0.0005)
    count = 300

    def talk() -> None:
        for number in range(count):
            node.says(1 + number % 250)
            if number % 5 == 0:
                time.sleep(0.0007)

    talking = threading.Thread(target=talk)
    talking.start()
    for number in range(count):
        assert node.inbox.take() == 1 + number % 250
        if number % slow_every == 0:
            time.sleep(0.002)
    talking.join()
    assert node.inbox.waiting() == 0


def test_with_several_executing_threads_the_guard_always_reads() -> None:
    node = Node()
    node.says(1)
    assert node.inbox.take() == 1
    for item in range(2, 20):
        node.says(item)
        assert node.inbox.take() == item
    assert set(node.readers) == {node.guard.ident}
    node.far.close()
    assert node.inbox.take() is None
    node.guard.join(PATIENCE_SECONDS)
    assert not node.guard.is_alive()
    node.near.close()


def test_the_guard_looks_after_several_threads_while_their_node_sends_and_then_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It looks for as long as this test wants, however busy the machine is.
    monkeypatch.setattr(inbox, "_IDLE_LOOKS", 1_000_000)
    node = Node()
    node.inbox.shared()
    assert not node.inbox.is_guarded, "nothing has come: it waits for as long as that lasts"
    for item in (1, 2, 3):
        node.says(item)
        assert node.inbox.take() == item
    _until(lambda: node.inbox.is_guarded)
    before = node.looks
    _until(lambda: node.looks > before)
    monkeypatch.setattr(inbox, "_IDLE_LOOKS", 2)
    node.says(4)
    assert node.inbox.take() == 4
    _until(lambda: not node.inbox.is_guarded)
    _until(lambda: node.near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) == bytes(16))
    asleep = node.looks
    time.sleep(3 * inbox.LOOK_SECONDS)
    assert node.looks == asleep
    monkeypatch.setattr(inbox, "_IDLE_LOOKS", 1_000_000)
    node.says(5)
    assert node.inbox.take() == 5
    _until(lambda: node.inbox.is_guarded)
    node.far.close()
    assert node.inbox.take() is None
    node.guard.join(PATIENCE_SECONDS)
    assert not node.guard.is_alive()
    node.near.close()
