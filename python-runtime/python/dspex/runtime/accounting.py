"""What one example used: tokens and money of its LM calls, seen where dspy finishes a call.

The account travels in dspy's own context, so that it follows the example into `dspy.Parallel` and async code, and
leaves `usage_tracker` alone: a program that tracks usage itself sees what it sees under dspy.Evaluate.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import dspy
from dspy.clients import base_lm, execution
from dspy.utils.usage_tracker import UsageTracker

CONTEXT_KEY = "_dspex_account"

_DSPY_HISTORY = 10_000

_finalize = execution.finalize
_account_failed_call = execution._account_failed_call


class Account:
    """The calls of one example, from any of its threads."""

    __slots__ = ("_calls", "_cost", "_price_unknown", "_tracker", "histories")

    # The most calls that any example of this worker has made so far, those under way included.
    most_calls: ClassVar[int] = 1

    def __init__(self) -> None:
        self._calls = itertools.count(1)
        self._tracker: UsageTracker | None = None
        self._cost = 0.0
        self._price_unknown = False
        self.histories: list[list[Any]] = []

    def add(self, model: str, result: Any) -> None:
        if result.cache_hit:
            return  # dspy keeps the historical cost of a cached answer; it was not paid again.
        if result.usage:
            if self._tracker is None:
                self._tracker = UsageTracker()
            self._tracker.add_usage(model, result.usage)
        if result.cost is None:
            self._price_unknown = True
        else:
            self._cost += result.cost

    def remember(self, history: list[Any], modules: Any) -> None:
        """One more call, which dspy enters into these histories."""
        calls = next(self._calls)
        if calls > Account.most_calls:
            Account.most_calls = calls
        self.histories.append(history)
        for module in modules:
            self.histories.append(module.history)

    def usage(self) -> dict[str, dict[str, int]] | None:
        if self._tracker is None:
            return None
        return {str(model): _flatten(total) for model, total in self._tracker.get_total_tokens().items()}

    def cost(self) -> float | None:
        return None if self._price_unknown else float(self._cost)


def install() -> None:
    """Count calls from here on."""
    execution.finalize = _counting_finalize
    execution._account_failed_call = _counting_failed_call


def uninstall() -> None:
    """Leave dspy as it was."""
    execution.finalize = _finalize
    execution._account_failed_call = _account_failed_call


def _counting_finalize(lm: Any, call: Any, result: Any) -> Any:
    account = dspy.settings.get(CONTEXT_KEY)
    if account is not None:
        account.add(lm.model, result)
        account.remember(lm.history, dspy.settings.caller_modules or ())
    return _finalize(lm, call, result)


def _counting_failed_call(lm: Any, results: Any, primary: BaseException) -> None:
    """A call may fail when parts of it have been answered, and paid: the second of two candidates, a closing stream."""
    account = dspy.settings.get(CONTEXT_KEY)
    if account is not None:
        for result in results:
            try:
                account.add(lm.model, result)
            except Exception:
                pass  # As in dspy: what cannot be counted must not hide why the call failed.
    _account_failed_call(lm, results, primary)


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


def _flatten(usage: dict[str, Any], prefix: str = "") -> dict[str, int]:
    """Counts only, nested ones under dotted keys. Flags and texts that providers mix in are no sums."""
    flat: dict[str, int] = {}
    for key, value in usage.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63:
            flat[f"{prefix}{key}"] = int(value)
    return flat
