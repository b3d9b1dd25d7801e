"""Ray: actors, and for comparison its tasks."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections import deque
from typing import Any

import pool_work
import ray

from harness.systems.base import Done, Rate, System


class _Work:
    """An actor's class."""

    def __init__(self, work: str) -> None:
        self._function = getattr(pool_work, work)

    def ready(self) -> int:
        return pool_work.ready(0)

    def call(self, argument: Any) -> Any:
        return self._function(argument)


class _Ray(System):
    def start(self) -> None:
        ray.init(
            num_cpus=self.workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=os.environ["BENCH_RAY_DIRECTORY"],
        )

    def remote(self, argument: Any) -> Any:
        """A reference to the result."""
        raise NotImplementedError

    def call(self, argument: Any) -> Any:
        return ray.get(self.remote(argument))

    def submit(self, argument: Any, done: Done) -> None:
        def get() -> None:
            try:
                done(ray.get(reference))
            except Exception as error:
                done(error)

        reference = self.remote(argument)
        threading.Thread(target=get, daemon=True).start()

    def stop(self) -> None:
        ray.shutdown()

    def _together(self, arguments: list[Any], in_flight: int, seconds: float) -> Rate:
        """Ray can be asked in several ways; the best of them is its figure."""
        ways = (self._window, self._waves, self._coroutines)
        rates = [way(arguments, in_flight, seconds) for way in ways]
        best = max(rates, key=lambda rate: rate.per_second)
        best.all_calls = sum(rate.all_calls for rate in rates)
        return best

    def _window(self, arguments: list[Any], in_flight: int, seconds: float) -> Rate:
        """The oldest is waited for, then the next is sent."""
        following = itertools.cycle(arguments)
        latencies: list[float] = []
        began = time.perf_counter()
        end = began + seconds
        under_way: deque[tuple[float, Any]] = deque()
        while (now := time.perf_counter()) < end or under_way:
            if now < end and len(under_way) < in_flight:
                under_way.append((now, self.remote(next(following))))
                continue
            since, reference = under_way.popleft()
            ray.get(reference)
            latencies.append(time.perf_counter() - since)
        return Rate(time.perf_counter() - began, latencies, "oldest first")

    def _waves(self, arguments: list[Any], in_flight: int, seconds: float) -> Rate:
        """All are sent, then all are waited for; the latency of each is that of its wave."""
        following = itertools.cycle(arguments)
        latencies: list[float] = []
        began = time.perf_counter()
        end = began + seconds
        while (since := time.perf_counter()) < end:
            ray.get([self.remote(next(following)) for _ in range(in_flight)])
            latencies += [time.perf_counter() - since] * in_flight
        return Rate(time.perf_counter() - began, latencies, "waves")

    def _coroutines(self, arguments: list[Any], in_flight: int, seconds: float) -> Rate:
        following = itertools.cycle(arguments)
        latencies: list[float] = []
        began = time.perf_counter()
        end = began + seconds

        async def caller() -> None:
            while (since := time.perf_counter()) < end:
                await self.remote(next(following))
                latencies.append(time.perf_counter() - since)

        async def callers() -> None:
            await asyncio.gather(*(caller() for _ in range(in_flight)))

        asyncio.run(callers())
        return Rate(time.perf_counter() - began, latencies, "coroutines")


class RayActors(_Ray):
    """An actor for each worker, in turn."""

    def start(self) -> None:
        super().start()
        actors = [ray.remote(_Work).remote(self.work) for _ in range(self.workers)]
        self._pids = set(ray.get([actor.ready.remote() for actor in actors]))
        self._next = itertools.cycle(actors).__next__

    def worker_pids(self) -> set[int]:
        return self._pids

    def remote(self, argument: Any) -> Any:
        return self._next().call.remote(argument)


class RayTasks(_Ray):
    """Ray's own scheduling, which executes a task again when its worker died."""

    def start(self) -> None:
        super().start()
        self._function = ray.remote(getattr(pool_work, self.work))
        ray.get([ray.remote(pool_work.ready).remote(0.5) for _ in range(self.workers)])

    def remote(self, argument: Any) -> Any:
        return self._function.remote(argument)
