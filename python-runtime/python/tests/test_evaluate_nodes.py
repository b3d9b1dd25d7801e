"""What dspex.Evaluate asks of a node, and what it does without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import driver_program as program
import dspy
import pytest

import dspex
from dspex.client import connection


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


@pytest.fixture
def asked(node: None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """(method, body) of every request."""
    requests: list[tuple[str, dict[str, Any]]] = []
    send = connection.Client._request

    def noting(self: Any, method: str, body: dict[str, Any], take: Any) -> int:
        requests.append((method, body))
        return send(self, method, body, take)

    monkeypatch.setattr(connection.Client, "_request", noting)
    return requests


def _body(asked: list[tuple[str, dict[str, Any]]], method: str) -> dict[str, Any]:
    (body,) = [body for name, body in asked if name == method]
    return body


def test_options_travel_with_the_submission(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_defaults_are_dspys_and_the_nodes(asked: list[Any]) -> None:
    with dspy.context(num_threads=3, max_errors=5):
        dspex.Evaluate(devset=program.devset(1), metric=program.metric, detach=True)(program.Answering())
    evaluation = _body(asked, "runs.submit")["evaluation"]
    assert (evaluation["num_threads"], evaluation["max_errors"], evaluation["retries"]) == (3, 5, 1)
    assert (evaluation["workers"], evaluation["timeout_ms"]) == (None, None)
    assert _body(asked, "runs.watch")["driver"] is False


def test_a_variable_that_is_no_text_does_not_stop_a_run(asked: list[Any]) -> None:
    os.environb[b"ODD"] = b"\xff"
    try:
        dspex.Evaluate(devset=program.devset(1), metric=program.metric)(program.Answering())
    finally:
        del os.environb[b"ODD"]
    assert "ODD" not in _body(asked, "runs.submit")["caller"]["environment"]


def test_a_node_that_is_not_there_is_an_error(node: None) -> None:
    with pytest.raises(dspex.DspexError) as error:
        dspex.Evaluate(devset=program.devset(1), metric=program.metric, address="nowhere:1")(program.Answering())
    assert error.value.code


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
