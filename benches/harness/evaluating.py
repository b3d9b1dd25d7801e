"""What is found out about an evaluation by Ray or Dask, in an interpreter of its own (harness/contender.py)."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from harness import digits, machine
from harness.contender import Order, marked
from harness.evaluators import named
from harness.evaluators.base import Evaluator

_SAMPLE_SECONDS = 0.5
# A user would have given up by then.
_PATIENCE_SECONDS = 300
_KILL_AT = 0.25


class Memory:
    """The most memory that some processes take together (PSS), looked at now and then while this is open."""

    def __init__(self, pids: Callable[[], set[int]]) -> None:
        self._pids = pids
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            taken = sum(machine.shared_out_bytes(pid) for pid in self._pids())
            self.peak_bytes = max(self.peak_bytes, taken)
            if self._end.wait(_SAMPLE_SECONDS):
                return


def perform(order: Order) -> dict[str, Any]:
    """Two evaluations: one undisturbed, one that loses a worker at a quarter of its examples."""
    examples, threads = order.options["examples"], order.options["threads"]
    rows = digits.rows(examples)
    evaluator = named(order.system, order.workers, threads)
    began = time.perf_counter()
    evaluator.start()
    started = time.perf_counter() - began
    try:
        with Memory(lambda: machine.with_descendants(marked())) as memory, machine.Others() as others:
            before = _cpu()
            calm = evaluated(evaluator, rows, kill=False)
            cpu = _cpu() - before
        hard = evaluated(evaluator, rows, kill=True)
    finally:
        evaluator.stop()
    return {
        "start_s": started,
        "memory_bytes": memory.peak_bytes,
        "cpu_s": cpu,
        "others_cpus": others.settle(cpu),
        "calm": calm,
        "hard": hard,
    }


def evaluated(evaluator: Evaluator, rows: list[dict[str, Any]], *, kill: bool) -> dict[str, Any]:
    """Times from the moment at which the evaluation is asked for."""
    began = time.perf_counter()
    scores: dict[int, bool] = {}
    errors: list[BaseException] = []
    first, repeated, victim = 0.0, 0, None
    for result in evaluator.evaluate(rows):
        if isinstance(result, BaseException):
            errors.append(result)
        else:
            number, score, pid = result
            first = first or time.perf_counter() - began
            repeated += number in scores
            scores[number] = score
            if kill and victim is None and len(scores) >= _KILL_AT * len(rows):
                victim = pid
                os.kill(victim, signal.SIGKILL)
        if time.perf_counter() - began > _PATIENCE_SECONDS:
            break
    return {
        "first_s": first,
        "total_s": time.perf_counter() - began,
        "score": round(100 * sum(scores.values()) / len(rows), 2),
        "lost": len(rows) - len(scores),
        "repeated": repeated,
        "sees": said(errors),
    }


def said(errors: list[BaseException]) -> str:
    """What the user sees, in one line."""
    if not errors:
        return "nothing"
    line = next(iter(str(errors[0]).splitlines()), "")
    return f"{len(errors)} x {type(errors[0]).__name__}: {line[:200]}"


def _cpu() -> float:
    total = 0.0
    for pid in marked():
        try:
            total += machine.cpu_seconds(pid, with_children=True)
        except OSError:
            pass  # It has ended.
    return total
