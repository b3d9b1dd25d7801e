"""The stream of calls between this process and one pool, shared by all threads.

Nobody waits in order to gather: a caller queues its call and, unless somebody has already, asks the connection's writer
to come by. Whatever has been queued by then travels in one frame. Answers come back in batches as well. There is no
lock: each structure is changed by single atomic operations, and each counter by one thread.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from typing import Any

from dspex.client import Client, Stream
from dspex.errors import DspexError
from dspex.pool_errors import PoolFull, is_lost
from dspex.runtime.protocol import pack
from dspex.waiting import Answer, Awaited, Waiting, wake

# Calls on their way at once. The node takes 1,024 of a stream; more would block the connection, which others use, too.
WINDOW = 1000
# Calls that wait here for a place in the window.
QUEUE_MAX = 20_000
# Of one frame's calls, unless one alone is longer; a frame holds 32 MiB.
_FRAME_BYTES = 4 * 1024 * 1024
ARGUMENTS_MAX = 16 * 1024 * 1024

# id, command, arguments, queue_timeout_ms, timeout_ms, retries, traceparent
Call = tuple[int, str, bytes, "int | None", "int | None", "int | None", "str | None"]

# After one of these the next call goes over another stream; those that are under way are still answered on this one.
_STALE = frozenset({"POOL_NOT_OPEN", "NODE_STOPPING", "NODE_DRAINING"})


class Calls:
    """A stream of calls. Once it has ended it stays so; its pool opens another."""

    def __init__(self, client: Client, pool: str, caller: dict[str, Any]) -> None:
        self._pool = pool
        self._ids = itertools.count(1)
        self._waiting: dict[int, Waiting] = {}
        self._queue: deque[Call] = deque()
        # Whether the writer has been asked to come.
        self._asked = False
        # By the writer, by the reader.
        self._sent = 0
        self._answered = 0
        # The error that ended it, as in an answer.
        self._end: dict[str, Any] | None = None
        self._stale = False
        self._reader = 0
        self._stream: Stream = client.stream("pools.calls", {"pool": pool, "caller": caller}, self._deliver)

    @property
    def usable(self) -> bool:
        return self._end is None and not self._stale

    @property
    def on_reader(self) -> bool:
        """Whether this is the thread that brings the answers, so that waiting for one would last for ever."""
        return threading.get_ident() == self._reader

    def add(
        self,
        waiting: Waiting,
        command: str,
        arguments: bytes,
        limits: tuple[int | None, int | None, int | None],
        traceparent: str | None,
    ) -> int:
        """Queue a call; its number."""
        if len(self._queue) >= QUEUE_MAX:
            raise PoolFull(
                f"{QUEUE_MAX} calls of this process already wait for the pool {self._pool}: let some be answered "
                "first, or use Pool.map, which keeps a bounded number in flight",
                code="RESOURCE_EXHAUSTED",
                reason="POOL_FULL",
            )
        number = next(self._ids)
        self._waiting[number] = waiting
        self._queue.append((number, command, arguments, *limits, traceparent))
        self._ask()
        if self._end is not None and (late := self._waiting.pop(number, None)) is not None:
            late.take({"id": number, "error": self._end})
        return number

    def give_up(self, number: int) -> bool:
        """Nobody waits for this one any more; whether it was still expected."""
        return self._waiting.pop(number, None) is not None

    def close(self) -> None:
        self._stream.close()
        self._finish(
            {"code": "CANCELLED", "reason": "CLOSED", "message": "the client was closed while the call was under way"}
        )

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._stream.send_when_due(self._gather)

    def _gather(self) -> bytes | None:
        """On the writer's thread: the calls that are there."""
        # First, so that whoever queues from here on asks again.
        self._asked = False
        calls: list[Call] = []
        room = WINDOW - (self._sent - self._answered)
        size = 0
        queue, waiting = self._queue, self._waiting
        while queue and len(calls) < room:
            if size and size + len(queue[0][2]) > _FRAME_BYTES:
                self._ask()
                break
            call = queue.popleft()
            if call[0] in waiting:  # Else it was given up.
                calls.append(call)
                size += len(call[2])
        self._sent += len(calls)
        return pack(calls) if calls else None

    def _deliver(self, item: dict[str, Any] | DspexError | None) -> None:
        """On the reader's thread."""
        self._reader = threading.get_ident()
        if isinstance(item, dict):
            self._take(item.get("answers", []))
        elif item is None:
            self._finish(_described(DspexError("the node closed the stream of calls", code="UNAVAILABLE")))
        else:
            self._finish(_described(item))

    def _take(self, answers: list[Answer]) -> None:
        self._answered += len(answers)
        if self._queue:
            # There is room in the window again.
            self._ask()
        expected = self._waiting
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer]]] = {}
        for answer in answers:
            waiting = expected.pop(answer["id"], None)
            if waiting is None:
                continue  # It was given up.
            if answer.get("error") is not None and answer["error"].get("reason") in _STALE:
                self._stale = True
            if type(waiting) is Awaited:
                by_loop.setdefault(waiting.loop, []).append((waiting.future, answer))
            else:
                waiting.take(answer)
        for loop, settled in by_loop.items():
            wake(loop, settled)

    def _finish(self, error: dict[str, Any]) -> None:
        # First, so that whoever adds a call from here on sees it.
        self._end = error
        while self._waiting:
            try:
                number, waiting = self._waiting.popitem()
            except KeyError:
                break  # Given up meanwhile.
            waiting.take({"id": number, "error": error})
        self._queue.clear()


def _described(error: DspexError) -> dict[str, Any]:
    """As in an answer."""
    message = str(error.args[0])
    if is_lost(error.code, error.reason):
        message = (
            f"the connection to the node ended while the call was under way: {message}. Whether the call was executed "
            "is not known; the next one connects again"
        )
    return {"code": error.code, "reason": error.reason, "message": message, "metadata": error.metadata}
