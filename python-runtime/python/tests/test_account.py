"""What is kept and counted of an example's LM calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Worker, Zygote

PROGRAM = '''
import threading

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage


class Engine:
    """Answers, except after a prompt that asks for less."""

    def __init__(self):
        self.calls = 0

    def complete(self, request):
        self.calls += 1
        text = request.messages[-1].text
        if text == "fail" or (text == "fail late" and self.calls % 2 == 0):
            raise RuntimeError("told to")
        return Response(
            id=None,
            model=request.model,
            message=Message.assistant([TextPart("yes")]),
            finish_reason="stop",
            usage=Usage(input_tokens=3, output_tokens=2, total_tokens=5),
        )

    def close(self):
        pass


lm = dspy.LM("mine/model", engine=Engine(), cache=False, num_retries=0)
made, neighbour_done = threading.Event(), threading.Event()
PATIENCE = 20


def own_calls(owner):
    return sum("many" in entry["prompt"] for entry in owner.history)


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
        else:
            lm(action, n=2)
        return dspy.Prediction(answer="fine")


def metric(example, prediction):
    return 1
'''


@pytest.fixture
def start(zygote: Zygote, project: Path) -> Iterator[Callable[..., Worker]]:
    (project / "calls.py").write_text(PROGRAM)
    workers: list[Worker] = []

    def begin(**more: Any) -> Worker:
        worker = zygote.fork(project)
        workers.append(worker)
        worker.load("calls.py:Calls", metric="metric", columns=["action"], **more)
        return worker

    yield begin
    for worker in workers:
        worker.connection.close()


def test_an_example_keeps_its_calls_while_its_neighbours_finish(start: Callable[..., Worker]) -> None:
    actions = ["many", "one", "say done"]
    many, *others = start(threads=2).execute([{"action": action} for action in actions])
    assert [result[6] for result in (many, *others)] == [None] * 3
    assert json.loads(many[4]) == {"by_lm": 20, "by_module": 20}


def test_the_calls_of_earlier_examples_are_forgotten(start: Callable[..., Worker]) -> None:
    results = start().execute([{"action": "go"}] * 100 + [{"action": "earlier"}])
    assert json.loads(results[-1][4])["kept"] < 10


def test_a_call_that_fails_late_is_counted(start: Callable[..., Worker]) -> None:
    late, fine, early = start().execute([{"action": action} for action in ("fail late", "go", "fail")])
    once = {"mine/model": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    assert "told to" in late[6]["message"]
    assert {key: late[7]["mine/model"][key] for key in once["mine/model"]} == once["mine/model"]
    assert late[8] is None, "an unknown price is not zero"
    assert (fine[6], fine[7]["mine/model"]["total_tokens"]) == (None, 10)
    assert early[6] is not None
    assert (early[7], early[8]) == (None, 0.0)
