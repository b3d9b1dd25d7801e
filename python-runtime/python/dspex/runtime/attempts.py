"""Attempts at one example of a bootstrap, before it is known whether they are needed: nothing is committed here."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy.teleprompt import BootstrapFewShot


@dataclass
class Attempt:
    """What one call of the teacher, and of the metric after it, came to."""

    prediction: Any = None
    # (name of the predictor or None, its inputs, its prediction)
    trace: list[tuple[str | None, Any, Any]] = field(default_factory=list)
    value: Any = None
    # Raised by the metric where `is_metrics`, else by the teacher.
    error: BaseException | None = None
    is_metrics: bool = False


class Attempting:
    """A function of examples: the attempts of all rounds, until one succeeds.

    What decides is dspy's own `_bootstrap_one_example`, with a copy of the teacher, so that several examples can be
    under way at once: dspy leaves the example out of the teacher's demos for as long as it is attempted.
    """

    def __init__(self, optimizer: Any) -> None:
        self.teacher = optimizer.teacher
        self.metric = optimizer.metric
        self._settings = optimizer.teacher_settings
        self._threshold = optimizer.metric_threshold
        self._rounds = optimizer.max_rounds

    def __call__(self, example: Any) -> list[Attempt]:
        attempts = []
        teacher = _copy(self.teacher)
        for number in range(self._rounds):
            attempt, is_success = self._attempt(teacher, example, number)
            attempts.append(attempt)
            if is_success:
                break
        return attempts

    def _attempt(self, teacher: Any, example: Any, number: int) -> tuple[Attempt, bool]:
        attempt = Attempt()
        names = {id(predictor): name for name, predictor in teacher.named_predictors()}

        def metric(example: Any, prediction: Any, trace: Any) -> Any:
            attempt.prediction = prediction
            attempt.trace = [(names.get(id(predictor)), inputs, outputs) for predictor, inputs, outputs in trace]
            attempt.is_metrics = True
            if self.metric:
                attempt.value = self.metric(example, prediction, trace)
                return attempt.value
            # Without a metric every prediction is good, whatever the threshold.
            return True if not self._threshold else self._threshold

        optimizer = self._optimizer(teacher, metric)
        try:
            return attempt, bool(optimizer._bootstrap_one_example(example, number))
        except Exception as error:
            attempt.error = error
            return attempt, False

    def _optimizer(self, teacher: Any, metric: Any) -> Any:
        """As far as one attempt looks at it."""
        optimizer = BootstrapFewShot.__new__(BootstrapFewShot)
        optimizer.teacher, optimizer.teacher_settings = teacher, self._settings
        optimizer.metric, optimizer.metric_threshold = metric, self._threshold
        # The first error is raised: what is made of it is decided where examples have an order.
        optimizer.max_errors, optimizer.error_count, optimizer.error_lock = 1, 0, threading.Lock()
        optimizer.predictor2name, optimizer.name2traces = {}, {}
        return optimizer


def _copy(teacher: Any) -> Any:
    copied = teacher.deepcopy()
    for (_, original), (_, copy) in zip(teacher.named_predictors(), copied.named_predictors(), strict=False):
        if isinstance(getattr(original, "lm", None), dspy.BaseLM):
            # The driver's own LM is told of its calls, a copy would be told in vain.
            copy.lm = original.lm
    return copied
