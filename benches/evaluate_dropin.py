"""dspex.Evaluate in a script beside `dspex eval`: what it costs to ship closures there, and histories and results back.

Both on the same warm node: the time of the call `evaluate(program)`, and the time of the whole command. The digits with
a language model that takes 50 ms, 64 at once, and with one that answers at once.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import digits, dropin, machine
from harness.figures import Figure, Peer, alternate
from harness.node import Node
from harness.settings import Settings, directory, parse, say


@dataclass
class Case:
    """`threads` None: both have their default of 8."""

    latency_ms: int
    threads: int | None
    examples: int


def main() -> None:
    settings = parse(__doc__)
    for case in (Case(50, 64, settings.pick(8_000, 1_600)), Case(0, None, settings.pick(10_000, 2_000))):
        measure(settings, case)


def measure(settings: Settings, case: Case) -> None:
    load = machine.load()
    variables = {digits.LATENCY: str(case.latency_ms)}
    options = () if case.threads is None else ("--num-threads", str(case.threads))
    say(f"evaluate_dropin: {case.examples} examples, {case.latency_ms} ms ...")
    with directory() as place, Node(place / "home") as node:
        devset = digits.write(place / "devset.jsonl", case.examples)
        node.warm(devset, variables)

        def script() -> dict[str, Any]:
            found = dropin.evaluate(devset, case.threads, {"DSPEX_HOME": str(place / "home"), **variables})
            say(f"  dspex.Evaluate: {found['seconds']:.2f} s")
            return found

        def command() -> dict[str, Any]:
            found = _command(node, devset, options, variables)
            say(f"  dspex eval: {found['seconds']:.2f} s")
            return found

        own, against = alternate(settings.pick(5, 2), script, command)
    scores = {found["score"] for found in (*own, *against)}
    if len(scores) != 1:
        raise RuntimeError(f"the two differ in the score: {scores}")
    Figure(
        "evaluate_dropin",
        f"{case.examples} examples, {case.latency_ms} ms, {case.threads or 8} at once",
        "s",
        [found["seconds"] for found in own],
        Peer("dspex eval", [found["seconds"] for found in against]),
        # At most 10 % more.
        {"ratio_at_least": 0.909},
        detail={"driver_cpu_s": [found["cpu"] for found in own]},
    ).emit(load)


def _command(node: Node, devset: Path, options: tuple[str, ...], variables: dict[str, str]) -> dict[str, Any]:
    began = time.perf_counter()
    said = node.eval(devset, *options, variables=variables)
    return {"seconds": time.perf_counter() - began, "score": json.loads(said)["score"]}


if __name__ == "__main__":
    main()
