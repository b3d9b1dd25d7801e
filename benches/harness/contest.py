"""DSPex against dspy.Evaluate on one task: the peer's best thread count first, then both in turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from harness import digits, machine, peer
from harness.figures import Figure, Peer, alternate
from harness.node import Evaluation, Node
from harness.settings import directory, say


@dataclass
class Contest:
    benchmark: str
    examples: int
    rounds: int
    target: dict[str, float]
    metric: str = digits.METRIC
    options: tuple[str, ...] = ()
    threads: tuple[int, ...] = peer.THREADS
    variables: dict[str, str] = field(default_factory=dict)
    plain_loop: bool = False


def run(contest: Contest) -> None:
    load = machine.load()
    with directory() as place, Node(place / "home") as node:
        devset = digits.write(place / "devset.jsonl", contest.examples)
        say(f"{contest.benchmark}: {contest.examples} examples, dspy with threads {contest.threads} ...")
        survey = {threads: _peer(contest, devset, threads) for threads in contest.threads}
        best = min(survey, key=lambda threads: survey[threads].seconds)
        node.warm(devset, contest.variables)
        own, against = alternate(
            contest.rounds,
            lambda: node.evaluate(devset, *contest.options, metric=contest.metric, variables=contest.variables),
            lambda: _peer(contest, devset, best),
        )
        loop = [_peer(contest, devset, 0) for _ in range(contest.rounds)] if contest.plain_loop else []
    scores = {run.score for run in (*own, *against, *loop, *survey.values())}
    if len(scores) != 1:
        raise RuntimeError(f"{contest.benchmark}: the two sides differ in the score: {scores}")
    seen = {threads: round(answer.seconds, 3) for threads, answer in survey.items()}
    detail = own_detail(own, contest.examples)
    if loop:
        plain = Peer("plain loop in one process", [answer.seconds for answer in loop])
        detail["plain_loop_s"] = plain.runs
        detail["plain_loop_cpu_us_per_example"] = _per_example([answer.cpu for answer in loop], contest.examples)
        detail["ratio_to_plain_loop"] = round(plain.median / median(run.seconds for run in own), 3)
    Figure(
        benchmark=contest.benchmark,
        metric=f"{contest.examples} examples",
        unit="s",
        runs=[run.seconds for run in own],
        peer=Peer(
            f"dspy.Evaluate, {best} threads",
            [answer.seconds for answer in against],
            detail={
                "best_of_threads_s": seen,
                "cpu_us_per_example": _per_example([answer.cpu for answer in against], contest.examples),
            },
        ),
        target=contest.target,
        others_cpus=[run.others_cpus for run in (*own, *against)],
        detail=detail,
    ).emit(load)


def own_detail(own: list[Evaluation], examples: int) -> dict[str, object]:
    """What stands beside the time: start-up, and where the CPU time went."""
    return {
        "startup_s": [run.startup_seconds for run in own],
        "node_cpu_us_per_example": _per_example([run.node_cpu for run in own], examples),
        "workers_cpu_us_per_example": _per_example([run.workers_cpu for run in own], examples),
        "score": own[0].score,
    }


def _peer(contest: Contest, devset: Path, threads: int) -> peer.Answer:
    answer = peer.evaluate(devset, threads, contest.variables, metric=contest.metric)
    say(f"  dspy, {f'{threads} threads' if threads else 'plain loop'}: {answer.seconds:.2f} s")
    return answer


def _per_example(seconds: list[float], examples: int) -> float:
    return round(1e6 * median(seconds) / examples, 1)
