"""dspex.Evaluate beside dspy.Evaluate: the same arguments give the same results, histories, usage, events and files."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import driver_program as program
import dspy
import numpy as np
import pytest
from dspy.clients import base_lm
from dspy.utils import callback_context
from dspy.utils.callback import BaseCallback

import dspex

pytestmark = pytest.mark.usefixtures("node")
BOTH = [dspy.Evaluate, dspex.Evaluate]


@pytest.fixture
def lm() -> Iterator[Any]:
    base_lm.GLOBAL_HISTORY.clear()
    lm = program.make_lm()
    with dspy.context(lm=lm):
        yield lm


def test_the_same_results_with_the_drivers_own_examples(lm: Any) -> None:
    devset = program.devset()
    devset.insert(3, dspy.Example(question="qq", label=5).with_inputs("question"))
    results = [kind(devset=devset, metric=program.close, num_threads=4)(program.Answering()) for kind in BOTH]
    theirs, ours = results
    assert (ours.score, repr(ours)) == (theirs.score, repr(theirs))
    assert len(ours.results) == len(devset)
    for index, (example, prediction, score) in enumerate(ours.results):
        assert example is devset[index]
        assert type(prediction) is dspy.Prediction
        assert prediction == theirs.results[index][1]
        assert (score, type(score)) == (theirs.results[index][2], type(theirs.results[index][2]))
    assert isinstance(ours, type(theirs))
    assert ours.toDict().keys() == theirs.toDict().keys()


def test_what_is_known_of_the_run(lm: Any) -> None:
    result = dspex.Evaluate(devset=program.devset(2), metric=program.metric)(program.Answering())
    assert isinstance(result, dspex.EvaluationResult)
    assert result.run_id
    assert result.errors == []
    assert result.cost is None, "the price of this model is not known"
    assert result.usage["mine/model"]["total_tokens"] == 2 * 2 * 5


def test_arguments_of_the_call_go_before_those_of_the_constructor(lm: Any) -> None:
    evaluate = dspex.Evaluate(devset=[], metric=None, num_threads=1)
    result = evaluate(program.Answering(), metric=program.close, devset=program.devset(3), num_threads=2)
    assert len(result.results) == 3
    assert result.results[0][2] == 1.0
    positional = evaluate(program.Answering(), program.close, program.devset(3))
    assert positional.score == result.score


def test_arguments_are_those_of_dspy(lm: Any) -> None:
    evaluate = dspex.Evaluate(devset=program.devset(2), metric=program.metric, return_all_scores=True, unknown=1)
    assert evaluate(program.Answering(), callback_metadata={"metric_key": "eval_full"}).score == 100.0
    with pytest.raises(ValueError, match="return_outputs") as ours:
        dspex.Evaluate(devset=[], return_outputs=True)
    with pytest.raises(ValueError, match="return_outputs") as theirs:
        dspy.Evaluate(devset=[], return_outputs=True)
    assert str(ours.value) == str(theirs.value)
    call, of_dspy = (inspect.signature(kind.__call__).parameters for kind in (dspex.Evaluate, dspy.Evaluate))
    assert list(call) == list(of_dspy)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"metric_on": "moon"}, "metric_on"),
        ({"fallback": "panic"}, "fallback"),
        ({"workers": 0}, "workers"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"retries": 10**10}, "retries"),
        ({"timeout": float("inf")}, "None for no limit"),
        ({"failure_score": 10**400}, "failure_score"),
    ],
)
def test_own_arguments_are_checked(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        dspex.Evaluate(devset=[], **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"workers": 1.5},
        {"retries": 1.5},
        {"retries": None},
        {"timeout": "1"},
        {"failure_score": "a"},
        {"failure_score": None},
        {"detach": None},
        {"detach": "x"},
        {"address": 5},
    ],
)
def test_arguments_of_another_kind_are_refused_where_they_are_given(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(TypeError, match=f"^{name} is "):
        dspex.Evaluate(devset=[], **arguments)
    evaluate = dspex.Evaluate(devset=program.devset(1), metric=program.metric)
    setattr(evaluate, name, arguments[name])
    with pytest.raises(TypeError, match=f"^{name} is "):
        evaluate(program.Answering())


@pytest.mark.parametrize("failure_score", [True, np.float64(0.5), np.int64(2)])
def test_numbers_of_any_kind_are_numbers(lm: Any, failure_score: Any) -> None:
    devset = [*program.devset(1), dspy.Example(question="raise").with_inputs("question")]
    own = {"workers": np.int64(2), "retries": np.int8(0), "timeout": np.float32(60), "detach": np.bool_(False)}
    ours = dspex.Evaluate(devset=devset, metric=program.metric, failure_score=failure_score, **own)(program.Answering())
    theirs = dspy.Evaluate(devset=devset, metric=program.metric, failure_score=failure_score)(program.Answering())
    assert (ours.score, ours.results[1][2]) == (theirs.score, failure_score)


def test_an_empty_devset_is_the_same_error(lm: Any) -> None:
    raised = []
    for kind in BOTH:
        with pytest.raises(Exception) as error:  # noqa: PT011 - which one differs between versions of dspy
            kind(devset=[], metric=program.metric)(program.Answering())
        raised.append((type(error.value), str(error.value)))
    assert raised[0] == raised[1]


def test_without_a_metric_it_fails_as_dspy_does(lm: Any) -> None:
    raised = []
    for kind in BOTH:
        with pytest.raises(Exception) as error:  # noqa: PT011
            kind(devset=program.devset(2), max_errors=1)(program.Answering())
        raised.append(str(error.value))
    assert raised[0] == raised[1]


SCORES = [program.scored, program.whole, program.yes, program.fraction, program.numpy_score]


@pytest.mark.parametrize("metric", SCORES, ids=lambda metric: metric.__name__)
def test_a_score_is_what_the_metric_returned(lm: Any, metric: Callable[..., Any]) -> None:
    theirs, ours = (kind(devset=program.devset(3), metric=metric)(program.Answering()) for kind in BOTH)
    assert ours.score == theirs.score
    for (*_, own), (*_, other) in zip(ours.results, theirs.results, strict=True):
        assert (type(own), own) == (type(other), other)


def test_predictions_keep_custom_types_and_the_programs_own_classes(lm: Any) -> None:
    shading = program.Shading()
    result = dspex.Evaluate(devset=program.devset(2), metric=program.yes)(shading)
    prediction = result.results[0][1]
    assert type(prediction.shade) is program.Shade
    assert prediction.shade == program.Shade(name="q")
    assert prediction.maker is shading, "an object of the program is the driver's own"
    completions = dspex.Evaluate(devset=program.devset(1), metric=program.yes)(shading.step).results[0][1].completions
    assert completions.signature is shading.step.signature


def test_examples_that_are_not_json_travel_too(lm: Any) -> None:
    devset = [dspy.Example(question="q", tags={1, 2}, shade=program.Shade(name="a")).with_inputs("question")]
    result = dspex.Evaluate(devset=devset, metric=program.has_shade)(program.Answering())
    assert result.score == 100.0
    assert result.results[0][0] is devset[0]


def test_an_example_without_inputs_fails_as_under_dspy(lm: Any) -> None:
    devset = [dspy.Example(question="q"), *program.devset(1)]
    theirs, ours = (kind(devset=devset, metric=program.metric)(program.Answering()) for kind in BOTH)
    assert ours.score == theirs.score == 50.0
    assert ours.errors[0].type == "ValueError"
    assert "with_inputs" in ours.errors[0].message


def _history(lm: Any, answering: Any) -> dict[str, Any]:
    def of(owner: list[Any]) -> list[Any]:
        # Answers come in any order from several workers.
        return sorted(_entry(entry) for entry in owner)

    return {
        "lm": of(lm.history),
        "global": of(base_lm.GLOBAL_HISTORY),
        "program": of(answering.history),
        "first": of(answering.first.history),
        "second": of(answering.second.history),
    }


def _entry(entry: dict[str, Any]) -> str:
    shown = {key: entry[key] for key in ("prompt", "messages", "outputs", "usage", "model", "kwargs", "cost")}
    return json.dumps([shown, sorted(entry)], default=repr, sort_keys=True)


def test_the_lm_history_is_that_of_dspy(lm: Any) -> None:
    histories = []
    for kind in BOTH:
        base_lm.GLOBAL_HISTORY.clear()
        lm.history.clear()
        answering = program.Answering()
        kind(devset=program.devset(5), metric=program.metric, num_threads=3)(answering)
        histories.append(_history(lm, answering))
    assert histories[0] == histories[1]
    assert {name: len(entries) for name, entries in histories[1].items()} == {
        "lm": 10,
        "global": 10,
        "program": 10,
        "first": 5,
        "second": 5,
    }
    assert lm.history[0] in base_lm.GLOBAL_HISTORY


@pytest.mark.parametrize(("settings", "kept"), [({"max_history_size": 3}, 3), ({"disable_history": True}, 0)])
def test_the_lm_history_is_bounded_as_dspys(lm: Any, settings: dict[str, Any], kept: int) -> None:
    answering = program.Answering()
    with dspy.context(**settings):
        dspex.Evaluate(devset=program.devset(4), metric=program.metric)(answering)
    assert len(lm.history) == len(answering.history) == kept
    assert len(base_lm.GLOBAL_HISTORY) == (8 if kept else 0)


def test_the_history_of_earlier_calls_is_not_shipped(lm: Any) -> None:
    lm("something before")
    evaluate = dspex.Evaluate(devset=program.devset(1), metric=program.sees_history)
    assert evaluate(program.Answering()).results[0][2] == 2
    assert len(lm.history) == 3


@pytest.mark.parametrize("num_threads", [1, 4])
def test_usage_is_the_same_at_any_number_of_threads(lm: Any, num_threads: int) -> None:
    with dspy.track_usage() as expected:
        dspy.Evaluate(devset=program.devset(4), metric=program.metric, num_threads=1)(program.Answering())
    with dspy.track_usage() as seen:
        result = dspex.Evaluate(devset=program.devset(4), metric=program.metric, num_threads=num_threads)(
            program.Answering()
        )
    assert seen.get_total_tokens() == expected.get_total_tokens() != {}
    assert result.results[0][1].get_lm_usage() is None, "as under dspy, where the outer tracker has it"


def test_predictions_know_their_usage_when_dspy_tracks_it(lm: Any) -> None:
    with dspy.context(track_usage=True):
        theirs, ours = (kind(devset=program.devset(2), metric=program.metric)(program.Answering()) for kind in BOTH)
    for (_, own, _), (_, other, _) in zip(ours.results, theirs.results, strict=True):
        assert own.get_lm_usage() == other.get_lm_usage() != {}


class Heard(BaseCallback):
    """Every call with its parent, by names that both sides share."""

    def __init__(self) -> None:
        self.calls: dict[str, Any] = {}
        self.order: list[tuple[str, str]] = []
        self.instances: list[Any] = []

    def note(self, name: str, call_id: str, **data: Any) -> None:
        self.order.append((name, call_id))
        if "inputs" in data:
            self.instances.append(data["instance"])
            parent = callback_context.ACTIVE_CALL_ID.get()
            self.calls[call_id] = [name, type(data["instance"]).__name__, parent, sorted(data["inputs"]), None, None]
        else:
            self.calls[call_id][4:] = [repr(data["outputs"]), repr(data["exception"])]

    def tree(self) -> list[Any]:
        """[name, class, inputs, outputs, exception, [those inside]] with siblings in an order of their own."""

        def of(parent: str | None) -> list[Any]:
            found = [
                [name, kind, inputs, outputs, exception, of(call_id)]
                for call_id, (name, kind, above, inputs, outputs, exception) in self.calls.items()
                if above == parent
            ]
            return sorted(found, key=lambda call: json.dumps(call))

        return of(None)


def _noting(name: str) -> Callable[..., None]:
    return lambda self, call_id, **data: self.note(name, call_id, **data)


for _name in dir(BaseCallback):
    if _name.startswith("on_"):
        setattr(Heard, _name, _noting(_name))


def test_callbacks_hear_the_same_calls_with_the_same_parents(lm: Any) -> None:
    trees = []
    for kind in BOTH:
        heard = Heard()
        devset = [*program.devset(3), dspy.Example(question="raise").with_inputs("question")]
        with dspy.context(callbacks=[heard]):
            kind(devset=devset, metric=program.metric, num_threads=2)(program.Answering())
        trees.append(_anonymous(heard.tree()))
    assert trees[0] == trees[1]
    (root,) = trees[1]
    assert root[0] == "on_evaluate_start"
    assert len(root[5]) == 4, "one call of the program for each example"


def _anonymous(tree: list[Any]) -> list[Any]:
    text = json.dumps(tree)
    return json.loads(text.replace("dspex.Evaluate", "dspy.Evaluate"))


def test_callbacks_get_the_drivers_own_instances_one_example_after_the_other(lm: Any) -> None:
    heard, answering = Heard(), program.Answering()
    with dspy.context(callbacks=[heard]):
        evaluate = dspex.Evaluate(devset=program.devset(6), metric=program.metric, num_threads=3)
        evaluate(answering)
    instances = {id(instance) for instance in heard.instances}
    assert {id(each) for each in (evaluate, answering, answering.first, answering.second, lm)} <= instances
    assert sum(instance is answering for instance in heard.instances) == 6
    inner = heard.order[1:-1]
    depth, open_calls = 0, []
    for name, call_id in inner:
        if name.endswith("_start"):
            open_calls.append(call_id)
            depth = max(depth, len(open_calls))
        else:
            assert open_calls.pop() == call_id, "calls of different examples are not mixed"
    assert not open_calls
    assert depth >= 3


def test_callbacks_of_single_objects_are_heard_too(lm: Any) -> None:
    heard, answering = Heard(), program.Answering()
    answering.first.callbacks = [heard]
    dspex.Evaluate(devset=program.devset(2), metric=program.metric)(answering)
    assert [name for name, _ in heard.order] == ["on_module_start", "on_module_end"] * 2
    assert heard.instances == [answering.first] * 2


def test_a_callback_that_raises_is_a_warning_as_under_dspy(lm: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Raises(BaseCallback):  # type: ignore[misc]
        def on_lm_start(self, call_id: str, instance: Any, inputs: Any) -> None:
            raise RuntimeError("not today")

    with dspy.context(callbacks=[Raises()]), _propagating("dspy"):
        result = dspex.Evaluate(devset=program.devset(1), metric=program.metric)(program.Answering())
    assert result.score == 100.0
    assert "not today" in caplog.text


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_files_are_the_same(lm: Any, tmp_path: Path, kind: str) -> None:
    written = []
    for evaluate in BOTH:
        path = tmp_path / f"{evaluate.__module__}.{kind}"
        evaluate(devset=program.devset(3), metric=program.metric, **{f"save_as_{kind}": str(path)})(program.Answering())
        written.append(path.read_text())
    assert written[0] == written[1]
    assert "metric" in written[1]


def test_tables_progress_and_log_lines_are_the_same(
    lm: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    shown = []
    for kind in BOTH:
        caplog.clear()
        with _propagating("dspy"), caplog.at_level(logging.INFO):
            kind(devset=program.devset(3), metric=program.metric, display_table=2, display_progress=True)(
                program.Answering()
            )
        out = capsys.readouterr().out
        table = [line for line in out.replace("\r", "\n").splitlines() if "Average Metric" not in line]
        last = [line for line in out.replace("\r", "\n").splitlines() if "Average Metric" in line][-1]
        logged = [record.getMessage() for record in caplog.records if record.name != "dspex"]
        shown.append((table, last.partition(":  ")[0][:40], logged))
    assert shown[0] == shown[1]
    assert "Average Metric: 3.00 / 3 (100.0%)" in shown[1][1]
    assert "Average Metric: 3 / 3 (100.0%)" in shown[1][2]


class _propagating:
    """dspy's loggers keep their lines to themselves; caplog listens at the root."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def __enter__(self) -> None:
        self._before, self._logger.propagate = self._logger.propagate, True

    def __exit__(self, *_: object) -> None:
        self._logger.propagate = self._before


def test_other_evaluations_stay_with_dspy(lm: Any) -> None:
    """The metric of a shipped evaluation, and everything else in the process, may use dspy.Evaluate."""
    dspex.Evaluate(devset=program.devset(1), metric=program.metric)(program.Answering())
    result = dspy.Evaluate(devset=program.devset(2), metric=program.metric)(program.Answering())
    assert type(result) is not dspex.EvaluationResult
    nested = dspex.Evaluate(devset=program.devset(1), metric=program.evaluates)(program.Answering())
    assert nested.score == 100.0


def test_an_optimizer_that_is_given_the_class_uses_it(lm: Any) -> None:
    """As GEPA constructs it: with arguments that dspy.Evaluate ignores."""
    evaluate = dspex.Evaluate(
        devset=program.devset(2),
        metric=program.metric,
        num_threads=2,
        return_all_scores=True,
        failure_score=0,
        provide_traceback=True,
        max_errors=2 * 100,
        callback_metadata={"metric_key": "eval_full"},
    )
    assert isinstance(evaluate, dspy.Evaluate)
    assert evaluate(program.Answering()).score == 100.0
