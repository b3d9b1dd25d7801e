"""Calls of a pool that do nothing, with a payload of 100 bytes and 2 workers: what the way there and back costs.

DSPex is called from Rust inside the node (the whole way through its actors), and from another process through the
Python client. Beside it concurrent.futures.ProcessPoolExecutor(2) and two Ray actors, these in the way that suits them.
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
from harness.settings import PYTHON, ROUND_TRIPS, Settings, environment, has_ray, parse, say

WORKERS = 2
IN_FLIGHT = (1, 64, 100)
RUST, CLIENT = "from Rust inside the node", "Python client"
PROCESSES, RAY = f"ProcessPoolExecutor({WORKERS})", f"Ray, {WORKERS} actors"

# System, with so many in flight, in each round.
Rates = dict[str, list[dict[int, dict[str, Any]]]]


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    rates = measure(settings)
    for many in IN_FLIGHT:
        throughput(rates, many, load)
    latency(rates, 1, "median_us", 250, load)
    latency(rates, 100, "p99_us", 10_000, load)


def measure(settings: Settings) -> Rates:
    seconds = settings.pick(5, 1)
    systems = {CLIENT: "dspex", PROCESSES: "processes"}
    if has_ray():
        systems[RAY] = "ray"
    rates: Rates = {name: [] for name in (RUST, *systems)}
    for number in range(settings.pick(5, 1)):
        say(f"pool_round_trips: round {number + 1}, {seconds} s for each of {IN_FLIGHT} in flight ...")
        rates[RUST].append(inside(seconds))
        options = {"in_flight": IN_FLIGHT, "seconds": seconds}
        for name, system in systems.items():
            found = contender.run(Order("rates", system, WORKERS, "ping", options))
            if found["answers"] != ["x" * 98]:
                raise RuntimeError(f"{name} gave back something else: {found['answers']}")
            rates[name].append({int(many): rate for many, rate in found["rates"].items()})
            say(f"  {name}: { ({many: round(rate['per_second']) for many, rate in rates[name][-1].items()}) }/s")
    return rates


def inside(seconds: float) -> dict[int, dict[str, Any]]:
    """The example program of dspex-actors; it prints what the others' rates are made of."""
    if not os.access(ROUND_TRIPS, os.X_OK):
        raise RuntimeError(f"{ROUND_TRIPS} is missing: cargo build --release --workspace --example pool_round_trips")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with machine.Others() as others:
        ended = subprocess.run(
            [ROUND_TRIPS, PYTHON, str(WORKERS), str(seconds)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
    if ended.returncode != 0:
        raise RuntimeError(f"{ROUND_TRIPS} ended with {ended.returncode}: {ended.stderr.strip()[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = others.settle(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    say(f"  {RUST}: { ({line['in_flight']: line['per_second'] for line in lines}) }/s")
    return {line["in_flight"]: {**line, "others_cpus": busy} for line in lines}


def throughput(rates: Rates, many: int, load: float) -> None:
    # The targets are for 64 in flight; the client's is for all.
    targets: dict[tuple[str, str], dict[str, float]] = {(CLIENT, RAY): {"ratio_at_least": 3}}
    if many == 64:
        targets[RUST, PROCESSES] = {"median_at_least": 40_000, "ratio_at_least": 3}
        targets[RUST, RAY] = {"ratio_at_least": 15}
    for own in (RUST, CLIENT):
        for peer in (PROCESSES, RAY):
            if peer in rates:
                emit(rates, (own, peer), many, "per_second", targets.get((own, peer), {}), load)


def latency(rates: Rates, many: int, quantile: str, most_us: float, load: float) -> None:
    for own, target in ((RUST, {"median_at_most": most_us}), (CLIENT, {})):
        for peer in (PROCESSES, RAY):
            if peer in rates:
                emit(rates, (own, peer), many, quantile, target, load)


def emit(rates: Rates, pair: tuple[str, str], many: int, key: str, target: dict[str, float], load: float) -> None:
    own, peer = ([by_many[many] for by_many in rates[name]] for name in pair)
    what = {"per_second": "", "median_us": ", median", "p99_us": ", p99"}[key]
    keys = ("per_second", "median_us", "p99_us", "cpu_us", "how")
    Figure(
        "pool_round_trips",
        f"{pair[0]}, {many} in flight{what}",
        "calls/s" if key == "per_second" else "us",
        [rate[key] for rate in own],
        Peer(pair[1], [rate[key] for rate in peer], detail={key: [rate.get(key) for rate in peer] for key in keys}),
        target,
        others_cpus=[rate["others_cpus"] for rate in (*own, *peer)],
        detail={key: [rate.get(key) for rate in own] for key in keys},
        more_is_better=key == "per_second",
    ).emit(load)


if __name__ == "__main__":
    main()
