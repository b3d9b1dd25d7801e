"""The trace with which an execution is recorded: what dspy kept of a call, bounded, as JSON."""

from __future__ import annotations

import json
from typing import Any

import dspy
import msgspec
import pytest
from dspy.utils.dummies import DummyLM

from dspex.runtime import programs, traces
from dspex.runtime.commands import Traced


class Twice(dspy.Module):
    def __init__(self) -> None:
        self.draft = dspy.Predict("question -> answer")
        self.polish = dspy.Predict("draft -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.polish(draft=self.draft(question=question).answer)  # type: ignore[no-any-return]


@pytest.fixture
def module() -> Twice:
    return Twice()


def called(module: dspy.Module, **inputs: Any) -> list[Any]:
    trace: list[Any] = []
    with dspy.context(lm=DummyLM([{"answer": "so"}, {"answer": "So!"}]), trace=trace):
        module(**inputs)
    return trace


def test_each_predictor_is_shown_with_its_name_its_inputs_and_its_outputs(module: Twice) -> None:
    assert json.loads(traces.form(module, called(module, question="why?"))) == [
        {"predictor": "draft", "inputs": {"question": "why?"}, "outputs": {"answer": "so"}},
        {"predictor": "polish", "inputs": {"draft": "so"}, "outputs": {"answer": "So!"}},
    ]
    assert traces.form(module, []) == b"[]"


def test_a_trace_is_bounded_in_entries_and_in_bytes(module: Twice) -> None:
    def entry(text: str) -> Any:
        return (module.draft, {"question": text}, dspy.Prediction(answer="a"))

    long = json.loads(traces.form(module, [entry("q")] * (traces.MAX_ENTRIES + 5)))
    assert (len(long), long[-1]) == (traces.MAX_ENTRIES + 1, {"left_out": 5})
    large = [entry("q"), entry("x" * (traces.MAX_BYTES // 2)), entry("x" * (traces.MAX_BYTES // 2)), entry("q")]
    shown = traces.form(module, large)
    assert len(shown) < traces.MAX_BYTES + 100
    assert [one.get("left_out") for one in json.loads(shown)] == [None, None, 2]
    assert json.loads(traces.form(module, [entry("x" * traces.MAX_BYTES)])) == [{"left_out": 1}]


def test_what_has_no_json_form_or_is_no_entry_is_shown_all_the_same(module: Twice) -> None:
    class Odd(dspy.Module):
        def named_predictors(self) -> Any:
            raise RuntimeError("told to")

    trace = [(module.draft, {"question": {1, 2}, "half": "\ud800"}, float("nan")), "no entry"]
    shown = msgspec.json.decode(traces.form(Odd(), trace))
    assert shown[0]["predictor"].endswith("Predict")
    assert shown[0]["inputs"]["question"]["$lossy"] == "set"
    assert shown[1] == {"predictor": None, "inputs": None, "outputs": "no entry"}


def test_a_program_is_traced_where_executions_are_recorded_and_its_answer_is_the_same() -> None:
    answers = []
    for wanted in (False, True):
        held = programs.Programs(wanted)
        held.create(id="qa", signature="question -> answer")
        with dspy.context(lm=DummyLM([{"answer": "so"}])):
            answers.append(held.execute("qa", {"question": "why?"}))
    plain, traced = answers
    assert isinstance(traced, Traced)
    assert msgspec.json.encode(traced.result) == msgspec.json.encode(plain)
    (entry,) = json.loads(traced.trace)
    assert (entry["inputs"], entry["outputs"]) == ({"question": "why?"}, {"answer": "so"})
