"""Which fields an example is called with: what it marks itself, whatever worker it comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Worker, Zygote

PROGRAM = """
import dspy

class Told(dspy.Module):
    def forward(self, q, hint="no hint"):
        return dspy.Prediction(answer=f"{q}, {hint}")

def metric(example, prediction):
    return len(example.inputs())

class Other(dspy.Example):
    pass

devset = [
    dspy.Example(q="1", hint="a").with_inputs("q"),
    dspy.Example(q="2", hint="b").with_inputs("q", "hint"),
    dspy.Example(q="3", hint="c"),
    dspy.Example(q="4", hint="d", tag={"x"}).with_inputs("q", "hint"),
    Other(q="5", hint="e"),
]
unmarked = [example.copy() for example in devset]
for example in unmarked:
    example._input_keys = None
foreign = [dspy.Example(q="1", other="a").with_inputs("q", "other")]
nothing = [dspy.Example(q="1").with_inputs(), dspy.Example(q="2").with_inputs("q")]
"""


@pytest.fixture(autouse=True)
def told(project: Path) -> None:
    (project / "told.py").write_text(PROGRAM)


def _first(zygote: Zygote, project: Path, dataset: str, **more: Any) -> tuple[Worker, list[str]]:
    """The worker that checks a submission, and the inputs that the node keeps of it."""
    worker = zygote.fork(project)
    report = worker.load("told.py:Told", metric="metric", dataset=f"told.py:{dataset}", **more)
    return worker, report["inputs"]


def _later(zygote: Zygote, project: Path, inputs: list[str]) -> Worker:
    """Any other worker of the run: the rows come with the orders."""
    worker = zygote.fork(project)
    worker.load("told.py:Told", metric="metric", inputs=inputs)
    return worker


def _answers(results: list[list[Any]]) -> list[str]:
    return [json.loads(result[4])["answer"] for result in results]


@pytest.mark.parametrize(
    ("dataset", "option", "answers"),
    [
        ("devset", ["q"], [f"{number}, no hint" for number in range(1, 6)]),
        ("unmarked", None, [f"{number}, {hint}" for number, hint in enumerate("abcde", 1)]),
        ("unmarked", ["q"], [f"{number}, no hint" for number in range(1, 6)]),
    ],
)
def test_all_workers_call_an_example_with_the_same_inputs(
    zygote: Zygote, project: Path, dataset: str, option: list[str] | None, answers: list[str]
) -> None:
    first, inputs = _first(zygote, project, dataset, inputs=option)
    later = _later(zygote, project, inputs)
    for worker in (first, later):
        results = worker.execute(first.rows)
        assert _answers(results) == answers
        assert [result[2] for result in results] == [1.0 if "no hint" in answer else 2.0 for answer in answers]
        worker.connection.close()


@pytest.mark.parametrize(("dataset", "failed"), [("foreign", [True]), ("nothing", [True, False])])
def test_inputs_that_forward_refuses_fail_their_examples_in_all_workers(
    zygote: Zygote, project: Path, dataset: str, failed: list[bool]
) -> None:
    first, inputs = _first(zygote, project, dataset)
    later = _later(zygote, project, inputs)
    for worker in (first, later):
        failures = [result[6] for result in worker.execute(first.rows)]
        assert [failure is not None for failure in failures] == failed
        assert failures[0]["type"] == "TypeError"
        worker.connection.close()


def test_the_option_is_checked_at_submission(zygote: Zygote, project: Path) -> None:
    for option, says in ((["hnt"], "Did you mean 'hint'"), (["tag"], "does not take")):
        worker = zygote.fork(project)
        order = {"metric": "metric", "dataset": "told.py:devset", "inputs": option}
        kind, body = worker.try_load("told.py:Told", **order)
        assert (kind, body["kind"]) == (18, "inputs_missing")
        assert says in body["message"]
        worker.connection.close()


def test_an_example_that_marks_nothing_among_others_fails_in_all_workers_as_under_dspy(
    zygote: Zygote, project: Path
) -> None:
    first, inputs = _first(zygote, project, "devset")
    later = _later(zygote, project, inputs)
    for worker in (first, later):
        results = worker.execute(first.rows)
        assert _answers([results[index] for index in (0, 1, 3)]) == ["1, no hint", "2, b", "4, d"]
        for index in (2, 4):
            assert results[index][6]["type"] == "ValueError"
            assert "with_inputs" in results[index][6]["message"]
        worker.connection.close()
