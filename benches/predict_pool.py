"""One dspy.Predict with a language model that answers at once in each request, 8 workers: a service that uses DSPy.

DSPex through its Python client (`create_program` once, then `execute_program`), beside multiprocessing.Pool(8) and
8 Ray actors whose function does the same.
"""

from __future__ import annotations

from typing import Any

from harness import contender, machine
from harness.contender import Order
from harness.figures import Figure, Peer
from harness.settings import has_ray, parse, say

WORKERS = 8
IN_FLIGHT = 64
DSPEX, POOL, RAY = "dspex", f"multiprocessing.Pool({WORKERS})", f"Ray, {WORKERS} actors"


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    seconds = settings.pick(10, 2)
    systems = {DSPEX: "dspex", POOL: "mp_pool"}
    if has_ray():
        systems[RAY] = "ray"
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}
    options = {"in_flight": [IN_FLIGHT], "seconds": seconds}
    for number in range(settings.pick(5, 1)):
        say(f"predict_pool: round {number + 1}, {seconds} s each ...")
        for name, system in systems.items():
            found[name].append(contender.run(Order("rates", system, WORKERS, "predict", options)))
            say(f"  {name}: {found[name][-1]['rates'][str(IN_FLIGHT)]['per_second']:.0f}/s")
    answers = {tuple(run["answers"]) for runs in found.values() for run in runs}
    if len(answers) != 1:
        raise RuntimeError(f"the systems differ in their answers: {answers}")
    rates = {name: [run["rates"][str(IN_FLIGHT)] for run in runs] for name, runs in found.items()}
    for peer, ratio in ((POOL, 1.3), (RAY, 4)):
        if peer in rates:
            emit(rates[DSPEX], peer, rates[peer], ratio, load)


def emit(own: list[dict[str, Any]], name: str, peer: list[dict[str, Any]], ratio: float, load: float) -> None:
    Figure(
        "predict_pool",
        f"{WORKERS} workers, {IN_FLIGHT} in flight",
        "requests/s",
        [rate["per_second"] for rate in own],
        Peer(name, [rate["per_second"] for rate in peer], detail=_detail(peer)),
        {"ratio_at_least": ratio},
        others_cpus=[rate["others_cpus"] for rate in (*own, *peer)],
        detail=_detail(own),
        more_is_better=True,
    ).emit(load)


def _detail(rates: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: [rate[key] for rate in rates] for key in ("median_us", "p99_us", "cpu_us", "how")}


if __name__ == "__main__":
    main()
