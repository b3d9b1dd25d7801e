"""One example: the program, then the metric, exactly as dspy.Evaluate calls them, and what came of it."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from typing import Any, Protocol

import dspy
from dspy.dsp.utils.settings import thread_local_overrides

from dspex.runtime import accounting, failure, loading, protocol, tracing
from dspex.runtime.batches import Answer
from dspex.runtime.canonical import canonical
from dspex.runtime.directory import WorkingDirectory
from dspex.runtime.outbox import Result

INTEGRAL = 0
FLOATING = 1
OBJECT = 2
BOOLEAN = 3


class NoScore(Exception):
    """The metric returned what dspy.Evaluate cannot sum: the run cannot have a score."""


class Process(Protocol):
    """The process that examples run in (an Outbox knows whether it still is the worker)."""

    def leave_if_forked(self) -> None: ...


class Execution:
    """Executes examples of one loaded run. Safe to call from several threads."""

    def __init__(self, loaded: loading.Loaded, process: Process) -> None:
        self._program = loaded.program
        self._metric: Callable[..., Any] = loaded.metric or _no_metric
        self._answer: Callable[[Any], Answer] = loaded.batch or self._evaluate
        self._read = loaded.reader.read
        self._process = process
        self._collect = loaded.collecting
        # The most examples that were executed at once; the node may change how many those are.
        self.threads = loaded.threads
        self._failure_score = float(loaded.failure_score)
        self._failure_kind = INTEGRAL if isinstance(loaded.failure_score, int) else FLOATING
        # Each example starts from what the imports left, whatever thread it runs on and whatever ran before it.
        self._context = contextvars.copy_context()
        # The same of dspy's settings: as overrides they go before what `dspy.configure` in an example changes for all.
        self._context.run(thread_local_overrides.set, dspy.settings.copy())
        self._directory = WorkingDirectory()

    def run(self, index: int, attempt: int, row: bytes, trace: str | None = None) -> Result:
        """The result; NoScore when there can be none."""
        with self._directory:
            return self._context.copy().run(self._run, index, attempt, row, trace)

    def _run(self, index: int, attempt: int, row: bytes, trace: str | None) -> Result:
        account = accounting.Account()
        overrides: dict[str, Any] = {"trace": [], accounting.CONTEXT_KEY: account}
        collected = None
        if self._collect is not None:
            collected = self._collect.begin(index)
            overrides.update(collected.overrides())
        whole = returned = raised = None
        started = time.perf_counter_ns()
        score, kind = self._failure_score, self._failure_kind
        shown = digest_form = failed = None
        try:
            with dspy.context(**overrides), tracing.under(trace):
                whole, to_show, returned = self._answer(self._read(row))
            self._process.leave_if_forked()
            score, kind = _score(returned)
            shown, digest_form = canonical(to_show)
        except NoScore:
            raise
        except BaseException as error:  # SystemExit, too: no example ends the worker.
            self._process.leave_if_forked()
            score, kind = self._failure_score, self._failure_kind
            shown = digest_form = None
            failed = failure.describe(error)
            raised = error
        duration = (time.perf_counter_ns() - started) // 1000
        back = None
        if self._collect is not None and collected is not None:
            room = protocol.RESULT_BYTES - len(shown or b"") - len(digest_form or b"")
            back = self._collect.returned(collected, whole, returned, raised, room)
        if account.histories:
            accounting.trim_histories(account, self.threads)
        usage, cost = account.usage(), account.cost()
        return index, attempt, score, kind, shown, digest_form, failed, usage, cost, duration, back

    def _evaluate(self, example: Any) -> Answer:
        prediction = self._program(**example.inputs())
        return Answer(prediction, prediction, self._metric(example, prediction))


def _no_metric(example: Any, prediction: Any) -> Any:
    raise NoScore("the run was loaded without a metric")


def _score(returned: Any) -> tuple[float, int]:
    """(the value, how it adds up). dspy.Evaluate sums scores, so what `0 + score` refuses is no score."""
    kind = type(returned)
    if kind is float:
        return returned, FLOATING
    if returned is None:
        raise NoScore("the metric returned None; it must return a number (is a `return` missing?)")
    try:
        value = float(0 + returned)
    except Exception as error:
        shown = f"{kind.__module__}.{kind.__qualname__}"
        raise NoScore(f"the metric returned {shown}, which is not a number: {failure.message_of(error)}") from error
    return value, BOOLEAN if kind is bool else INTEGRAL if kind is int else OBJECT
