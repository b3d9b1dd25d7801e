"""How long workers take to start.

Warm: 8 workers forked from a zygote that is there, until each has said hello and answered a call, and the same until
each has loaded a program and predicted; beside 8 fresh interpreters started in parallel that import dspy and answer.
Cold: a zygote from its start until it is ready; beside `python -c "import dspy"`.
"""

from __future__ import annotations

import subprocess
import time

from harness import machine
from harness.digits import LM, METRIC, PROGRAM, rows
from harness.figures import Figure, Peer, alternate
from harness.settings import PYTHON, Settings, environment, parse, say
from harness.zygote import (
    EXECUTE,
    HELLO,
    LOAD,
    LOADED,
    PING,
    PONG,
    RESULTS,
    Zygote,
    as_they_speak,
)
from msgspec import json

WORKERS = 8


def main() -> None:
    settings = parse(__doc__)
    warm(settings)
    cold(settings)


def warm(settings: Settings) -> None:
    load = machine.load()
    say(f"workers_start: {WORKERS} workers from a warm zygote ...")
    with Zygote() as zygote:
        fresh: list[float] = []
        calls: list[float] = []
        predictions: list[float] = []
        for _ in range(settings.pick(7, 2)):
            calls += [answered(zygote) for _ in range(settings.pick(15, 5))]
            predictions += [predicted(zygote) for _ in range(settings.pick(5, 2))]
            fresh.append(interpreters())
    peer = Peer(f"{WORKERS} fresh interpreters that import dspy and answer", fresh)
    target = {"median_at_most": 40, "ratio_at_least": 50}
    Figure("workers_start", "warm, answered a call", "ms", calls, peer, target).emit(load)
    Figure("workers_start", "warm, loaded a program and predicted", "ms", predictions, peer).emit(load)


def answered(zygote: Zygote) -> float:
    """Milliseconds until the last of the workers has answered a call."""
    started = time.perf_counter()
    workers = [zygote.order() for _ in range(WORKERS)]
    waiting = WORKERS
    for worker, kind in as_they_speak(workers):
        if kind == HELLO:
            worker.connection.send(PING, {"payload": b"are you there"})
        elif kind == PONG:
            waiting -= 1
        if waiting == 0:
            break
    took = 1e3 * (time.perf_counter() - started)
    zygote.end(workers)
    return took


def predicted(zygote: Zygote) -> float:
    """Milliseconds until the last of the workers has loaded the program and executed an example."""
    row = json.encode(rows(1)[0])
    order = {"threads": 1, "program": PROGRAM, "metric": METRIC, "lm": LM, "lm_settings": [], "failure_score": 0}
    columns = {"inputs": None, "columns": ["id", "image", "digit"]}
    started = time.perf_counter()
    workers = [zygote.order() for _ in range(WORKERS)]
    for worker in workers:
        worker.connection.send(LOAD, {**order, **columns})
        worker.connection.send(EXECUTE, {"examples": [[0, 1, row]]})
    waiting = WORKERS
    for worker, kind in as_they_speak(workers):
        if kind not in (HELLO, LOADED, RESULTS):
            raise RuntimeError(f"{worker.name} says {kind}")
        waiting -= kind == RESULTS
        if waiting == 0:
            break
    took = 1e3 * (time.perf_counter() - started)
    zygote.end(workers)
    return took


def interpreters() -> float:
    """Milliseconds until the last of as many fresh interpreters has imported dspy and answered."""
    code = "import sys, dspy; print(sys.stdin.readline(), end='', flush=True)"
    started = time.perf_counter()
    processes = [
        subprocess.Popen(
            [PYTHON, "-c", code], env=environment(), cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(WORKERS)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("are you there\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        if process.stdout.readline() != "are you there\n":
            raise RuntimeError("a fresh interpreter did not answer")
    took = 1e3 * (time.perf_counter() - started)
    for process in processes:
        process.communicate(timeout=60)
    return took


def cold(settings: Settings) -> None:
    load = machine.load()
    say('workers_start: a cold zygote, and python -c "import dspy" ...')
    bare_import(), zygote_ready()  # The first of each reads files from the disk.
    own, peer = alternate(settings.pick(9, 3), zygote_ready, bare_import)
    against = Peer('python -c "import dspy"', peer)
    # At most 1.5 times the peer.
    Figure("workers_start", "cold, zygote ready", "ms", own, against, {"ratio_at_least": 0.667}).emit(load)


def zygote_ready() -> float:
    """Milliseconds from the start of a zygote until it can fork."""
    started = time.perf_counter()
    with Zygote():
        return 1e3 * (time.perf_counter() - started)


def bare_import() -> float:
    """Milliseconds of an interpreter that imports dspy and ends."""
    started = time.perf_counter()
    subprocess.run([PYTHON, "-c", "import dspy"], env=environment(), cwd="/", check=True)
    return 1e3 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
