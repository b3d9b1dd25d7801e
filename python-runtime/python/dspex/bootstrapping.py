"""BootstrapFewShot with several examples under way: attempts are made ahead, and committed in the trainset's order.

dspy's own loop and its own `_bootstrap_one_example` go on in the driver, one example after the other. What they call
is a teacher and a metric that answer with what a worker found out already. So all that they decide (who succeeds, when
to stop, which errors count, what goes into the demos) is decided as without us, by the same code in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dspy
from dspy.teleprompt import BootstrapFewShot
from dspy.utils.parallelizer import ParallelExecutor

from dspex.runtime.attempts import Attempt, Attempting

# Executor, function, items -> the results; None where this process should go on by itself.
Execute = Callable[[Any, Callable[[Any], Any], Sequence[Any]], "list[Any] | None"]
_NO_LIMIT = 2**31


def can_speculate(optimizer: Any) -> bool:
    """Whether an example of this optimizer is attempted by dspy's own method."""
    return type(
        optimizer
    )._bootstrap_one_example is BootstrapFewShot._bootstrap_one_example and "_bootstrap_one_example" not in vars(
        optimizer
    )


def bootstrap(optimizer: Any, window: int, execute: Execute, by_itself: Callable[[], Any]) -> Any:
    """What `by_itself`, dspy's own loop, does, with up to `window` examples under way at once."""
    speculation = _Speculation(optimizer, window, execute)
    optimizer._bootstrap_one_example = speculation.one_example
    try:
        return by_itself()
    finally:
        del optimizer._bootstrap_one_example


class _Speculation:
    def __init__(self, optimizer: Any, window: int, execute: Execute) -> None:
        self._optimizer = optimizer
        self._window = window
        self._execute = execute
        self._index = -1
        # Attempts that dspy's loop has not come to yet, by the index of their example.
        self._ahead: dict[int, list[Attempt]] = {}
        self._is_over = False

    def one_example(self, example: Any, round_idx: int = 0) -> Any:
        if round_idx == 0:
            self._index += 1
        attempt = self._attempt(round_idx)
        if attempt is None:
            return self._by_dspy(example, round_idx)
        before = self._demos()
        committed = self._commit(attempt, example, round_idx)
        if self._demos() != before:
            # dspy does not put back what it left out of the demos for an attempt in which the teacher raised. Attempts
            # that were made with those demos are not the ones that dspy would make now.
            self._ahead = {self._index: self._ahead[self._index]}
        return committed

    def _attempt(self, round_idx: int) -> Attempt | None:
        if self._index not in self._ahead and not self._is_over:
            self._look_ahead()
        attempts = self._ahead.get(self._index, ())
        return attempts[round_idx] if round_idx < len(attempts) else None

    def _look_ahead(self) -> None:
        examples = self._optimizer.trainset[self._index : self._index + self._window]
        executor = ParallelExecutor(num_threads=self._window, max_errors=_NO_LIMIT, disable_progress_bar=True)
        results = self._execute(executor, Attempting(self._optimizer), examples)
        if results is None:
            self._is_over = True
            return
        self._ahead = {}
        for number, attempts in enumerate(results):
            if attempts is None:
                # Its worker was lost, or took too long: to dspy the teacher has raised that.
                attempts = [Attempt(error=executor.exceptions_map[number])] * self._optimizer.max_rounds
            self._ahead[self._index + number] = attempts

    def _demos(self) -> list[list[int]]:
        predictors = self._optimizer.teacher.named_predictors()
        return [[id(demo) for demo in predictor.demos] for _, predictor in predictors]

    def _commit(self, attempt: Attempt, example: Any, round_idx: int) -> Any:
        optimizer = self._optimizer
        teacher, metric = optimizer.teacher, optimizer.metric
        optimizer.teacher = _Teacher(teacher, attempt)
        if metric:
            optimizer.metric = _Metric(metric, attempt)
        try:
            return self._by_dspy(example, round_idx)
        finally:
            optimizer.teacher, optimizer.metric = teacher, metric

    def _by_dspy(self, example: Any, round_idx: int) -> Any:
        return type(self._optimizer)._bootstrap_one_example(self._optimizer, example, round_idx)


class _Teacher:
    """Answers as the teacher has answered already."""

    def __init__(self, teacher: Any, attempt: Attempt) -> None:
        self._teacher = teacher
        self._attempt = attempt

    def named_predictors(self) -> Any:
        return self._teacher.named_predictors()

    def __call__(self, **inputs: Any) -> Any:
        attempt = self._attempt
        if attempt.error is not None and not attempt.is_metrics:
            raise attempt.error
        predictors = dict(self._teacher.named_predictors())
        trace = dspy.settings.trace
        trace.extend((predictors.get(name), inputs, outputs) for name, inputs, outputs in attempt.trace)
        return attempt.prediction


class _Metric:
    """Answers as the metric has answered already."""

    def __init__(self, metric: Any, attempt: Attempt) -> None:
        self._metric = metric
        self._attempt = attempt

    def __repr__(self) -> str:
        return repr(self._metric)  # As dspy's messages show it.

    def __call__(self, example: Any, prediction: Any, trace: Any) -> Any:
        if self._attempt.error is not None:
            raise self._attempt.error
        return self._attempt.value
