"""Memory that a worker has for itself after 1,000 predictions, while its zygote and other workers live.

Private_Clean + Private_Dirty of /proc/PID/smaps_rollup: what the machine would get back if this worker ended. Beside it
the same of an interpreter that has evaluated 1,000 examples with dspy.Evaluate.
"""

from __future__ import annotations

from harness import digits, machine, peer
from harness.figures import Figure, Peer
from harness.settings import Settings, directory, parse, say
from harness.zygote import HELLO, LOAD, LOADED, Worker, Zygote
from msgspec import json

PREDICTIONS = 1000
MIB = 1 << 20
# Threads of a worker on 2 cores: with 2 examples in flight, with DSPy's default of 8, with 64.
THREADS = (1, 4, 32)


def main() -> None:
    settings = parse(__doc__)
    for threads in THREADS:
        measure(settings, threads)


def measure(settings: Settings, threads: int) -> None:
    load = machine.load()
    of_threads = f"{threads} thread{'s' if threads > 1 else ''}"
    say(f"worker_memory: {PREDICTIONS} predictions in each of several workers of {of_threads} ...")
    with directory() as place:
        devset = digits.write(place / "devset.jsonl", PREDICTIONS)
        against = [peer.evaluate(devset, threads).private_bytes / MIB for _ in range(settings.pick(3, 1))]
    with Zygote() as zygote:
        workers = [loaded(zygote, threads) for _ in range(settings.pick(4, 2))]
        before = [machine.private_bytes(worker.pid) / MIB for worker in workers]
        rows = [json.encode(row) for row in digits.rows(PREDICTIONS)]
        for worker in workers:
            worker.execute(rows)
        # All of them at the end: what one shares with another counts for neither.
        private = [machine.private_bytes(worker.pid) / MIB for worker in workers]
        zygote.end(workers)
    Figure(
        "worker_memory",
        f"private, {of_threads}",
        "MiB",
        private,
        Peer(f"an interpreter with dspy.Evaluate, {of_threads}", against),
        {"median_at_most": 14},
        detail={"after_loading": [round(value, 2) for value in before]},
    ).emit(load)


def loaded(zygote: Zygote, threads: int) -> Worker:
    """A worker that has loaded the program."""
    worker = zygote.order()
    worker.connection.send(
        LOAD,
        {
            "threads": threads,
            "program": digits.PROGRAM,
            "metric": digits.METRIC,
            "lm": digits.LM,
            "lm_settings": [],
            "failure_score": 0,
            "columns": ["id", "image", "digit"],
        },
    )
    worker.pid = worker.connection.expect(HELLO)["pid"]
    worker.connection.expect(LOADED)
    return worker


if __name__ == "__main__":
    main()
