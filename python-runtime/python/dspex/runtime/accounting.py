"""What one example used: tokens and money of its LM calls, seen where dspy finishes a call.

The account travels in dspy's own context, so that it follows the example into `dspy.Parallel` and async code, and
leaves `usage_tracker` alone: a program that tracks usage itself sees what it sees under dspy.Evaluate.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import dspy
import pydantic
from dspy.clients import base_lm

from dspex.runtime import dspy_seams

CONTEXT_KEY = "_dspex_account"

_DSPY_HISTORY = 10_000

_stop: Callable[[], None] | None = None


class Answer:
    """One answer that was paid for."""

    __slots__ = ("cost", "model", "usage")

    def __init__(self, model: str, usage: Any, cost: Any) -> None:
        self.model = model
        self.usage = usage
        self.cost = cost


class Account:
    """The calls of one example, from any of its threads."""

    __slots__ = ("_answers", "_calls", "histories")

    # The most calls that any example of this worker has made so far, those under way included.
    most_calls: ClassVar[int] = 1

    def __init__(self) -> None:
        self._calls = itertools.count(1)
        self._answers: list[Answer] = []
        self.histories: list[list[Any]] = []

    def answered(self, model: str, usage: Any, cost: Any) -> Answer:
        answer = Answer(model, usage, cost)
        self._answers.append(answer)
        return answer

    def remember(self, history: list[Any], modules: Any) -> None:
        """One more call, which dspy enters into these histories."""
        calls = next(self._calls)
        if calls > Account.most_calls:
            Account.most_calls = calls
        self.histories.append(history)
        for module in modules:
            self.histories.append(module.history)

    def usage(self) -> dict[str, dict[str, int]] | None:
        totals: dict[str, dict[str, float]] = {}
        for answer in self._answers:
            if answer.usage and isinstance(answer.usage, dict):
                _add(answer.usage, totals.setdefault(str(answer.model), {}))
        if not totals:
            return None
        return {
            model: {key: int(total) for key, total in counts.items() if abs(total) < 2**63}
            for model, counts in totals.items()
        }

    def cost(self) -> float | None:
        total = 0.0
        for answer in self._answers:
            if not _is_count(answer.cost):
                return None  # An unknown price is not zero.
            total += answer.cost
        return total


def install() -> None:
    """Count calls from here on."""
    global _stop
    if _stop is None:
        _stop = dspy_seams.watch(_current)


def uninstall() -> None:
    """Leave dspy as it was."""
    global _stop
    if _stop is not None:
        _stop()
        _stop = None


def _current() -> Account | None:
    account: Account | None = dspy.settings.get(CONTEXT_KEY)
    return account


def trim_histories(account: Account, threads: int) -> None:
    """Forget the calls of earlier examples: with long prompts they would be most of a worker's memory.

    An example sees its own calls as under dspy, because trimming is between examples; with several threads the others
    are under way meanwhile, so twice as many calls are kept as they all have made if each made the most of any.
    """
    if dspy.settings.max_history_size != _DSPY_HISTORY:
        return  # The user chose a bound.
    kept = 2 * threads * Account.most_calls
    for history in (*account.histories, base_lm.GLOBAL_HISTORY):
        if len(history) > 2 * kept:
            del history[:-kept]


def _add(usage: dict[str, Any], counts: dict[str, float], prefix: str = "") -> None:
    """Counts only, nested ones under dotted keys. Flags and texts that providers mix in are no sums.

    Not by dspy's UsageTracker: that of dspy 3.3 adds up flags, too, and fails where two answers differ in form.
    """
    for key, value in usage.items():
        if isinstance(value, pydantic.BaseModel):
            value = dict(value)  # litellm's details of tokens.
        if isinstance(value, dict):
            _add(value, counts, f"{prefix}{key}.")
        elif _is_count(value):
            counts[f"{prefix}{key}"] = counts.get(f"{prefix}{key}", 0) + value


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63
