"""concurrent.futures.ProcessPoolExecutor."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor, wait
from typing import Any

import pool_work

from harness.systems.base import Done, System

_STARTS_MAX = 20


class Processes(System):
    """`method`: how its processes start, if not as Python does by default."""

    def __init__(self, workers: int, work: str, method: str | None = None) -> None:
        super().__init__(workers, work)
        if method == "fork":
            # As in a program of a DSPy user, whose workers then share what is imported.
            import dspy  # noqa: F401
        self._executor = ProcessPoolExecutor(workers, multiprocessing.get_context(method))
        self._function = getattr(pool_work, work)

    def start(self) -> None:
        for attempt in range(_STARTS_MAX):
            ready = [self._executor.submit(pool_work.ready, 0.1 * (1 + attempt)) for _ in range(self.workers)]
            wait(ready)
            if len({future.result() for future in ready}) == self.workers:
                return
        raise RuntimeError("some processes never answered")

    def call(self, argument: Any) -> Any:
        return self._executor.submit(self._function, argument).result()

    def submit(self, argument: Any, done: Done) -> None:
        future = self._executor.submit(self._function, argument)
        future.add_done_callback(lambda future: done(_outcome(future)))

    def worker_pids(self) -> set[int]:
        return set(self._executor._processes)

    def stop(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


def _outcome(future: Future[Any]) -> Any:
    return future.exception() or future.result()
