"""multiprocessing.Pool."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pool_work

from harness.systems.base import Done, System

_STARTS_MAX = 20


class MpPool(System):
    """Started as Python does by default."""

    def __init__(self, workers: int, work: str) -> None:
        super().__init__(workers, work)
        self._pool = multiprocessing.Pool(workers)
        self._function = getattr(pool_work, work)

    def start(self) -> None:
        for attempt in range(_STARTS_MAX):
            seconds = [0.1 * (1 + attempt)] * self.workers
            if len(set(self._pool.map(pool_work.ready, seconds, chunksize=1))) == self.workers:
                return
        raise RuntimeError("some processes never answered")

    def call(self, argument: Any) -> Any:
        return self._pool.apply(self._function, (argument,))

    def submit(self, argument: Any, done: Done) -> None:
        self._pool.apply_async(self._function, (argument,), callback=done, error_callback=done)

    def worker_pids(self) -> set[int]:
        return {process.pid for process in multiprocessing.active_children() if process.pid}

    def stop(self) -> None:
        self._pool.terminate()
