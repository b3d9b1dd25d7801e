"""What is found out about a system, in its own interpreter."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from harness import digits, machine
from harness.contender import Order, marked
from harness.systems import named
from harness.systems.base import System

# Loops of a second before it counts, at most, and what ends them: no call that waited for an import.
_WARM_UP_LOOPS = 10
_SLOWEST_TO_MEDIAN = 20


def perform(order: Order) -> Any:
    system = named(order.system, order.workers, order.work)
    system.start()
    try:
        return {"rates": rates, "memory": memory, "kill": kill}[order.measure](system, **order.options)
    finally:
        system.stop()


def rates(system: System, in_flight: list[int], seconds: float) -> dict[str, Any]:
    """Calls per second and their latencies with so many in flight."""
    arguments = ["x" * 98] if system.work == "ping" else [str(row["image"]) for row in digits.rows(200)]
    answers = [system.answer_of(system.call(argument)) for argument in arguments[:20]]
    warm_up(system, arguments)
    return {"answers": answers, "rates": {many: _rate(system, arguments, many, seconds) for many in in_flight}}


def warm_up(system: System, arguments: list[Any]) -> None:
    for _ in range(_WARM_UP_LOOPS):
        rate = system.loop(arguments, 2 * system.workers, 1)
        if rate.quantile(1) < _SLOWEST_TO_MEDIAN * rate.quantile(0.5):
            return


def _rate(system: System, arguments: list[Any], in_flight: int, seconds: float) -> dict[str, Any]:
    pids = machine.with_descendants(marked() | system.more_pids())
    with machine.Others() as others:
        before = _cpu(pids)
        rate = system.loop(arguments, in_flight, seconds)
        used = _cpu(pids) - before
    return {
        "per_second": rate.per_second,
        "median_us": rate.quantile(0.5),
        "p99_us": rate.quantile(0.99),
        "cpu_us": 1e6 * used / rate.all_calls,
        "others_cpus": others.settle(used),
        "how": rate.how,
    }


def _cpu(pids: set[int]) -> float:
    total = 0.0
    for pid in pids:
        try:
            total += machine.cpu_seconds(pid)
        except OSError:
            pass  # It has ended.
    return total


def memory(system: System) -> dict[str, Any]:
    """What all processes of the system take together, this one included."""
    pids = machine.with_descendants(marked() | system.more_pids())
    workers = system.worker_pids()
    if len(workers) != system.workers:
        raise RuntimeError(f"{len(workers)} of {system.workers} workers were found")
    each = {pid: machine.shared_out_bytes(pid) for pid in pids | workers}
    return {
        "bytes": sum(each.values()),
        "workers_bytes": sum(each[pid] for pid in workers),
        "processes": sorted(each.values(), reverse=True),
    }


def kill(system: System, calls: int, limit: float) -> dict[str, Any]:
    """One worker is killed with -9 while all these calls are under way."""
    outcomes: dict[int, Any] = {}
    progress = threading.Condition()
    for number in range(calls):

        def done(outcome: Any, number: int = number) -> None:
            with progress:
                outcomes[number] = outcome
                progress.notify()

        system.submit(number, done)
    with progress:
        progress.wait_for(lambda: len(outcomes) >= 5 * system.workers, limit)
        begun = len(outcomes)
        victim = next(iter(outcomes.values()))[0]
        os.kill(victim, signal.SIGKILL)
        killed = time.perf_counter()
        progress.wait_for(lambda: len(outcomes) == calls, limit)
        seconds = time.perf_counter() - killed
        seen = dict(outcomes)
    failed = [outcome for outcome in seen.values() if isinstance(outcome, BaseException)]
    right = sum(not isinstance(outcome, BaseException) and outcome[1] == 2 * n for n, outcome in seen.items())
    return {
        "answered_before": begun,
        "lost": calls - len(seen) + len(failed),
        "never_answered": calls - len(seen),
        "failed": len(failed),
        "failure": type(failed[0]).__name__ if failed else None,
        "wrong": len(seen) - len(failed) - right,
        "seconds_after": round(seconds, 2),
        "serves_again": _serves(system, limit),
    }


def _serves(system: System, limit: float) -> bool:
    """Whether a call is answered afterwards."""
    answered = threading.Event()
    outcome: list[Any] = []

    def done(given: Any) -> None:
        outcome.append(given)
        answered.set()

    try:
        system.submit(1, done)
    except Exception:
        return False
    return answered.wait(limit) and not isinstance(outcome[0], BaseException)
