"""Questions of a worker to the driver of its run: what only the driver can do, such as a metric that uses its state."""

from __future__ import annotations

import itertools
import queue
from typing import TYPE_CHECKING, Any

import cloudpickle

from dspex.runtime import collecting, failure, protocol, returning
from dspex.runtime.payload import Opener

if TYPE_CHECKING:
    from dspex.runtime.inbox import Inbox
    from dspex.runtime.outbox import Outbox


class Unanswered(Exception):
    """The driver could not be asked, or gave no answer."""


class Questions:
    """Those under way. Asked by the threads of the examples, answered by the thread that reads the worker's socket."""

    def __init__(self, outbox: Outbox, inbox: Inbox) -> None:
        self._outbox = outbox
        self._inbox = inbox
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[protocol.Answer]] = {}

    def ask(self, index: int, body: bytes) -> bytes:
        """The answer. Waits as long as it takes: the node sees to it that no example waits for ever."""
        number = next(self._ids)
        answers: queue.SimpleQueue[protocol.Answer] = queue.SimpleQueue()
        self._waiting[number] = answers
        try:
            self._outbox.send(protocol.ASK, {"id": number, "index": index, "body": body})
            answer = self._inbox.wait_for(answers)
        finally:
            del self._waiting[number]
        if answer.error is not None or answer.body is None:
            raise Unanswered(f"the driver gave no answer: {answer.error}")
        return answer.body

    def answer(self, answer: protocol.Answer) -> None:
        waiting = self._waiting.get(answer.id)
        if waiting is not None:  # Else nobody waits for it any more.
            waiting.put(answer)


class DriverMetric:
    """A metric that the driver computes."""

    def __init__(self, questions: Questions, returns: returning.Returning) -> None:
        self._questions = questions
        self._returns = returns

    def __call__(self, example: Any, prediction: Any) -> Any:
        collected = collecting.current()
        assert collected is not None, "called outside of an example"
        question = self._returns.question("metric", collected, prediction)
        answer = Opener(self._questions.ask(collected.index, question)).load()
        if "failure" in answer:
            raise failure.RaisedThere(answer["failure"])
        collected.driver_has_prediction = True
        return answer["score"]


def answer_with(score: Any) -> bytes:
    """The driver's answer: the score, or what it adds up as where that cannot be pickled or is too long for a frame."""
    try:
        whole: bytes = cloudpickle.dumps({"score": score})
        if len(whole) <= returning.MAX_BYTES:
            return whole
    except Exception:
        pass
    return cloudpickle.dumps({"score": float(0 + score)})  # type: ignore[no-any-return]


def answer_with_failure(described: dict[str, Any]) -> bytes:
    return cloudpickle.dumps({"failure": described})  # type: ignore[no-any-return]
