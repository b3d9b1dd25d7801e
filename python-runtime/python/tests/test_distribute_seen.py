"""What the driver sees of a batch that workers execute: traces, histories, callbacks, usage, settings, its own LMs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import distributed
import driver_program as program
import dspy
import pytest
from dspy.clients import base_lm
from dspy.utils import DummyLM, callback_context
from dspy.utils.callback import BaseCallback
from dspy.utils.parallelizer import ParallelExecutor

import dspex

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    base_lm.GLOBAL_HISTORY.clear()
    lm = program.make_lm()
    with dspy.context(lm=lm, trace=[]):
        yield lm


def _distribute(**more: Any) -> Any:
    return dspex.distribute(workers=2, local=False, **more)


BOTH: list[Callable[[], AbstractContextManager[Any]]] = [nullcontext, _distribute]


class Listener(BaseCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, str]] = []
        self.kinds: dict[str, str] = {}

    def _start(self, kind: str, call_id: str, instance: Any) -> None:
        self.kinds[call_id] = f"{kind} {type(instance).__name__}"
        parent = callback_context.ACTIVE_CALL_ID.get()
        self.told.append((self.kinds[call_id], self.kinds.get(parent or ""), "start"))

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self._start("evaluate", call_id, instance)

    def on_module_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self._start("module", call_id, instance)

    def on_lm_start(self, call_id: str, instance: Any, inputs: Any) -> None:
        self._start("lm", call_id, instance)

    def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        self.told.append((self.kinds[call_id], type(exception).__name__, "end"))


@pytest.mark.parametrize("threads", [1, 4])
def test_the_trace_grows_with_the_drivers_own_predictors(threads: int) -> None:
    seen = []
    for block in BOTH:
        module = program.Answering()
        with block(), dspy.context(trace=[]):
            module.batch(program.devset(4), num_threads=threads, disable_progress_bar=True)
            trace = dspy.settings.trace
        assert {id(predictor) for predictor, _, _ in trace} == {id(module.first), id(module.second)}
        seen.append(sorted((predictor is module.first, repr(inputs), repr(made)) for predictor, inputs, made in trace))
    assert seen[0] == seen[1]
    assert len(seen[0]) == 8


def test_the_trace_is_bounded_and_may_be_off() -> None:
    with _distribute():
        with dspy.context(trace=[], max_trace_size=3):
            program.Answering().batch(program.devset(4), num_threads=2, disable_progress_bar=True)
            assert len(dspy.settings.trace) == 3
        with dspy.context(trace=None, mine="yes", adapter=dspy.JSONAdapter()):
            executor = ParallelExecutor(num_threads=2, disable_progress_bar=True)
            assert executor.execute(distributed.settings, [1]) == [("yes", "JSONAdapter", None)]


def test_modules_of_single_items_are_the_drivers_own_as_well() -> None:
    """SIMBA gives each item a program of its own, and looks its predictors up by identity."""
    modules = [program.Answering() for _ in range(3)]
    firsts = []
    with _distribute(), dspy.context(trace=[]):
        pairs = [(module, example) for module, example in zip(modules, program.devset(3), strict=True)]
        dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)
        firsts = [predictor for predictor, _, _ in dspy.settings.trace]
        shadings = [program.Shading() for _ in range(2)]
        made = dspy.Parallel(num_threads=2, disable_progress_bar=True)([(each, {"question": "q"}) for each in shadings])
    assert {id(each) for each in firsts} == {id(each) for module in modules for each in (module.first, module.second)}
    assert [prediction.maker for prediction in made] == shadings
    assert all(len(module.first.history) == 1 for module in modules)


@pytest.mark.parametrize("threads", [1, 4])
def test_callbacks_hear_the_same_with_the_same_parents(threads: int) -> None:
    seen = []
    examples = [*program.devset(2), dspy.Example(question="raise", label=1).with_inputs("question")]
    for block in BOTH:
        listener = Listener()
        with block(), dspy.context(callbacks=[listener]):
            dspy.Evaluate(devset=examples, metric=program.yes, num_threads=threads)(program.Answering())
        seen.append(sorted(map(repr, listener.told)))
    assert seen[0] == seen[1]
    assert ("module Answering", "evaluate Evaluate", "start") in listener.told
    assert ("module Answering", "KeyError", "end") in listener.told


def test_histories_and_usage_are_the_drivers(lm: Any) -> None:
    seen = []
    for block in BOTH:
        module = program.Answering()
        lm.history.clear()
        with block(), dspy.track_usage() as tracker:
            # dspy's own threads would keep what they count to themselves.
            module.batch(program.devset(3), num_threads=1, disable_progress_bar=True)
        totals = tracker.get_total_tokens()["mine/model"]
        counts = (len(lm.history), len(module.first.history), len(module.history), totals["total_tokens"])
        seen.append((counts, [entry["outputs"] for entry in lm.history]))
    assert seen[0] == seen[1]
    assert seen[0][0] == (6, 3, 6, 30)


def test_predictions_know_their_usage() -> None:
    seen = []
    for block in BOTH:
        with block(), dspy.context(track_usage=True):
            made = program.Answering().batch(program.devset(2), num_threads=2, disable_progress_bar=True)
        seen.append([prediction.get_lm_usage()["mine/model"]["total_tokens"] for prediction in made])
    assert seen == [[10, 10], [10, 10]]


def _dummy(count: int) -> Any:
    return DummyLM([{"answer": f"answer {number}"} for number in range(count)])


def test_an_lm_that_cannot_travel_is_asked_here() -> None:
    lm, listener = _dummy(20), Listener()
    module = program.Answering()
    with dspy.context(lm=lm, callbacks=[listener]), _distribute() as distribution:
        made = module.batch(program.devset(6), num_threads=4, disable_progress_bar=True)
        again = dspy.Predict("question -> answer")(question="q")
    assert distribution.batches[0].run_id
    answers = [prediction.answer for prediction in made]
    assert len(set(answers)) == 6, "each answer is given once"
    assert again.answer == "answer 12", "it knows how many it has given"
    assert len(lm.history) == 13
    assert len(module.second.history) == 6
    assert ("lm DummyLM", "module Predict", "start") in listener.told


@pytest.mark.parametrize("served", [False, True])
def test_one_at_a_time_an_lm_of_the_driver_answers_in_order(served: bool) -> None:
    """Served or not, with its temperature and its usage."""
    seen = []
    for block in (nullcontext, lambda: _distribute(lm_on="driver" if served else "worker")):
        with dspy.context(lm=_dummy(20), track_usage=True), block():
            made = program.Answering().batch(program.devset(4), num_threads=1, disable_progress_bar=True)
            seen.append([(prediction.answer, prediction.get_lm_usage()) for prediction in made])
    assert seen[0] == seen[1]
    assert [answer for answer, _ in seen[1]] == ["answer 1", "answer 3", "answer 5", "answer 7"]


def test_lms_stay_here_where_that_is_asked_for(lm: Any) -> None:
    lm.calls_here = 0
    original = type(lm).__call__

    class Counting(type(lm)):  # type: ignore[misc]
        def __call__(self, *items: Any, **given: Any) -> Any:
            lm.calls_here += 1
            return original(self, *items, **given)

    lm.__class__ = Counting
    with _distribute(lm_on="driver"):
        made = program.Answering().batch(program.devset(3), num_threads=2, disable_progress_bar=True)
    assert [prediction.answer for prediction in made] == ["1", "2", "3"]
    assert lm.calls_here == 6
    assert len(lm.history) == 6


def test_what_an_lm_of_the_driver_raises_is_raised_in_the_program() -> None:
    pairs = [(dspy.Predict("question -> answer"), {"question": text}) for text in ("break the LM", "fine")]
    parallel = dspy.Parallel(num_threads=2, return_failed_examples=True, disable_progress_bar=True)
    with _distribute(lm_on="driver"):
        results, _, exceptions = parallel(pairs)
    assert results[0] is None
    assert results[1].answer == "4"
    assert "the LM is broken" in str(exceptions[0])
