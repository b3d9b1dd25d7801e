"""Answers to what workers ask their driver: a metric that has to run here, or an LM that stays here."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import dspy
from dspy.utils import callback_context
from dspy.utils.usage_tracker import UsageTracker

from dspex.client import Stream
from dspex.returned import ABSENT, Returned
from dspex.runtime import asking, dspy_seams, failure, protocol, returning
from dspex.runtime.payload import Opener

_THREADS_MAX = 256


class Questions:
    """Answers them in the driver, as many at a time as examples are in flight."""

    def __init__(self, kind: str, threads: int) -> None:
        self._kind = kind
        # One at a time is on the caller's own thread, as under dspy.
        self._threads = ThreadPoolExecutor(min(threads, _THREADS_MAX), f"dspex-{kind}") if threads > 1 else None

    def answer(self, stream: Stream, question: dict[str, Any]) -> None:
        if self._threads is None:
            self._answer(stream, question)
        else:
            # Settings of dspy and the active call travel in the context.
            self._threads.submit(contextvars.copy_context().run, self._answer, stream, question)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def objects(self, index: int) -> Sequence[Any]:
        """What the worker of this example knows by number."""
        raise NotImplementedError

    def reply(self, index: int, asked: Returned) -> bytes:
        """What is asked about is the `prediction`."""
        raise NotImplementedError

    def _answer(self, stream: Stream, question: dict[str, Any]) -> None:
        reply = {"worker": question["worker"], "id": question["id"]}
        try:
            reply["body"] = self._body(question["index"], question["body"])
        except BaseException as error:
            # Not what is asked for: the question itself. The example fails, and the worker goes on.
            self.let_interrupt(error)
            reply["error"] = f"{failure.class_name(error)}: {failure.message_of(error)}"
        stream.send(protocol.pack(reply))

    def _body(self, index: int, body: bytes) -> bytes:
        asked = Opener(body, self.objects(index)).load()
        if (kind := asked.pop("kind")) != self._kind:
            raise ValueError(f"this version of dspex cannot answer questions of the kind {kind!r}")
        before = Returned(**asked)
        if before.prediction is ABSENT:
            raise ValueError(f"the prediction did not come along: {'; '.join(before.notes)}")
        before.apply()
        return self.reply(index, before)

    def let_interrupt(self, error: BaseException) -> None:
        """Ctrl-C reaches the caller's own thread only, and ends the evaluation."""
        if self._threads is None and isinstance(error, KeyboardInterrupt):
            raise error


class DriverMetric(Questions):
    """Computes the metric."""

    def __init__(self, metric: Callable[..., Any], devset: Sequence[Any], objects: Sequence[Any], threads: int) -> None:
        super().__init__("metric", threads)
        self._metric = metric
        self._devset = devset
        self._objects = objects
        # What the metric returned for each example that has not come back yet, and what it raised.
        self.scored: dict[int, tuple[Any, Any]] = {}
        self.raised: dict[int, BaseException] = {}

    def objects(self, index: int) -> Sequence[Any]:
        return self._objects

    def reply(self, index: int, asked: Returned) -> bytes:
        try:
            score = self._metric(self._devset[index], asked.prediction)
        except BaseException as error:  # SystemExit, too, as in a worker; on a thread nobody else would see it.
            self.let_interrupt(error)
            self.raised[index] = error
            return asking.answer_with_failure(failure.describe(error))
        self.raised.pop(index, None)
        self.scored[index] = (asked.prediction, score)
        return asking.answer_with(score)


class DriverLMs(Questions):
    """Calls LMs that stay in this process."""

    def __init__(self, objects: Callable[[int], Sequence[Any]], threads: int) -> None:
        super().__init__("lm", threads)
        self._objects = objects
        # Copies that programs have made in their workers, by name.
        self._copies: dict[str, Any] = {}

    def objects(self, index: int) -> Sequence[Any]:
        return self._objects(index)

    def reply(self, index: int, asked: Returned) -> bytes:
        call = asked.prediction
        tracker = UsageTracker()
        token = None
        if call["parent"] is not None:
            token = callback_context.ACTIVE_CALL_ID.set(call["parent"])
        modules = [*(dspy.settings.caller_modules or []), *call["modules"]]
        try:
            lm = self._lm(call["lm"], call["copies"])
            adapters = call["is_adapters"]
            marked = dspy_seams.adapters_call(lm, call["given"].get("messages")) if adapters else nullcontext()
            with marked, dspy.context(caller_modules=modules, usage_tracker=tracker):
                outputs = lm(*call["items"], **call["given"])
        except BaseException as error:
            self.let_interrupt(error)
            return self._told({"raised": error})
        finally:
            if token is not None:
                callback_context.ACTIVE_CALL_ID.reset(token)
        return self._told({"outputs": outputs, "usage": dict(tracker.usage_data)})

    def _lm(self, lm: Any, copies: Sequence[tuple[str, dict[str, Any]]]) -> Any:
        for name, changed in copies:
            lm = self._copies.get(name) or self._copies.setdefault(name, lm.copy(**changed))
        return lm

    @staticmethod
    def _told(answer: dict[str, Any]) -> bytes:
        pickled = returning.Returning([]).dumps
        try:
            return pickled(answer)
        except Exception:
            if "raised" not in answer:
                raise  # Which the worker is told as the reason.
            return pickled({"raised": RuntimeError(returning.told(answer["raised"]))})
