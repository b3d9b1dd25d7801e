"""Three ways to wait for the answer to a call: a blocked thread, a future, a coroutine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Protocol

import msgspec

from dspex.pool_errors import error_of

# As it stands in a frame: `id`, `result`, `worker`, ... and `error`.
Answer = dict[str, Any]

_decode = msgspec.json.Decoder().decode


def result_of(answer: Answer) -> Any:
    """The result, as Python has it. Raises what the call ended with instead."""
    error = answer.get("error")
    if error is not None:
        raise error_of(error)
    result = answer.get("result")
    return _decode(result) if result else None


class Waiting(Protocol):
    """Whoever waits for one answer."""

    def take(self, answer: Answer) -> None:
        """On the reader's thread; must not block and not raise."""


class Blocked:
    """A thread that waits. A bare lock: it costs a tenth of a Future."""

    __slots__ = ("_answer", "_done")

    def __init__(self) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self._answer: Answer = {}

    def take(self, answer: Answer) -> None:
        self._answer = answer
        self._done.release()

    def result(self) -> Any:
        self._done.acquire()
        return result_of(self._answer)


class Promise(Future[Any]):
    """The future of a call; it can be cancelled until the answer is there."""

    give_up: Callable[[], bool] | None = None

    def take(self, answer: Answer) -> None:
        if not self.set_running_or_notify_cancel():
            return
        try:
            result = result_of(answer)
        except Exception as error:
            self.set_exception(error)
        else:
            self.set_result(result)

    def cancel(self) -> bool:
        """Give the call up. One that has not left this process is not executed; one that has, may be."""
        if not super().cancel():
            return False
        if self.give_up is not None and self.give_up():
            # No answer will come that tells those in concurrent.futures.wait.
            self.set_running_or_notify_cancel()
        return True


class Awaited:
    """A coroutine that waits."""

    __slots__ = ("future", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Answer] = self.loop.create_future()

    def take(self, answer: Answer) -> None:
        wake(self.loop, [(self.future, answer)])


def wake(loop: asyncio.AbstractEventLoop, answers: Iterable[tuple[asyncio.Future[Answer], Answer]]) -> None:
    """One call into the loop for all answers: each costs it a system call."""
    try:
        loop.call_soon_threadsafe(_settle, answers)
    except RuntimeError:
        pass  # The loop is closed, and nobody waits.


def _settle(answers: Iterable[tuple[asyncio.Future[Answer], Answer]]) -> None:
    for future, answer in answers:
        if not future.done():
            future.set_result(answer)
