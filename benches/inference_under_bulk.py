"""A small call over the inference channel while 64 MiB go over bulk between the same two nodes.

A cluster of two. A session's home is the one node, and the other is asked for its calls, one after the other: each goes
to the home over the inference channel. A run whose dataset has 64 MiB is submitted meanwhile at the node that is asked:
before the log names it, the dataset goes to the other node over bulk. The dataset was uploaded before (with a program
that is refused), so that what is under way is the submission and the way between the nodes. Beside it the same calls
while nothing is submitted, and while a run with a small dataset is: a submission starts a worker, too, on the same
CPUs.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import clusters, machine
from harness.evaluations import Evaluations, Wanted
from harness.figures import Figure, Peer
from harness.settings import CASES, PACKAGE, PROGRAM, directory_on_disk, parse, say

sys.path.insert(0, str(PACKAGE))
os.environ["DSPEX_PROGRAM"] = PROGRAM

import dspex

NODES = 2
COMMAND = f"{CASES / 'session_commands.py'}:nothing"
# p99 with bulk is to be at most 2 times the idle one.
RATIO = 0.5
BULK_BYTES, SMALL_BYTES = 64 << 20, 1 << 10
ROW_BYTES = 1 << 20
WARM_UP_CALLS = 200
PATIENCE_SECONDS = 120
REFUSED = {"BENCH_REFUSED": "1"}


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    rounds, calls = settings.pick(8, 3), settings.pick(5_000, 1_000)
    say(f"inference_under_bulk: {calls} calls idle, {rounds} times {BULK_BYTES >> 20} MiB ...")
    with directory_on_disk() as place, clusters.own(place, NODES) as cluster, ExitStack() as stack:
        token, ca = str(cluster.token()), str(cluster.certificates / "ca.pem")
        asked, home = (
            stack.enter_context(dspex.connect(node.address, token_file=token, ca=ca)) for node in cluster.nodes
        )
        session = asked.session(_at_home(home))
        evaluations = Evaluations(cluster)

        def call() -> None:
            session.execute(COMMAND, queue_timeout=PATIENCE_SECONDS)

        for _ in range(WARM_UP_CALLS):
            call()
        found: dict[str, list[float]] = {"idle": [], "small": [], "bulk": []}
        spans: dict[str, list[float]] = {"small": [], "bulk": []}
        grown = 0
        for number in range(rounds):
            found["idle"] += timed(call, calls // rounds)
            for kind, size in (("small", SMALL_BYTES), ("bulk", BULK_BYTES)):
                wanted = uploaded(evaluations, place / f"{kind}-{number}.jsonl", size)
                before = machine.disk_bytes(cluster.nodes[1].data)
                taken, seconds, run = during(call, evaluations, wanted)
                grown += machine.disk_bytes(cluster.nodes[1].data) - before
                found[kind] += taken
                spans[kind].append(seconds)
                evaluations.ended(run)
                wanted.devset.unlink()
            say(f"  { {kind: round(p99(times), 2) for kind, times in found.items()} } ms")
        # Rows of hexadecimal digits, which a disk may hold in half of their bytes.
        if grown < rounds * BULK_BYTES / 4:
            raise RuntimeError(f"the datasets did not go to the other node: its disk has grown by {grown} bytes")
    emit(found, spans, load)


def _at_home(home: dspex.Client) -> str:
    """A session whose home is that node, because it was the first one to be asked for a call."""
    session = home.create_session()
    session.execute(COMMAND, queue_timeout=PATIENCE_SECONDS)
    return str(session.id)


def uploaded(evaluations: Evaluations, path: Path, size: int) -> Wanted:
    """A dataset that no node has, at the first node: so a run needs nothing but the way from there."""
    with path.open("w") as file:
        for _ in range(max(1, size // ROW_BYTES)):
            text = secrets.token_hex(min(size, ROW_BYTES) // 2)
            file.write(f'{{"text": "{text}"}}\n')
    wanted = Wanted(path, program="refusing.py:Length", metric="refusing.py:right", lm=None, threads=2, workers=1)
    evaluations.refused(Wanted(**{**vars(wanted), "variables": REFUSED}))
    return wanted


def timed(call: Any, count: int) -> list[float]:
    """Milliseconds of each call."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def during(call: Any, evaluations: Evaluations, wanted: Wanted) -> tuple[list[float], float, str]:
    """Calls while a run is submitted: their milliseconds, how long that took, and the run's id."""
    runs: list[str] = []
    errors: list[BaseException] = []

    def submit() -> None:
        try:
            runs.append(evaluations.begin(wanted))
        except BaseException as error:
            errors.append(error)

    submitting = threading.Thread(target=submit)
    began = time.perf_counter()
    submitting.start()
    taken = []
    while submitting.is_alive():
        taken += timed(call, 1)
    submitting.join()
    if errors:
        raise errors[0]
    return taken, time.perf_counter() - began, runs[0]


def p99(times: list[float]) -> float:
    ordered = sorted(times)
    return ordered[int((len(ordered) - 1) * 0.99)]


def emit(found: dict[str, list[float]], spans: dict[str, list[float]], load: float) -> None:
    def said(kind: str) -> dict[str, Any]:
        times = sorted(found[kind])
        return {"calls": len(times), "median_ms": times[len(times) // 2], "p99_ms": p99(times), "worst_ms": times[-1]}

    detail = {kind: said(kind) for kind in found} | {"submission_s": spans}
    for kind, what in (("bulk", f"{BULK_BYTES >> 20} MiB over bulk"), ("small", "a small run is submitted")):
        Figure(
            "inference_under_bulk",
            f"a call at another node, p99, while {what}",
            "ms",
            [p99(found[kind])],
            Peer("idle", [p99(found["idle"])]),
            {"ratio_at_least": RATIO} if kind == "bulk" else {},
            detail=detail if kind == "bulk" else {},
        ).emit(load)


if __name__ == "__main__":
    main()
