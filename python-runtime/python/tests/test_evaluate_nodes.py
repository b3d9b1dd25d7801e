"""What dspex.Evaluate asks of a node, and what it does without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import driver_program as program
import dspy
import pytest
from conftest import PROGRAM
from dspy.utils.callback import BaseCallback

import dspex
from dspex.client import connection


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


def _body(asked: list[tuple[str, dict[str, Any]]], method: str) -> dict[str, Any]:
    (body,) = [body for name, body in asked if name == method]
    return body


def test_options_travel_with_the_submission(node: None, asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "yes")
    evaluate = dspex.Evaluate(
        devset=program.devset(3),
        metric=program.metric,
        num_threads=2,
        workers=1,
        timeout=30.5,
        retries=0,
        max_errors=4,
        failure_score=-1,
    )
    evaluate(program.Answering())
    submitted = _body(asked, "runs.submit")
    evaluation = submitted["evaluation"]
    assert {key: evaluation[key] for key in ("num_threads", "workers", "timeout_ms", "retries", "max_errors")} == {
        "num_threads": 2,
        "workers": 1,
        "timeout_ms": 30_500,
        "retries": 0,
        "max_errors": 4,
    }
    assert (evaluation["failure_score"], type(evaluation["failure_score"])) == (-1, int)
    assert evaluation["program"].startswith("pickle:")
    assert evaluation["metric"] == "pickle:metric"
    assert (evaluation["file"]["examples"], evaluation["file"]["envelopes"]) == (3, True)
    caller = submitted["caller"]
    assert (caller["directory"], caller["interpreter"]) == (os.getcwd(), os.path.abspath(sys.executable))
    assert caller["environment"]["MINE"] == "yes"
    assert submitted["detach"] is False
    assert _body(asked, "runs.watch")["driver"] is True
    assert "runs.serve" not in [method for method, _ in asked]


def test_defaults_are_dspys_and_the_nodes(node: None, asked: list[Any]) -> None:
    with dspy.context(num_threads=3, max_errors=5):
        dspex.Evaluate(devset=program.devset(1), metric=program.metric, detach=True)(program.Answering())
    evaluation = _body(asked, "runs.submit")["evaluation"]
    assert (evaluation["num_threads"], evaluation["max_errors"], evaluation["retries"]) == (3, 5, 1)
    assert (evaluation["workers"], evaluation["timeout_ms"]) == (None, None)
    assert _body(asked, "runs.watch")["driver"] is False


def test_a_variable_that_is_no_text_does_not_stop_a_run(node: None, asked: list[Any]) -> None:
    os.environb[b"ODD"] = b"\xff"
    try:
        dspex.Evaluate(devset=program.devset(1), metric=program.metric)(program.Answering())
    finally:
        del os.environb[b"ODD"]
    assert "ODD" not in _body(asked, "runs.submit")["caller"]["environment"]


def test_a_cluster_that_is_away_is_an_error_where_it_is_asked_for(node: None) -> None:
    with pytest.raises(dspex.DspexError) as error:
        dspex.Evaluate(devset=program.devset(1), metric=program.metric, address="nowhere:1", strategy="distributed")(
            program.Answering()
        )
    assert error.value.code


def test_when_the_node_has_ended_the_next_evaluation_starts_another(stop_node: Any) -> None:
    evaluate = dspex.Evaluate(devset=program.devset(2), metric=program.metric, num_threads=1)
    first = evaluate(program.Answering())
    stop_node()
    second = evaluate(program.Answering())
    assert (first.score, second.score) == (100.0, 100.0)
    assert None is not second.run_id != first.run_id


def _node_pid() -> int:
    shown = subprocess.run([PROGRAM, "local", "status", "-o", "json"], check=True, capture_output=True)
    return int(json.loads(shown.stdout)["pid"])


def _client_pid() -> int:
    (client,) = connection._clients.values()
    return client._process._process.pid


class Kills(BaseCallback):  # type: ignore[misc]
    """Ends a process when the first example has come back."""

    def __init__(self, pid_of: Callable[[], int], how: int) -> None:
        self._pid_of, self._how = pid_of, how

    def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        os.kill(self._pid_of(), self._how)


@pytest.mark.parametrize(
    ("pid_of", "how"),
    [(_node_pid, signal.SIGKILL), (_node_pid, signal.SIGTERM), (_client_pid, signal.SIGKILL)],
    ids=["node killed", "node stopped", "client killed"],
)
def test_a_run_whose_node_is_lost_is_interrupted_and_named(
    stop_node: Any, pid_of: Callable[[], int], how: signal.Signals
) -> None:
    devset = [dspy.Example(question=question).with_inputs("question") for question in ("q", "sleep 60")]
    evaluate = dspex.Evaluate(devset=devset, metric=program.yes, num_threads=2)
    with pytest.raises(dspex.DspexError) as raised, dspy.context(callbacks=[Kills(pid_of, how)]):
        evaluate(program.Answering())
    error: Any = raised.value
    assert (error.reason, error.metadata["run_id"]) == ("RUN_INTERRUPTED", error.run_id)
    assert f"dspex run resume {error.run_id}" in str(error)
    shown = subprocess.run([PROGRAM, "run", "show", error.run_id], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr


def test_a_submission_that_was_lost_is_not_repeated(node: None, monkeypatch: pytest.MonkeyPatch) -> None:
    call, submitted = connection.Client.call, []

    def losing(self: Any, method: str, *arguments: Any, **more: Any) -> Any:
        if method != "runs.submit":
            return call(self, method, *arguments, **more)
        submitted.append(method)
        raise dspex.DspexError("gone", code="UNAVAILABLE", reason="NODE_UNREACHABLE")

    monkeypatch.setattr(connection.Client, "call", losing)
    with pytest.raises(dspex.DspexError, match="gone"):
        dspex.Evaluate(devset=program.devset(1), metric=program.metric)(program.Answering())
    assert len(submitted) == 1, "it may have begun"


def test_without_the_program_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_PROGRAM", "/no/such/program")
    monkeypatch.setattr(connection, "_clients", {})
    evaluate = dspex.Evaluate(devset=program.devset(2), metric=program.metric)
    with pytest.raises(dspex.DspexError, match="DSPEX_PROGRAM is /no/such/program"):
        evaluate(program.Answering())


@pytest.mark.parametrize(("platform", "fallback"), [("darwin", None), ("linux", "threads")])
def test_where_there_can_be_no_node_threads_evaluate_and_say_so(
    monkeypatch: pytest.MonkeyPatch, platform: str, fallback: str | None
) -> None:
    monkeypatch.setenv("DSPEX_PROGRAM", "/no/such/program")
    monkeypatch.setattr(connection, "_clients", {})
    monkeypatch.setattr(sys, "platform", platform)
    evaluate = dspex.Evaluate(devset=program.devset(2), metric=program.metric, fallback=fallback)
    with pytest.warns(UserWarning, match="there is no node"):
        result = evaluate(program.Answering())
    assert (result.score, result.run_id) == (100.0, None)
