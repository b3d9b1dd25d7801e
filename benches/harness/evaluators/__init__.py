"""Evaluations by Ray and Dask, each by its own idiom, behind one interface."""

from __future__ import annotations

from harness.evaluators.base import Evaluator


def named(name: str, workers: int, threads: int) -> Evaluator:
    """Imported when it is needed: no system's memory contains another."""
    if name == "dask":
        from harness.evaluators.dask_evaluator import DaskEvaluator

        return DaskEvaluator(workers, threads)
    from harness.evaluators.ray_evaluator import RayEvaluator

    return RayEvaluator(workers, threads)
