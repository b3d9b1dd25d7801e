"""A pool as a Python program sees it: commands are called on warm workers of a node."""

from __future__ import annotations

import asyncio
import operator
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import msgspec

from dspex import trace_context
from dspex.arguments import whole
from dspex.calls import ARGUMENTS_MAX, Calls
from dspex.errors import DspexError
from dspex.pool_command import called_name
from dspex.pool_stats import PoolStats
from dspex.waiting import Awaited, Blocked, Promise, Waiting, result_of

_encode = msgspec.json.Encoder().encode
# Queue limit in ms, time limit in ms, executions after a crash.
_Limits = tuple["int | None", "int | None", "int | None"]
_NO_LIMITS: _Limits = (None, None, None)


class Pool:
    """Calls of one pool. Safe to use from any thread, from coroutines, and after a fork.

    A command is `ping`, `create_program`, `execute_program`, the name of a function that a module of the pool marks
    with `@dspex.command`, or any function as "path.py:name" or "module:name". Its arguments are a JSON value: the
    fields of a dict are keyword arguments, anything else but None is the only argument. The result is a JSON value.

    Every call takes these limits, and has the pool's own where they are None:

    timeout: seconds that it may take in the worker; then it is ended with its worker, and `CallTimedOut` is raised.
    queue_timeout: seconds that it may wait for a worker; then `QueueTimeout` is raised.
    retries: how often it may be executed again after its worker died; then `WorkerLost` is raised. 0: never.
    """

    def __init__(
        self, name: str, open_stream: Callable[[str, bool], Calls], stats_of: Callable[[str], PoolStats]
    ) -> None:
        """Pools are made by `Client.pool`."""
        self.name = name
        self._open_stream = open_stream
        self._stats_of = stats_of
        self._calls: Calls | None = None
        self._opening = threading.Lock()
        self._is_closed = False
        _pools.add(self)

    def __repr__(self) -> str:
        return f"<dspex pool {self.name}>"

    def call(
        self,
        command: str,
        arguments: Any = None,
        *,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int | None = None,
    ) -> Any:
        """Call a command and wait for its result. Ctrl-C gives the call up."""
        calls = self._usable()
        if calls.on_reader:
            raise DspexError(
                "a callback of a future must not wait for another call: use submit, or wait on a thread of your own",
                code="FAILED_PRECONDITION",
            )
        waiting = Blocked()
        number = self._add(calls, waiting, command, arguments, _limits(timeout, queue_timeout, retries))
        try:
            return waiting.result()
        except BaseException:
            calls.give_up(number)
            raise

    def submit(
        self,
        command: str,
        arguments: Any = None,
        *,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int | None = None,
    ) -> Future[Any]:
        """Call a command without waiting.

        Cancelling the future gives the call up. Its callbacks run on the thread that brings all answers: they must be
        short.
        A node refuses calls that exceed its queue (`PoolFull`): keep a bounded number in flight, as `map` does.
        """
        calls = self._usable()
        promise = Promise()
        number = self._add(calls, promise, command, arguments, _limits(timeout, queue_timeout, retries))
        promise.give_up = lambda: calls.give_up(number)
        return promise

    def map(
        self,
        command: str,
        iterable: Iterable[Any],
        *,
        in_flight: int = 64,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int | None = None,
    ) -> Iterator[Any]:
        """Call a command with each value of an iterable: the results in the order of the values, as they are asked for.

        At most `in_flight` calls are on their way, and as many values are taken ahead. A call that fails raises where
        its result would stand; the others are then given up.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight is at least 1, not {in_flight}")
        under_way: deque[Future[Any]] = deque()
        try:
            for arguments in iterable:
                if len(under_way) >= in_flight:
                    yield under_way.popleft().result()
                under_way.append(
                    self.submit(command, arguments, timeout=timeout, queue_timeout=queue_timeout, retries=retries)
                )
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()

    async def acall(
        self,
        command: str,
        arguments: Any = None,
        *,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        retries: int | None = None,
    ) -> Any:
        """As `call`, in a coroutine. Cancelling it gives the call up."""
        calls = self._calls
        if calls is None or not calls.usable:
            # Connecting takes a while.
            calls = await asyncio.to_thread(self._usable)
        waiting = Awaited()
        number = self._add(calls, waiting, command, arguments, _limits(timeout, queue_timeout, retries))
        try:
            return result_of(await waiting.future)
        except asyncio.CancelledError:
            calls.give_up(number)
            raise

    def stats(self) -> PoolStats:
        """Its workers, queue and counters, at this moment."""
        return self._stats_of(self.name)

    def close(self) -> None:
        """Let go of the pool. Calls under way end with an error; the workers stay, they are the node's."""
        with self._opening:
            self._is_closed = True
            calls, self._calls = self._calls, None
        if calls is not None:
            calls.close()

    def _usable(self) -> Calls:
        calls = self._calls
        if calls is not None and calls.usable:
            return calls
        with self._opening:
            if self._is_closed:
                raise DspexError(f"the pool {self.name} is closed", code="FAILED_PRECONDITION", reason="CLOSED")
            calls = self._calls
            if calls is None or not calls.usable:
                # On the thread that brings the answers nothing can be asked first.
                lost = calls is not None and not calls.on_reader
                calls = self._calls = self._open_stream(self.name, lost)
            return calls

    @staticmethod
    def _add(calls: Calls, waiting: Waiting, command: str, arguments: Any, limits: _Limits) -> int:
        name = called_name(command)
        encoded = b"" if arguments is None else _encode(arguments)
        if len(encoded) > ARGUMENTS_MAX:
            raise DspexError(
                f"the arguments take {len(encoded)} bytes; the limit is 16 MiB: pass a file name, or fewer values",
                code="RESOURCE_EXHAUSTED",
                reason="TOO_LARGE",
            )
        return calls.add(waiting, name, encoded, limits, trace_context.current())

    def _forget(self) -> None:
        """In a fork: the stream is the parent's, and a thread that is not here may have held the lock."""
        self._calls = None
        self._opening = threading.Lock()


def _limits(timeout: float | None, queue_timeout: float | None, retries: int | None) -> _Limits:
    if timeout is None and queue_timeout is None and retries is None:
        return _NO_LIMITS
    count = None if retries is None else whole("retries", retries, least=0)
    return _milliseconds("queue_timeout", queue_timeout), _milliseconds("timeout", timeout), count


def _milliseconds(name: str, seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if not 0 <= seconds < 1e10:
        raise ValueError(f"{name} is a number of seconds, not {seconds}")
    return operator.index(max(1, round(seconds * 1000)))


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def forget_streams() -> None:
    for pool in list(_pools):
        pool._forget()
