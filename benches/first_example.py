"""From the command to the first example running, when the node is warm: the second `dspex eval` of a session at work.

The program itself notes when its first example begins. Beside it a script that evaluates with dspy.Evaluate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from harness import digits, machine, peer
from harness.figures import Figure, Peer, alternate
from harness.node import Node
from harness.settings import CASES, directory, parse, say

EXAMPLES = 200


def main() -> None:
    settings = parse(__doc__)
    load = machine.load()
    say("first_example: a warm node, and a script with dspy ...")
    program = f"{CASES / 'stamped.py'}:Stamped"
    with directory() as place, Node(place / "home") as node:
        devset = digits.write(place / "devset.jsonl", EXAMPLES)
        node.warm(devset)
        stamps = iter(range(1 << 30))

        def stamped(command: Callable[[dict[str, str]], object]) -> float:
            return began(place / f"stamp-{next(stamps)}", command)

        def evaluate() -> float:
            return stamped(lambda variables: node.eval(devset, program=program, variables=variables))

        def script() -> float:
            return stamped(lambda variables: peer.evaluate(devset, 8, variables, program=program))

        evaluate(), script()
        own, against = alternate(settings.pick(15, 4), evaluate, script)
    target = {"median_at_most": 150}
    Figure("first_example", "warm node", "ms", own, Peer("a script with dspy", against), target).emit(load)


def began(stamp: Path, command: Callable[[dict[str, str]], object]) -> float:
    """Milliseconds from just before the command is started to the first example."""
    started = time.monotonic_ns()
    command({"STAMP": str(stamp)})
    return (int(stamp.read_text()) - started) / 1e6


if __name__ == "__main__":
    main()
