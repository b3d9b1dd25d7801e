"""Pages of 100 executions out of 1,000,000, newest first, by each index; and whether calls wait for their records.

The pages are read in a node of its own, from Rust (consensus/examples/execution_pages), with linearizable reads. The
calls are those of `predict_pool`, one at a time, with the pool's setting `record` as it is by default and with "none".
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
from typing import Any

from harness import contender, machine
from harness.contender import Order
from harness.figures import Figure, Peer
from harness.settings import EXECUTION_PAGES, Settings, directory_on_disk, environment, parse, say

# The one that is asked for; the others stand beside it.
AIMED = "program and status"
PAGE_MS = 5.0
# A call that waited for its record would take a sync of a majority longer.
CALL_RATIO = 0.9


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    pages(settings, load)
    calls(settings, load)


def pages(settings: Settings, load: float) -> None:
    count, each = settings.pick(1_050_000, 50_000), settings.pick(500, 100)
    say(f"executions: {count} recorded, {each} pages by each index ...")
    lines, busy = measured(count, each)
    of_pages = {line["page"]: line for line in lines if "page" in line}
    for what, line in of_pages.items():
        for key, name in (("median_ms", "median"), ("p99_ms", "p99")):
            Figure(
                "executions",
                f"a page of 100 by {what}, {name}",
                "ms",
                [line[key]],
                target={"median_at_most": PAGE_MS} if what.startswith(AIMED) else {},
                others_cpus=[busy],
                detail={"executions": count, **line},
            ).emit(load)
    recorded, started = lines[0], next(line for line in lines if "start_ms" in line)
    Figure(
        "executions",
        "recorded by 16 callers",
        "executions/s",
        [recorded["per_second"]],
        others_cpus=[busy],
        detail=recorded,
        more_is_better=True,
    ).emit(load)
    Figure(
        "executions",
        "a start until a write is answered",
        "ms",
        [started["start_ms"]],
        others_cpus=[busy],
        detail={"executions": count, **started},
    ).emit(load)


def measured(count: int, each: int) -> tuple[list[dict[str, Any]], float]:
    if not os.access(EXECUTION_PAGES, os.X_OK):
        raise RuntimeError(f"{EXECUTION_PAGES} is missing: cargo build --release --workspace --example execution_pages")
    before = _cpu_of_children()
    with directory_on_disk() as place, machine.Others() as others:
        ended = subprocess.run(
            [EXECUTION_PAGES, str(place), str(count), str(each)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=3600,
        )
    if ended.returncode != 0:
        raise RuntimeError(f"{EXECUTION_PAGES} ended with {ended.returncode}: {ended.stderr.strip()[-4000:]}")
    busy = others.settle(_cpu_of_children() - before)
    return [json.loads(line) for line in ended.stdout.splitlines()], busy


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def calls(settings: Settings, load: float) -> None:
    seconds, rounds = settings.pick(10, 2), settings.pick(5, 2)
    found: dict[str, list[dict[str, Any]]] = {"programs": [], "none": []}
    say(f"executions: {rounds} rounds of calls of {seconds} s with and without records ...")
    for _ in range(rounds):
        for record, rates in found.items():
            options = {"in_flight": [1], "seconds": seconds}
            variables = {"DSPEX_POOLS__GENERAL__RECORD": record}
            rates.append(contender.run(Order("rates", "dspex", 2, "predict", options, variables))["rates"]["1"])
            say(f"  record = {record}: {rates[-1]['median_us']:.0f} us")
    own, without = found["programs"], found["none"]
    Figure(
        "executions",
        "a call of a program that is recorded, 1 in flight, median",
        "us",
        [rate["median_us"] for rate in own],
        Peer("the same, not recorded", [rate["median_us"] for rate in without]),
        {"ratio_at_least": CALL_RATIO},
        others_cpus=[rate["others_cpus"] for rate in (*own, *without)],
        detail={key: [rate[key] for rate in own] for key in ("per_second", "p99_us", "cpu_us")},
    ).emit(load)


if __name__ == "__main__":
    main()
