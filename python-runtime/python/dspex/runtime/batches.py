"""A batch of dspy's: one function, called with items of any kind, in the place of a program and a metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import dspy

# What an item adds to the score of its run where dspy does not sum scores, and what one adds that came to nothing.
COMPLETED = 1
FAILED = 0


class Answer(NamedTuple):
    """What one item came to: all of it, what of it people are shown, and what it adds to the run's score."""

    whole: Any
    shown: Any
    score: Any


class Batch:
    """The function of `ParallelExecutor.execute`."""

    def __init__(self, function: Callable[[Any], Any], *, is_summed: bool, is_traced: bool) -> None:
        self._function = function
        # dspy sums the last of what the function returns: it is the batch of an evaluation.
        self._is_summed = is_summed
        # The driver keeps a trace.
        self._is_traced = is_traced

    def __call__(self, item: Any) -> Answer:
        if self._is_traced:
            return self._answer(self._function(item))
        with dspy.context(trace=None):
            return self._answer(self._function(item))

    def _answer(self, whole: Any) -> Answer:
        if isinstance(whole, Exception):
            # To dspy an item that returns an exception has failed, but it does not count as an error.
            return Answer(whole, str(whole), FAILED)
        if not self._is_summed:
            return Answer(whole, whole, COMPLETED)
        if whole is None:
            return Answer(None, None, FAILED)
        return Answer(whole, whole[0], whole[-1])
