"""Ray: actors with several threads each, fed as results come."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import evaluation_work
import ray

from harness.evaluators.base import Evaluator, Result


class _Work:
    """An actor's class."""

    def evaluated(self, row: dict[str, Any]) -> Result:
        return evaluation_work.evaluated(row)


class RayEvaluator(Evaluator):
    """An actor for each worker, asked in turn."""

    def start(self) -> None:
        ray.init(
            num_cpus=self.workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _temp_dir=os.environ["BENCH_RAY_DIRECTORY"],
        )

    def evaluate(self, rows: list[dict[str, Any]]) -> Iterator[Result | BaseException]:
        """As many under way as there are threads: ray.wait for one, send the next."""
        remote, following = self._actors(), iter(rows)
        under_way = [remote(row) for row in itertools.islice(following, self.workers * self.threads)]
        while under_way:
            done, under_way = ray.wait(under_way)
            under_way += [remote(row) for row in itertools.islice(following, len(done))]
            for reference in done:
                try:
                    yield ray.get(reference)
                except Exception as error:
                    yield error

    def stop(self) -> None:
        ray.shutdown()

    def _actors(self) -> Callable[[dict[str, Any]], Any]:
        """What sends a row to an actor, and gives a reference to the result."""
        actors = [ray.remote(max_concurrency=self.threads)(_Work).remote() for _ in range(self.workers)]
        turn = itertools.cycle(actors)
        return lambda row: next(turn).evaluated.remote(row)
