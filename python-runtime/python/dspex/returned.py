"""What a worker sent back of an example, in the driver: its prediction, LM history, callback events and usage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from dspex.errors import ExampleError, RemoteError
from dspex.replay import replay
from dspex.runtime import dspy_seams
from dspex.runtime.collecting import HistoryEntry
from dspex.runtime.failure import class_name, message_of
from dspex.runtime.payload import Opener

# In the place of a part that is not there; None is a value.
ABSENT = object()
_INTEGER = 1
_BOOLEAN = 2


@dataclass
class Returned:
    """One example's. Objects of the program are the driver's own."""

    prediction: Any = ABSENT
    score: Any = ABSENT
    exception: BaseException | None = None
    history: list[HistoryEntry] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    usage: dict[str, list[Any]] | None = None
    trace: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def apply(self) -> None:
        """Do in the driver what the calls would have done here."""
        self._enter_history()
        self._add_usage()
        self._extend_trace()
        replay(self.events)

    def _enter_history(self) -> None:
        if not self.history:
            return
        outer = list(dspy.settings.caller_modules or [])
        for entry, client, modules in self.history:
            with dspy.context(caller_modules=[*outer, *modules]):
                # Of an LM that only the worker has: no history here but that of its callers.
                dspy_seams.enter_history(client if client is not None else _Nobody(), entry)

    def _add_usage(self) -> None:
        tracker = dspy.settings.usage_tracker
        if tracker is not None and self.usage:
            for model, entries in self.usage.items():
                tracker.usage_data[model].extend(entries)

    def _extend_trace(self) -> None:
        """As dspy.Predict does, from any of its threads."""
        trace = dspy.settings.trace
        for step in self.trace if trace is not None else ():
            if len(trace) >= dspy.settings.max_trace_size:
                trace.pop(0)
            trace.append(step)


class _Nobody:
    def __init__(self) -> None:
        self.history: list[Any] = []


def open_returned(data: bytes, objects: Sequence[Any]) -> Returned:
    """Never raises: the node has the score and the prediction's JSON."""
    if not data:
        return Returned()
    try:
        return Returned(**Opener(data, objects).load())
    except Exception as error:
        reason = f"{class_name(error)}: {message_of(error)}"
        return Returned(notes=[f"what a worker returned cannot be read here: {reason}"])


def score_of(result: dict[str, Any]) -> Any:
    """A plain number, of the type that the metric returned."""
    score: float = result["score"]
    kind = result.get("score_kind", 0)
    return bool(score) if kind == _BOOLEAN else int(score) if kind == _INTEGER else score


def prediction_from_json(data: bytes) -> dspy.Prediction:
    """What can be shown of a prediction that could not be pickled."""
    fields = json.loads(data) if data else {}
    return dspy.Prediction(**fields) if isinstance(fields, dict) else dspy.Prediction(prediction=fields)


def error_of(result: dict[str, Any], returned: Returned) -> ExampleError:
    failure = result["failure"]
    exception = returned.exception
    if not isinstance(exception, Exception):  # A worker also survives SystemExit; a driver must not be ended by it.
        exception = RemoteError(failure["type"], failure.get("message") or "")
    return ExampleError(
        index=result["index"],
        type=failure["type"],
        message=failure.get("message") or "",
        traceback=failure.get("traceback") or None,
        worker=failure.get("worker") or "",
        exception=exception,
    )
