"""What a worker says to its node: whole frames only, from this process only.

There is no sending thread: whoever finishes an example sends, and takes along whatever other threads finish while the
send is under way. Under the GIL a thread of its own would cost two switches for each result.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
from collections import deque
from typing import Any, Final, NoReturn

from dspex.runtime import protocol

# index, attempt, score, score_kind, prediction, canonical, failure, usage, cost_usd, duration_us, returned
Result = tuple[
    int,
    int,
    float,
    int,
    "bytes | None",
    "bytes | None",
    "dict[str, Any] | None",
    "dict[str, dict[str, int]] | None",
    "float | None",
    int,
    "bytes | None",
]

# Where a result has it.
DURATION: Final = 9

# id, status, body, duration_us, cpu_us
Reply = tuple[int, int, bytes, int, "int | None"]

EXIT_CONNECTION_LOST = 5


class Outbox:
    """The sending half of a worker's socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._owner = os.getpid()
        self._identity = _identity(connection)
        self._frames: deque[bytes] = deque()
        self._results: deque[Result] = deque()
        # To calls.
        self._replies: deque[Reply] = deque()
        self._sending = threading.Lock()
        os.register_at_fork(after_in_child=self._disown)

    def send(self, kind: int, body: dict[str, Any]) -> None:
        self._frames.append(protocol.encode_frame(kind, body))
        self.flush()

    def keep_result(self, result: Result) -> None:
        """It is sent with the next `flush`."""
        self._results.append(result)

    def keep_reply(self, reply: Reply) -> None:
        """It is sent with the next `flush`."""
        self._replies.append(reply)

    @property
    def is_keeping(self) -> bool:
        """Whether something is kept back, or on its way."""
        return bool(self._results or self._replies)

    def flush(self) -> None:
        """Send what is kept."""
        # The check is repeated after the release: what another thread adds while we hold the lock is ours to send.
        while (self._frames or self._results or self._replies) and self._sending.acquire(blocking=False):
            try:
                while self._frames:
                    self._write(self._frames.popleft())
                if self._results:
                    self._write(_frames_of(self._result_batch()))
                if self._replies:
                    self._write(protocol.encode_frame(protocol.REPLIES, {"replies": self._reply_batch()}))
            finally:
                self._sending.release()

    def leave_if_forked(self) -> None:
        """End a child of the worker that has fallen out of the user's code into ours."""
        if os.getpid() != self._owner:
            os._exit(0)

    def _disown(self) -> None:
        """In a child that user code forked: it must not hold the worker's socket open, let alone speak on it."""
        try:
            if _identity(self._connection) == self._identity:
                self._connection.close()
            else:
                self._connection.detach()
        except OSError:
            self._connection.detach()

    def _result_batch(self) -> list[Result]:
        """A long result goes alone: it may fill its frame."""
        batch: list[Result] = []
        size = 0
        while self._results:
            result = self._results[0]
            size += 512 + len(result[4] or b"") + len(result[5] or b"") + len(result[10] or b"")
            if batch and size > protocol.BATCH_BYTES:
                break
            batch.append(self._results.popleft())
        return batch

    def _reply_batch(self) -> list[Reply]:
        batch: list[Reply] = []
        size = 0
        while self._replies and size < protocol.BATCH_BYTES:
            reply = self._replies.popleft()
            size += 64 + len(reply[2])
            batch.append(reply)
        return batch

    def _write(self, frame: bytes) -> None:
        self.leave_if_forked()
        try:
            self._connection.sendall(frame)
        except BrokenPipeError:
            os._exit(0)  # The node is gone, which means stop.
        except OSError:
            self._lost()

    def _lost(self) -> NoReturn:
        print("dspex: the program closed the worker's connection to its node", file=sys.stderr, flush=True)
        os._exit(EXIT_CONNECTION_LOST)


def _frames_of(batch: list[Result]) -> bytes:
    """One frame, unless something in it has no form there."""
    try:
        return protocol.encode_frame(protocol.RESULTS, {"results": batch})
    except (protocol.ProtocolError, ValueError, OverflowError, TypeError) as error:
        if len(batch) > 1:
            return b"".join(_frames_of([result]) for result in batch)
        return protocol.encode_frame(protocol.RESULTS, {"results": [_least(batch[0], error)]})


def _least(result: Result, error: Exception) -> Result:
    """Without what a program can make as long and as odd as it likes. Its example must not cost the worker."""
    index, attempt, score, kind, shown, digest_form, failed, _, _, duration, back = result
    if back is not None:
        note = f"nothing but the score and the prediction's JSON came back: {error}"
        back = pickle.dumps({"notes": [protocol.printable(note)]})
    return index, attempt, score, kind, shown, digest_form, failed, None, None, duration, back


def _identity(connection: socket.socket) -> tuple[int, int]:
    status = os.fstat(connection.fileno())
    return status.st_dev, status.st_ino
