"""Where dspy hands over its batches: `ParallelExecutor.execute`, which a distributed evaluation answers itself.

dspy.Evaluate does everything else: arguments, callbacks, the sum, tables and files. Which evaluation a batch belongs
to is in a context variable, so that all others in the process stay dspy's.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from dspy.utils.parallelizer import ParallelExecutor

# (dspy's executor, dspy's own execute for this batch) -> the results
Execute = Callable[[Any, Callable[[], list[Any]]], "list[Any]"]

_batch: ContextVar[tuple[Any, Execute] | None] = ContextVar("dspex_batch", default=None)
_installing = threading.Lock()
_installed = False


@contextmanager
def answering(data: Any, execute: Execute) -> Iterator[None]:
    """In the block, the batch of exactly this data is executed by `execute`."""
    _install()
    token = _batch.set((data, execute))
    try:
        yield
    finally:
        _batch.reset(token)


def _install() -> None:
    global _installed
    with _installing:
        if _installed:
            return
        _installed = True
        original = ParallelExecutor.execute

        @functools.wraps(original)
        def execute(self: Any, function: Any, data: Any) -> Any:
            batch = _batch.get()
            if batch is None or data is not batch[0]:
                return original(self, function, data)
            token = _batch.set(None)  # What runs inside is not this batch, even with the same data.
            try:
                return batch[1](self, lambda: original(self, function, data))
            finally:
                _batch.reset(token)

        ParallelExecutor.execute = execute
