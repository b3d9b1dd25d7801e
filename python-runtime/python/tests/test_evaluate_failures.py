"""What goes wrong in an evaluation, and how the driver hears of it."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import driver_program as program
import dspy
import pytest
from dspy.utils.callback import BaseCallback

import dspex

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("dspy")
    before, logger.propagate = logger.propagate, True
    yield caplog
    logger.propagate = before


def _devset(*questions: str) -> list[Any]:
    return [dspy.Example(question=question).with_inputs("question") for question in questions]


@pytest.mark.parametrize("failure_score", [0.0, -1, 0.5])
def test_failed_examples_have_an_empty_prediction_and_the_failure_score(failure_score: float) -> None:
    devset = _devset("q", "raise this", "qq")
    theirs, ours = (
        kind(devset=devset, metric=program.metric, failure_score=failure_score)(program.Answering())
        for kind in (dspy.Evaluate, dspex.Evaluate)
    )
    assert ours.score == theirs.score
    assert ours.results[1] == theirs.results[1] == (devset[1], dspy.Prediction(), failure_score)
    assert type(ours.results[1][2]) is type(failure_score)


def test_errors_say_what_happened_where() -> None:
    result = dspex.Evaluate(devset=_devset("q", "raise this"), metric=program.metric)(program.Answering())
    (error,) = result.errors
    assert (error.index, error.type, error.message) == (1, "KeyError", "'raise this'")
    assert isinstance(error.exception, KeyError)
    assert error.exception.args == ("raise this",)
    assert "driver_program.py" in error.traceback
    assert "raise KeyError(question)" in error.traceback
    assert "dspex/runtime" not in error.traceback
    assert error.worker
    assert str(error) == "example 1: KeyError: 'raise this'"


@pytest.mark.parametrize(
    "name", ["AdapterParseError", "ContextWindowExceededError", "LMRateLimitError", "Odd", "Local"]
)
def test_exceptions_come_back_as_what_they_were(name: str) -> None:
    result = dspex.Evaluate(devset=_devset(name), metric=program.metric)(program.Raising())
    exception = result.errors[0].exception
    assert type(exception).__name__ == name, exception
    if name == "Odd":
        assert (exception.first, exception.args) == (1, ())
    if name == "Local":
        assert str(exception) == "made in a function"
    if name == "AdapterParseError":
        assert "cannot parse" in str(exception)


def test_exceptions_with_what_cannot_be_pickled_keep_their_class_and_message() -> None:
    result = dspex.Evaluate(devset=_devset("Locked"), metric=program.metric)(program.Raising())
    assert type(result.errors[0].exception) is program.Locked
    assert "holds a lock" in str(result.errors[0].exception)


def test_each_error_is_logged_as_dspy_does(said: pytest.LogCaptureFixture) -> None:
    devset = _devset("raise this")
    for provide_traceback in (False, True):
        lines = []
        for kind in (dspy.Evaluate, dspex.Evaluate):
            said.clear()
            kind(devset=devset, metric=program.metric, provide_traceback=provide_traceback)(program.Answering())
            (record,) = [each for each in said.records if each.levelname == "ERROR"]
            lines.append((record.name, record.getMessage()))
        theirs, ours = lines
        if provide_traceback:
            assert "raise KeyError(question)" in ours[1]
            assert ours[1].splitlines()[0] == theirs[1].splitlines()[0]
        else:
            assert ours == theirs


@pytest.mark.parametrize(("max_errors", "setting"), [(2, 10), (None, 2)])
def test_too_many_errors_raise_what_dspy_raises(max_errors: int | None, setting: int) -> None:
    devset = _devset("q", "raise 1", "raise 2", "raise 3")
    with dspy.context(max_errors=setting):
        with pytest.raises(Exception, match="cancelled due to errors") as theirs:
            dspy.Evaluate(devset=devset, metric=program.metric, num_threads=1, max_errors=max_errors)(
                program.Answering()
            )
        with pytest.raises(Exception, match="cancelled due to errors") as ours:
            dspex.Evaluate(devset=devset, metric=program.metric, num_threads=1, max_errors=max_errors)(
                program.Answering()
            )
    assert (type(ours.value), str(ours.value)) == (type(theirs.value), str(theirs.value))
    assert ours.value.run_id
    # A node may have handed out one more by then.
    assert [error.index for error in ours.value.errors][:2] == [1, 2]
    notes = "\n".join(ours.value.__notes__)
    assert "example 1: KeyError: 'raise 1'" in notes
    assert f"dspex run results {ours.value.run_id}" in notes


def test_max_errors_may_be_without_limit() -> None:
    devset = _devset(*["raise"] * 12)
    result = dspex.Evaluate(devset=devset, metric=program.metric, max_errors=float("inf"))(program.Answering())
    assert len(result.errors) == 12


@pytest.mark.parametrize(("metric", "says"), [(program.nothing, "None"), (program.text, "not a number")])
def test_what_is_no_score_is_a_type_error_as_under_dspy(metric: Any, says: str) -> None:
    for kind in (dspy.Evaluate, dspex.Evaluate):
        with pytest.raises(TypeError) as error:
            kind(devset=_devset("q"), metric=metric)(program.Answering())
    assert says in str(error.value)
    assert error.value.run_id


def test_a_worker_that_dies_is_one_failed_example() -> None:
    devset = _devset("q", "die", "qq", "qqq")
    result = dspex.Evaluate(devset=devset, metric=program.metric, retries=0, workers=2, num_threads=2)(
        program.Answering()
    )
    (error,) = [error for error in result.errors if error.index == 1]
    assert error.type == "WorkerLost"
    assert isinstance(error.exception, dspex.RemoteError)
    assert result.results[1][1] == dspy.Prediction()


def test_system_exit_in_a_worker_does_not_end_the_driver() -> None:
    result = dspex.Evaluate(devset=_devset("SystemExit"), metric=program.metric)(program.Raising())
    assert result.errors[0].type == "SystemExit"
    assert isinstance(result.errors[0].exception, dspex.RemoteError)


def test_prints_of_workers_appear_here(capsys: pytest.CaptureFixture[str]) -> None:
    dspex.Evaluate(devset=_devset("print a", "print b"), metric=program.metric)(program.Answering())
    out = capsys.readouterr().out
    assert "printed by print a\n" in out
    assert "printed by print b\n" in out


def test_a_program_that_does_not_load_says_why() -> None:
    with pytest.raises(dspex.DspexError) as error:
        dspex.Evaluate(devset=_devset("q"), metric=program.metric)(program.Unloadable())
    assert "RuntimeError" in str(error.value)
    assert "only the driver can load this" in str(error.value)
    assert error.value.reason
    assert "__setstate__" in (error.value.traceback or "")


def test_a_prediction_that_cannot_be_pickled_is_shown_as_json(caplog: pytest.LogCaptureFixture) -> None:
    result = dspex.Evaluate(devset=_devset("q", "qq"), metric=program.yes)(program.Locking())
    assert result.score == 100.0
    assert [prediction.answer for _, prediction, _ in result.results] == ["q", "qq"]
    assert result.results[0][1].lock["$lossy"] == "_thread.lock"
    assert "the prediction did not come back" in caplog.text or "prediction did not come back" in caplog.text


class Interrupts(BaseCallback):  # type: ignore[misc]
    """Presses Ctrl-C when the first example has come back."""

    def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        self.at = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)


def _interrupted(slow: str, **more: Any) -> float:
    """The seconds from Ctrl-C to KeyboardInterrupt."""
    interrupts = Interrupts()
    evaluate = dspex.Evaluate(devset=_devset("q", slow), metric=program.yes, num_threads=2, **more)
    with pytest.raises(KeyboardInterrupt), dspy.context(callbacks=[interrupts]):
        evaluate(program.Answering())
    return time.monotonic() - interrupts.at


def test_ctrl_c_cancels_the_run_promptly_and_says_how_to_go_on(caplog: pytest.LogCaptureFixture) -> None:
    assert _interrupted("sleep 60") < 2
    told = re.search(r"dspex run resume (\S+)", caplog.text)
    assert told
    assert _status(told[1], "running") == "cancelled"


def _delay_cancel(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[Any]:
    """The answers to runs.cancel that have come, later than the node gave them."""
    from dspex.client import connection

    stream, answers = connection.Client.stream, []

    def slowly(self: Any, name: str, body: dict[str, Any], deliver: Any) -> Any:
        if name != "runs.cancel":
            return stream(self, name, body, deliver)

        def later(answer: Any) -> None:
            threading.Timer(seconds, lambda: (answers.append(answer), deliver(answer))).start()

        return stream(self, name, body, later)

    monkeypatch.setattr(connection.Client, "stream", slowly)
    return answers


def test_ctrl_c_waits_until_the_node_has_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = _delay_cancel(monkeypatch, 0.5)
    _interrupted("sleep 60")
    assert answers == [None]


def test_ctrl_c_waits_no_longer_than_two_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _delay_cancel(monkeypatch, 4)
    assert 1.9 < _interrupted("sleep 60") < 3.5
    assert re.search(r"not confirmed that run (\S+) is cancelled.* dspex run show \1", caplog.text)


def test_a_detached_run_goes_on_after_ctrl_c(caplog: pytest.LogCaptureFixture) -> None:
    _interrupted("sleep 2", detach=True)
    told = re.search(r"run (\S+) goes on", caplog.text)
    assert told
    assert _status(told[1], "running") == "finished"


def _status(run_id: str, not_any_more: str, seconds: float = 30) -> str:
    from dspex.client import connect

    deadline = time.monotonic() + seconds
    status = not_any_more
    while status == not_any_more and time.monotonic() < deadline:
        status = connect().call("runs.get", {"run_id": run_id})["status"]
        time.sleep(0.05)
    return status


def test_a_run_that_someone_cancels_raises_what_dspy_raises() -> None:
    from dspex.client import connect

    runs: list[str] = []
    client = connect()
    stream = client.stream

    def noting(method: str, body: dict[str, Any], deliver: Any) -> Any:
        if method == "runs.watch":
            runs.append(body["run_id"])
            threading.Timer(1, lambda: client.call("runs.cancel", {"run_id": runs[0], "reason": "by a test"})).start()
        return stream(method, body, deliver)

    client.stream = noting  # type: ignore[method-assign]
    try:
        with pytest.raises(Exception, match="Execution cancelled") as error:
            dspex.Evaluate(devset=_devset("sleep 30"), metric=program.metric)(program.Answering())
    finally:
        del client.stream
    assert error.value.run_id == runs[0]
    assert any("by a test" in note for note in error.value.__notes__)


@pytest.mark.parametrize("method", ["runs.serve", "runs.results"])
def test_a_stream_that_fails_ends_the_evaluation_and_its_run(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    from dspex.client import connection

    stream = connection.Client.stream
    runs: list[str] = []

    def failing(self: Any, name: str, body: dict[str, Any], deliver: Any) -> Any:
        if name == method:
            runs.append(body["run_id"])
            deliver(dspex.DspexError("the stream broke", code="UNAVAILABLE"))
            return stream(self, "runs.get", body, lambda _: None)
        return stream(self, name, body, deliver)

    monkeypatch.setattr(connection.Client, "stream", failing)
    with pytest.raises(dspex.DspexError, match="the stream broke") as error:
        dspex.Evaluate(devset=_devset("sleep 60"), metric=program.yes, metric_on="driver")(program.Answering())
    assert error.value.reason == "RUN_INTERRUPTED"
    assert _status(runs[0], "running") == "cancelled"
