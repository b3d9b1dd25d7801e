"""One batch of dspy's on a node: its results are put where dspy's own executor would put them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from dspex.conclusion import CANCELLED
from dspex.evaluation import Evaluation
from dspex.questions import DriverLMs, Questions
from dspex.returned import ABSENT, Returned, error_of
from dspex.shipping import BatchShipment
from dspex.submission import Options, Uploaded, threads_of

log = logging.getLogger("dspex")
_executor_log = logging.getLogger("dspy.utils.parallelizer")


class BatchRun(Evaluation):
    """A run whose examples are the items of a batch."""

    def __init__(
        self,
        uploaded: Uploaded,
        shipped: BatchShipment,
        executor: Any,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        options: Options,
    ) -> None:
        super().__init__(uploaded, executor, items, None, options)
        self._shipped = shipped
        self._function = function
        self._items = items
        self._unset = _unset()
        self._lms = DriverLMs(shipped.objects, threads_of(executor)) if shipped.asks else None
        self._results = [self._unset] * len(items)
        self._unreturned: list[int] = []
        # Whether all of it has come back.
        self.is_whole = False
        # Of work, all items together.
        self.seconds = 0.0

    def execute(self) -> list[Any]:
        results = super().execute()
        self.is_whole = not self._unreturned
        self._executor.failed_indices.sort()
        return [None if result is self._unset else result for result in results]

    def _objects_of(self, index: int) -> Sequence[Any]:
        return self._shipped.objects(index)

    def _answers(self) -> Questions | None:
        return self._lms

    def _settle(self, index: int, result: dict[str, Any], returned: Returned) -> None:
        self.seconds += result.get("duration_us", 0) / 1e6
        if result.get("failure") is not None:
            self._failed(index, error_of(result, returned))
        elif returned.prediction is ABSENT:
            self._unreturned.append(index)
            return
        else:
            self._executor._process_outcome(self._results, index, returned.prediction)
        self._executor._report_progress(self._bar, self._results, len(self._items))

    def _fetch_predictions(self) -> None:
        """What cannot be pickled cannot come from a worker, so it is made again here, where dspy would have made it."""
        if not self._unreturned:
            return
        indices = ", ".join(map(str, sorted(self._unreturned)[:10]))
        log.warning(
            f"{len(self._unreturned)} items (first {indices}) gave what cannot come back from a worker: they are "
            "executed again in this process"
        )
        guarded = self._executor._wrap_function(self._function)
        for index in sorted(self._unreturned):
            self._executor._process_outcome(self._results, index, guarded(self._items[index]))
            if self._executor.cancel_jobs.is_set():
                _executor_log.warning(CANCELLED)
                raise Exception(CANCELLED)


def _unset() -> Any:
    """dspy's mark of a result that is not there: what it counts for its progress goes by it."""
    from dspy.utils import parallelizer

    return parallelizer._UNSET
