"""A language model without latency: what DSPex itself costs, and what a second core brings.

20,000 examples. dspy.Evaluate recounts all results after each example, so it is quadratic in their number; the plain
loop over program and metric in one process, without dspy.Evaluate, stands beside it as a second peer.
"""

from __future__ import annotations

from harness import contest, digits
from harness.settings import parse


def main() -> None:
    settings = parse(__doc__)
    contest.run(
        contest.Contest(
            benchmark="zero_latency",
            examples=settings.pick(20_000, 2_000),
            rounds=settings.pick(3, 2),
            target={"ratio_at_least": 1.7},
            metric=digits.METRIC,
            plain_loop=True,
        )
    )


if __name__ == "__main__":
    main()
