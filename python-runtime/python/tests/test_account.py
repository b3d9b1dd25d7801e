"""What is kept and counted of an example's LM calls."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import scripted_lms
from conftest import Worker, Zygote

PROGRAM = """
import asyncio
import threading

made, neighbour_done = threading.Event(), threading.Event()
PATIENCE = 20


def own_calls(owner):
    return sum("many" in entry["prompt"] for entry in owner.history)


class Ask(dspy.Module):
    def forward(self, question):
        lm(question)


class Calls(dspy.Module):
    def forward(self, action):
        if action == "many":
            for number in range(20):
                lm(f"many {number}")
            made.set()
            assert neighbour_done.wait(PATIENCE)
            return dspy.Prediction(by_lm=own_calls(lm), by_module=own_calls(self))
        if action == "one":
            assert made.wait(PATIENCE)
            lm("one")
        elif action == "say done":
            neighbour_done.set()
        elif action == "earlier":
            return dspy.Prediction(kept=len(lm.history))
        elif action == "async":
            asyncio.run(lm.acall("async"))
        elif action == "parallel":
            pairs = [(Ask(), dspy.Example(question=str(number)).with_inputs("question")) for number in range(3)]
            dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)
        elif action == "tracked":
            with dspy.track_usage() as tracker:
                lm("tracked")
            return dspy.Prediction(usage=tracker.get_total_tokens())
        elif action == "single":
            lm("single")
        else:
            lm(action, n=2)
        return dspy.Prediction(answer="fine")


def metric(example, prediction):
    return 1
"""

COUNTED = ("prompt_tokens", "completion_tokens", "total_tokens")


@pytest.fixture
def start(zygote: Zygote, project: Path) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def begin(kind: str, **more: Any) -> Worker:
        (project / "calls.py").write_text(scripted_lms.SOURCES[kind] + PROGRAM)
        own = {"DSPY_CACHEDIR": str(project / "cache"), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        worker = zygote.fork(project, {**os.environ, **own})
        workers.append(worker)
        worker.load("calls.py:Calls", metric="metric", columns=["action"], **more)
        return worker

    yield begin
    for worker in workers:
        worker.connection.close()


def _tokens(result: list[Any]) -> tuple[int, ...] | None:
    (usage,) = (result[7] or {"nothing": {}}).values()
    return tuple(usage[key] for key in COUNTED) if usage else None


@pytest.mark.parametrize("kind", scripted_lms.KINDS)
def test_an_example_keeps_its_calls_while_its_neighbours_finish(start: Callable[..., Worker], kind: str) -> None:
    actions = ["many", "one", "say done"]
    many, *others = start(kind, threads=2).execute([{"action": action} for action in actions])
    assert [result[6] for result in (many, *others)] == [None] * 3
    assert json.loads(many[4]) == {"by_lm": 20, "by_module": 20}


@pytest.mark.parametrize("kind", scripted_lms.KINDS)
def test_the_calls_of_earlier_examples_are_forgotten(start: Callable[..., Worker], kind: str) -> None:
    results = start(kind).execute([{"action": "go"}] * 100 + [{"action": "earlier"}])
    assert json.loads(results[-1][4])["kept"] < 10


# dspy 3.4 lets go of an answer of `forward` that it cannot read before anyone can see what it cost.
@pytest.mark.parametrize("kind", scripted_lms.KINDS[:1])
def test_a_call_that_fails_late_is_counted(start: Callable[..., Worker], kind: str) -> None:
    late, early = start(kind).execute([{"action": action} for action in ("fail late", "fail")])
    assert "told to" in late[6]["message"]
    assert _tokens(late) == (3, 2, 5)
    assert late[8] is None, "an unknown price is not zero"
    assert early[6] is not None
    assert (early[7], early[8]) == (None, 0.0)


@pytest.mark.parametrize("kind", scripted_lms.KINDS)
@pytest.mark.parametrize(("action", "answers"), [("single", 1), ("go", 2), ("async", 1), ("parallel", 3)])
def test_each_answer_is_counted_once(start: Callable[..., Worker], kind: str, action: str, answers: int) -> None:
    (result,) = start(kind).execute([{"action": action}])
    assert result[6] is None, result[6]
    assert _tokens(result) == (3 * answers, 2 * answers, 5 * answers)
    assert result[8] is None


def test_only_what_adds_up_is_counted(start: Callable[..., Worker]) -> None:
    (result,) = start("forward").execute([{"action": "parallel"}])
    counted = {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15}
    assert result[7] == {"mine/model": {**counted, "completion_tokens_details.reasoning_tokens": 3}}


@pytest.mark.parametrize("kind", scripted_lms.KINDS)
def test_a_program_that_tracks_its_usage_sees_what_it_sees_under_dspy(start: Callable[..., Worker], kind: str) -> None:
    (result,) = start(kind).execute([{"action": "tracked"}])
    seen = json.loads(result[4])["usage"]["mine/model"]
    assert tuple(seen[key] for key in COUNTED) == _tokens(result) == (3, 2, 5)


def test_a_cached_answer_is_not_paid_again(start: Callable[..., Worker], project: Path) -> None:
    worker = start("litellm")
    assert not (project / "cache").exists(), "it is opened when it is needed"
    first, again = worker.execute([{"action": "single"}] * 2)
    assert first[6] is None, first[6]
    assert _tokens(first) == (10, 20, 30)
    assert first[8] == pytest.approx(10 * 0.15e-6 + 20 * 0.6e-6)
    assert (again[6], again[7], again[8]) == (None, None, 0.0)
    (by_another_worker,) = start("litellm").execute([{"action": "single"}])
    assert by_another_worker[6:9] == [None, None, 0.0]
