"""metric_on="driver": the program in workers, the metric here, with all that it can only do here."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any

import cloudpickle
import driver_program as program
import dspy
import msgspec
import pytest
from dspy.utils import callback_context
from dspy.utils.callback import BaseCallback

import dspex
from dspex.questions import DriverMetric
from dspex.runtime import asking, returning
from dspex.runtime.collecting import Collected
from dspex.runtime.payload import Collect, Opener
from dspex.runtime.returning import Returning

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


def _evaluate(metric: Any, count: int = 6, **more: Any) -> Any:
    evaluate = dspex.Evaluate(devset=program.devset(count), metric=metric, metric_on="driver", **more)
    return evaluate(program.Answering())


@pytest.mark.parametrize("num_threads", [1, 3])
def test_a_metric_may_use_what_only_the_driver_has(num_threads: int) -> None:
    lock, seen = threading.Lock(), []

    def metric(example: Any, prediction: Any) -> float:
        with lock:
            seen.append((example, prediction))
        return 0.5

    result = _evaluate(metric, num_threads=num_threads)
    assert result.score == 50.0
    assert len(seen) == 6
    of = {id(example): prediction for example, prediction in seen}
    for example, prediction, _ in result.results:
        assert of[id(example)] is prediction, "the metric saw the driver's own example and the result's own prediction"


def test_one_at_a_time_is_on_the_callers_thread() -> None:
    threads = set()

    def metric(example: Any, prediction: Any) -> int:
        threads.add(threading.current_thread())
        return 1

    _evaluate(metric, num_threads=1)
    assert threads == {threading.current_thread()}


def test_the_score_object_is_the_metrics_own() -> None:
    made = []

    def metric(example: Any, prediction: Any) -> Any:
        made.append(dspy.Prediction(score=0.5, lock=threading.Lock()))
        return made[-1]

    result = _evaluate(metric, num_threads=1)
    assert result.score == 50.0
    assert {id(score) for *_, score in result.results} == {id(score) for score in made}


def test_an_exception_of_the_metric_is_the_examples_own(capsys: pytest.CaptureFixture[str]) -> None:
    raised = ValueError("no label")

    def metric(example: Any, prediction: Any) -> int:
        if example.label == 2:
            raise raised
        return 1

    result = _evaluate(metric, count=3)
    (error,) = result.errors
    assert (error.index, error.type, error.message) == (1, "ValueError", "no label")
    assert error.exception is raised
    assert "raise raised" in error.traceback
    assert result.score == pytest.approx(66.67)


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("end", [lambda: sys.exit("enough"), lambda: pytest.fail("enough")])
def test_an_exit_in_the_metric_fails_its_example_as_in_a_worker(num_threads: int, end: Any) -> None:
    def metric(example: Any, prediction: Any) -> int:
        return end() if example.label == 2 else 1

    # Without an answer the example would wait for its deadline.
    result = _evaluate(metric, count=3, num_threads=num_threads, timeout=20)
    (error,) = result.errors
    assert (error.index, error.message) == (1, "enough")
    assert error.type in ("SystemExit", "Failed")
    assert isinstance(error.exception, dspex.RemoteError)
    assert result.score == pytest.approx(66.67)


def test_an_interruption_ends_the_evaluation() -> None:
    def metric(example: Any, prediction: Any) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _evaluate(metric, count=2, num_threads=1)


class Heard:
    """The stream of questions, with what was answered."""

    def __init__(self) -> None:
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.send = self.answers.put


@pytest.mark.parametrize("broken", ["metric", "question"])
def test_every_question_is_answered(broken: str) -> None:
    def metric(example: Any, prediction: Any) -> int:
        raise KeyboardInterrupt

    body = Returning([]).question("metric", Collected(0, Collect()), dspy.Prediction(answer="1"))
    if broken == "question":
        body = cloudpickle.dumps(Exiting())
    asked = {"worker": "w", "id": 7, "index": 0, "body": body}
    stream, answering = Heard(), DriverMetric(metric, program.devset(1), [], threads=2)
    answering.answer(stream, asked)  # type: ignore[arg-type]
    answer = msgspec.msgpack.decode(stream.answers.get(timeout=10))
    answering.close()
    assert (answer["worker"], answer["id"]) == ("w", 7)
    if broken == "metric":
        assert Opener(answer["body"]).load()["failure"]["type"] == "KeyboardInterrupt"
    else:
        assert answer["error"] == "SystemExit: 3"


class Exiting:
    def __reduce__(self) -> Any:
        return sys.exit, (3,)


def test_a_score_that_is_too_long_goes_to_the_worker_as_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "MAX_BYTES", 1000)
    score = dspy.Prediction(score=0.5, feedback="x" * 2000)
    assert Opener(asking.answer_with(score)).load() == {"score": 0.5}


def test_a_metric_that_returns_nothing_ends_the_run() -> None:
    with pytest.raises(TypeError, match="None"):
        _evaluate(lambda example, prediction: None, count=2)


def test_settings_and_the_active_call_reach_the_metric() -> None:
    found = []

    class Noting(BaseCallback):  # type: ignore[misc]
        def on_evaluate_start(self, call_id: str, instance: Any, inputs: Any) -> None:
            found.append(call_id)

    def metric(example: Any, prediction: Any) -> int:
        found.append((callback_context.ACTIVE_CALL_ID.get(), dspy.settings.mine))
        return 1

    with dspy.context(callbacks=[Noting()], mine="yes"):
        _evaluate(metric, count=2, num_threads=2)
    assert found[1:] == [(found[0], "yes")] * 2


def test_calls_of_the_program_are_heard_before_its_metric_and_once() -> None:
    heard: list[Any] = []
    lm = dspy.settings.lm

    class Hearing(BaseCallback):  # type: ignore[misc]
        def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
            heard.append(outputs)

    def metric(example: Any, prediction: Any) -> int:
        heard.append("metric")
        assert prediction is heard[-2], "the very object that the callback saw"
        return len(lm.history)

    with dspy.context(callbacks=[Hearing()]):
        result = _evaluate(metric, count=2, num_threads=1)
    assert heard.count("metric") == 2
    assert len(heard) == 2 * 4
    assert sorted(score for *_, score in result.results) == [2, 4]
    assert len(lm.history) == 4


def test_it_is_not_shipped_and_gives_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    seen: list[Any] = []
    open_file = open(__file__)  # noqa: SIM115 - what cannot be pickled

    def metric(example: Any, prediction: Any) -> int:
        seen.append(open_file.name)
        return 1

    assert _evaluate(metric, count=2).run_id
    open_file.close()
    assert not [warning for warning in recwarn if "metric" in str(warning.message)]
