"""Traces out of batches that workers execute: whose predictors they name, in which order, and what is made of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import dspy
import optimizable
import pytest
from dspy.teleprompt.bootstrap_trace import FailedPrediction, bootstrap_trace_data

import dspex

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    lm = optimizable.make_lm()
    with dspy.context(lm=lm, num_threads=4):
        yield lm


def _distribute() -> Any:
    return dspex.distribute(workers=2, local=False)


BOTH: list[Callable[[], AbstractContextManager[Any]]] = [nullcontext, _distribute]


def _named(program: Any, trace: Any) -> list[Any]:
    """Calls by the names of the program's own predictors; None for one that is not its own."""
    names = {id(predictor): name for name, predictor in program.named_predictors()}
    return [(names.get(id(predictor)), repr(inputs), repr(outputs)) for predictor, inputs, outputs in trace]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_predictor_that_is_called_twice_is_the_drivers_own_and_its_calls_keep_their_order(threads: int) -> None:
    seen = []
    for block in BOTH:
        program = optimizable.Revising()
        with block(), dspy.context(trace=[]):
            program.batch(optimizable.trainset(6), num_threads=threads, disable_progress_bar=True)
            calls = _named(program, dspy.settings.trace)
        # Calls of different examples follow each other as it happens where several are under way; those of one do not.
        seen.append(calls if threads == 1 else sorted(calls, key=lambda call: call[1].partition("draft")[0]))
    assert seen[0] == seen[1]
    assert len(seen[1]) == 12
    assert {name for name, _, _ in seen[1]} == {"step"}
    for first, second in zip(seen[1][::2], seen[1][1::2], strict=True):
        assert "none yet" in first[1]
        assert "none yet" not in second[1]


def _bootstrapped() -> Any:
    """Of several calls of a predictor dspy draws one for the demo, from a generator that it seeds with all of them."""
    settings = {"max_bootstrapped_demos": 12, "max_labeled_demos": 0}
    optimizer = dspy.BootstrapFewShot(metric=optimizable.metric, **settings)
    return optimizer.compile(optimizable.Revising(), trainset=optimizable.trainset(24))


def _simba() -> Any:
    settings = {"bsize": 6, "num_candidates": 3, "max_steps": 3, "max_demos": 2, "num_threads": 4}
    optimizer = dspy.SIMBA(metric=optimizable.metric, **settings)
    return optimizer.compile(optimizable.Revising(), trainset=optimizable.trainset(12), seed=3)


def _gepa() -> Any:
    return optimizable.compiled_by_gepa(optimizable.Revising(), optimizable.Listener())


@pytest.mark.parametrize("compile_program", [_bootstrapped, _simba, _gepa], ids=["bootstrap", "simba", "gepa"])
def test_what_is_compiled_from_a_predictor_that_is_called_twice_is_that_of_dspy(
    compile_program: Callable[[], Any],
) -> None:
    states = []
    for block in BOTH:
        random.seed(7)
        with block() as distribution:
            states.append(json.dumps(compile_program().dump_state(), sort_keys=True))
    assert states[0] == states[1]
    assert states[1] != json.dumps(optimizable.Revising().dump_state(), sort_keys=True), "nothing was compiled"
    assert all(batch.run_id for batch in distribution.batches)


def _examples(*questions: str) -> list[Any]:
    return [dspy.Example(question=text, answer=str(len(text))).with_inputs("question") for text in questions]


@pytest.mark.parametrize("make", [optimizable.Counting, optimizable.Revising], ids=["two predictors", "one twice"])
@pytest.mark.parametrize("threads", [1, 4])
def test_trace_data_is_that_of_dspy(make: Callable[[], Any], threads: int) -> None:
    """Also of an example whose answer cannot be parsed, and without the one whose program raises."""
    dataset = _examples("q", "qq", "garble", "qqqq", "raise", "qqqqqq")
    seen = []
    for block in BOTH:
        program = make()
        with block() as distribution:
            settings = {"num_threads": threads, "raise_on_error": False, "capture_failed_parses": True}
            data = bootstrap_trace_data(program, dataset, optimizable.metric, **settings)
        assert all(row["example"] is dataset[row["example_ind"]] for row in data)
        told = [(row["example_ind"], row["score"], repr(row["prediction"])) for row in data]
        seen.append((told, [_named(program, row["trace"]) for row in data]))
    assert seen[0] == seen[1]
    (batch,) = distribution.batches
    assert batch.run_id
    assert [row["example_ind"] for row in data] == [0, 1, 2, 3, 5]
    assert type(data[2]["prediction"]) is FailedPrediction
    assert data[2]["score"] == -1
    assert all(name is not None for calls in seen[1][1] for name, _, _ in calls)


def test_trace_data_raises_where_dspy_raises() -> None:
    dataset = _examples("q", "raise")
    for block in BOTH:
        with block(), pytest.raises(ValueError, match="unpack"):
            bootstrap_trace_data(optimizable.Counting(), dataset, optimizable.metric, num_threads=2)
