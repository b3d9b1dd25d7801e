"""What one example used: tokens and money of its LM calls, seen where dspy finishes a call.

The account travels in dspy's own context, so that it follows the example into `dspy.Parallel` and async code, and
leaves `usage_tracker` alone: a program that tracks usage itself sees what it sees under dspy.Evaluate.
"""

from __future__ import annotations

from typing import Any

import dspy
from dspy.clients import base_lm, execution
from dspy.utils.usage_tracker import UsageTracker

CONTEXT_KEY = "_dspex_account"

_DSPY_HISTORY = 10_000

_finalize = execution.finalize


class Account:
    """The calls of one example, from any of its threads."""

    __slots__ = ("_cost", "_price_unknown", "_tracker", "histories")

    def __init__(self) -> None:
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

    def usage(self) -> dict[str, dict[str, int]] | None:
        if self._tracker is None:
            return None
        return {str(model): _flatten(total) for model, total in self._tracker.get_total_tokens().items()}

    def cost(self) -> float | None:
        return None if self._price_unknown else float(self._cost)


def install() -> None:
    """Count calls from here on."""
    execution.finalize = _counting_finalize


def uninstall() -> None:
    """Leave dspy as it was."""
    execution.finalize = _finalize


def _counting_finalize(lm: Any, call: Any, result: Any) -> Any:
    account = dspy.settings.get(CONTEXT_KEY)
    if account is not None:
        account.add(lm.model, result)
        account.histories.append(lm.history)
        for module in dspy.settings.caller_modules or ():
            account.histories.append(module.history)
    return _finalize(lm, call, result)


def trim_histories(account: Account, threads: int) -> None:
    """Forget the calls of earlier examples: with long prompts they would be most of a worker's memory.

    An example sees its own calls as under dspy, because trimming is between examples; with several threads some more
    calls are kept, for the examples that are under way.
    """
    if dspy.settings.max_history_size != _DSPY_HISTORY:
        return  # The user chose a bound.
    kept = 2 * threads
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
