"""Dask: a local cluster of processes with several threads each, a future for each example, results as they complete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import evaluation_work
from distributed import Client, LocalCluster, as_completed

from harness.evaluators.base import Evaluator, Result


class DaskEvaluator(Evaluator):
    def start(self) -> None:
        self._cluster = LocalCluster(
            n_workers=self.workers, threads_per_worker=self.threads, processes=True, dashboard_address=None
        )
        self._client = Client(self._cluster)

    def evaluate(self, rows: list[dict[str, Any]]) -> Iterator[Result | BaseException]:
        futures = self._client.map(evaluation_work.evaluated, rows, pure=False)
        for future in as_completed(futures):
            error = future.exception()
            yield future.result() if error is None else error

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()
