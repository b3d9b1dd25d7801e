"""What a system can do, and how it is kept busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# A call's result, or the exception that it ended with.
Done = Callable[[Any], None]
_PATIENCE_SECONDS = 60


@dataclass
class Rate:
    """Calls of one loop."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    # How the calls were made, where a system was tried in several ways, and the calls of all of them.
    how: str = ""
    all_calls: int = 0

    def __post_init__(self) -> None:
        self.all_calls = len(self.latencies)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, part: float) -> float:
        """In microseconds."""
        ordered = sorted(self.latencies)
        return 1e6 * ordered[int((len(ordered) - 1) * part)]


class System:
    """Workers of one kind that do one of the functions of cases/pool_work.py."""

    def __init__(self, workers: int, work: str) -> None:
        self.workers = workers
        self.work = work

    def start(self) -> None:
        """Returns when every worker has answered."""
        raise NotImplementedError

    def call(self, argument: Any) -> Any:
        """The result, in the form that `answer_of` takes."""
        raise NotImplementedError

    def submit(self, argument: Any, done: Done) -> None:
        raise NotImplementedError

    def answer_of(self, result: Any) -> Any:
        """What is the same for all systems."""
        return result["payload"] if self.work == "ping" else result["digit"] if self.work == "predict" else result

    def worker_pids(self) -> set[int]:
        raise NotImplementedError

    def more_pids(self) -> set[int]:
        """Processes that do not show that they belong to this measurement."""
        return set()

    def stop(self) -> None:
        raise NotImplementedError

    def loop(self, arguments: list[Any], in_flight: int, seconds: float) -> Rate:
        """So many callers, each with its next call as soon as it has an answer."""
        return self._alone(arguments, seconds) if in_flight == 1 else self._together(arguments, in_flight, seconds)

    def _alone(self, arguments: list[Any], seconds: float) -> Rate:
        latencies: list[float] = []
        began = time.perf_counter()
        end = began + seconds
        while (since := time.perf_counter()) < end:
            self.call(arguments[len(latencies) % len(arguments)])
            latencies.append(time.perf_counter() - since)
        return Rate(time.perf_counter() - began, latencies)

    def _together(self, arguments: list[Any], in_flight: int, seconds: float) -> Rate:
        latencies: list[float] = []
        errors: list[BaseException] = []
        places = threading.Semaphore(in_flight)
        began = time.perf_counter()
        end = began + seconds
        number = 0
        while (since := time.perf_counter()) < end:
            if not places.acquire(timeout=_PATIENCE_SECONDS):
                raise TimeoutError("no answer any more")
            since = time.perf_counter()

            def done(result: Any, since: float = since) -> None:
                latencies.append(time.perf_counter() - since)
                if isinstance(result, BaseException):
                    errors.append(result)
                places.release()

            self.submit(arguments[number % len(arguments)], done)
            number += 1
        for _ in range(in_flight):
            if not places.acquire(timeout=_PATIENCE_SECONDS):
                raise TimeoutError("no answer any more")
        seconds = time.perf_counter() - began
        if errors:
            raise errors[0]
        return Rate(seconds, latencies)
