"""Whether a batch is worth a run: a run has a fixed cost, and a few quick items take less than that."""

from __future__ import annotations

import threading
import types
from typing import Any

# How much a new batch counts in the mean of what went before.
_WEIGHT = 0.5


class Costs:
    """What the batches of one distribution took. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The least that a run took beside its items. The first one is left out: it may have started the node.
        self._run_seconds: float | None = None
        self._runs = 0
        # Of one item: work in a worker, and wall time in this process with all its threads.
        self._work: dict[Any, float] = {}
        self._here: dict[Any, float] = {}
        self._is_dangerous = False

    def why_local(self, function: Any, items: int, at_once: int) -> str | None:
        """Why this process is the better place for these items: they take less time here than a run does beside them.
        None where a node is, or where nothing is known yet.

        Threads help items that wait and not those that compute. What it is nobody knows before the first such batch
        was executed here, so that is expected to wait: it is a small one, or this were not asked.
        """
        kind = _kind(function)
        with self._lock:
            work, here = self._work.get(kind), self._here.get(kind)
            if work is None or self._run_seconds is None or self._is_dangerous:
                return None
            expected = items * (work / max(1, min(items, at_once)) if here is None else here)
            if expected >= self._run_seconds:
                return None
            return (
                f"{items} items are expected to take {expected * 1000:.0f} ms here, and a run takes "
                f"{self._run_seconds * 1000:.0f} ms beside its items"
            )

    def learn_run(self, function: Any, items: int, at_once: int, work: float, elapsed: float) -> None:
        """work: seconds of all items together; elapsed: from before the pickle to the last result."""
        beside = max(0.0, elapsed - work / max(1, min(items, at_once)))
        with self._lock:
            self._runs += 1
            if self._runs > 1:
                self._run_seconds = beside if self._run_seconds is None else min(self._run_seconds, beside)
            _learn(self._work, _kind(function), work / items)

    def learn_local(self, function: Any, items: int, elapsed: float) -> None:
        with self._lock:
            _learn(self._here, _kind(function), elapsed / items)

    def learn_danger(self) -> None:
        """An item has taken its worker along: nothing of this is executed in this process unasked."""
        self._is_dangerous = True


def _learn(means: dict[Any, float], kind: Any, seconds: float) -> None:
    known = means.get(kind)
    means[kind] = seconds if known is None else known + _WEIGHT * (seconds - known)


def _kind(function: Any) -> Any:
    """Functions that dspy makes anew for each batch are of one kind: the same code with values of the same types."""
    if not isinstance(function, types.FunctionType):
        return type(function)
    return function.__code__, tuple(type(cell.cell_contents) for cell in function.__closure__ or () if _is_set(cell))


def _is_set(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
