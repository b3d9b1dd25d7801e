"""Answers to what workers ask their driver: a metric that has to run here."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dspex.client import Stream
from dspex.returned import ABSENT, Returned
from dspex.runtime import asking, failure, protocol
from dspex.runtime.payload import Opener

_THREADS_MAX = 256


class DriverMetric:
    """Computes the metric in the driver, as many at a time as examples are in flight."""

    def __init__(self, metric: Callable[..., Any], devset: Sequence[Any], objects: Sequence[Any], threads: int) -> None:
        self._metric = metric
        self._devset = devset
        self._objects = objects
        # What the metric returned for each example that has not come back yet, and what it raised.
        self.scored: dict[int, tuple[Any, Any]] = {}
        self.raised: dict[int, BaseException] = {}
        # One at a time is on the caller's own thread, as under dspy.
        self._threads = ThreadPoolExecutor(min(threads, _THREADS_MAX), "dspex-metric") if threads > 1 else None

    def answer(self, stream: Stream, question: dict[str, Any]) -> None:
        if self._threads is None:
            self._answer(stream, question)
        else:
            # Settings of dspy and the active call travel in the context.
            self._threads.submit(contextvars.copy_context().run, self._answer, stream, question)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _answer(self, stream: Stream, question: dict[str, Any]) -> None:
        reply = {"worker": question["worker"], "id": question["id"]}
        try:
            reply["body"] = self._body(question["index"], question["body"])
        except BaseException as error:
            # Not the metric: the question itself. The example fails, and the worker goes on.
            self._let_interrupt(error)
            reply["error"] = f"{failure.class_name(error)}: {failure.message_of(error)}"
        stream.send(protocol.pack(reply))

    def _body(self, index: int, body: bytes) -> bytes:
        asked = Opener(body, self._objects).load()
        if (kind := asked.pop("kind")) != "metric":
            raise ValueError(f"this version of dspex cannot answer questions of the kind {kind!r}")
        before = Returned(**asked)
        if before.prediction is ABSENT:
            raise ValueError(f"the prediction did not come along: {'; '.join(before.notes)}")
        before.apply()
        prediction = before.prediction
        try:
            score = self._metric(self._devset[index], prediction)
        except BaseException as error:  # SystemExit, too, as in a worker; on a thread nobody else would see it.
            self._let_interrupt(error)
            self.raised[index] = error
            return asking.answer_with_failure(failure.describe(error))
        self.raised.pop(index, None)
        self.scored[index] = (prediction, score)
        return asking.answer_with(score)

    def _let_interrupt(self, error: BaseException) -> None:
        """Ctrl-C reaches the caller's own thread only, and ends the evaluation."""
        if self._threads is None and isinstance(error, KeyboardInterrupt):
            raise error
