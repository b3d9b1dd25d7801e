"""A metric that burns 5 ms of CPU: what threads under one interpreter lock cannot do in parallel."""

from __future__ import annotations

from harness import contest
from harness.settings import CASES, parse


def main() -> None:
    settings = parse(__doc__)
    contest.run(
        contest.Contest(
            benchmark="cpu_metric",
            examples=settings.pick(1_000, 400),
            rounds=settings.pick(5, 2),
            target={"ratio_at_least": 1.8},
            metric=f"{CASES / 'burning.py'}:exact_after_5_ms",
        )
    )


if __name__ == "__main__":
    main()
