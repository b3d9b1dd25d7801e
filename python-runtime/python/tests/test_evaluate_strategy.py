"""Where dspex.Evaluate has its examples executed: the choice, what it is asked with, and what becomes of it."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import driver_program as program
import dspy
import pytest
from installed import CHECKOUT

import dspex
from dspex import strategy as places


@pytest.fixture(autouse=True)
def lm(double: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("DSPEX_ADDRESS", raising=False)
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


def _evaluate(**arguments: Any) -> Any:
    return dspex.Evaluate(devset=program.devset(3), metric=program.metric, num_threads=2, **arguments)


def _bodies(asked: list[Any], method: str) -> list[dict[str, Any]]:
    return [body for name, body in asked if name == method]


def _place(result: Any) -> tuple[str | None, str]:
    return result.strategy, result.strategy_reason


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"strategy": "moon"}, "strategy is one of"),
        ({"strategy": None}, "strategy is one of"),
        ({"strategy": "local", "environment": "gpu"}, "leave one of them out"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_said(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _evaluate(**arguments)


def test_without_an_address_it_is_the_embedded_node_and_nobody_is_asked(asked: list[Any]) -> None:
    result = _evaluate()(program.Answering())
    assert _place(result) == ("local", "no_address")
    assert not _bodies(asked, "strategy.choose")
    assert result.score == 100.0


def test_local_is_the_embedded_node_whatever_the_address(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_ADDRESS", "nowhere:1")
    monkeypatch.setenv("MINE", "yes")
    result = _evaluate(strategy="local", address="other:7400")(program.Answering())
    assert _place(result) == ("local", "forced")
    (connected,) = _bodies(asked, "connect")
    assert (connected["embedded"], connected["address"]) == (True, None)
    (submitted,) = _bodies(asked, "runs.submit")
    assert submitted["caller"]["environment"]["MINE"] == "yes", "its workers are this machine's"
    assert submitted["evaluation"]["shipped"] is None


def test_what_needs_nobody_to_be_asked_is_said_in_the_words_of_dspex_eval() -> None:
    rule = "".join((CHECKOUT / "node/cli/src" / name).read_text() for name in ("strategy.rs", "strategy/asking.rs"))
    for strategy, address in (("local", None), ("auto", None), ("distributed", "h:1")):
        place = places._settled(strategy, address)
        assert place is not None
        assert f'"{place.reason}"' in rule
        assert f'"{place.detail}"' in rule
    for address in (None, "unix:/run/node.sock"):
        with pytest.raises(ValueError, match="needs a cluster, and ") as raised:
            places._settled("distributed", address)
        why = str(raised.value).partition("needs a cluster, and ")[2].partition(":")[0]
        assert f'"{why}"' in rule


@pytest.mark.parametrize("address", [None, "unix:/run/node.sock"])
def test_distributed_needs_a_cluster(address: str | None) -> None:
    with pytest.raises(ValueError, match=r"needs a cluster.*DSPEX_ADDRESS"):
        _evaluate(strategy="distributed", address=address)(program.Answering())


def test_distributed_goes_to_the_address_and_nowhere_else(asked: list[Any]) -> None:
    result = _evaluate(strategy="distributed", address="other:7400")(program.Answering())
    assert _place(result) == ("distributed", "forced")
    assert not _bodies(asked, "strategy.choose")
    with pytest.raises(dspex.DspexError) as raised:
        _evaluate(strategy="distributed", address="nowhere:1")(program.Answering())
    assert raised.value.reason == "NODE_UNREACHABLE"


def test_an_address_means_the_cluster_as_long_as_nothing_else_is_known(asked: list[Any]) -> None:
    result = _evaluate(address="other:7400")(program.Answering())
    assert (_place(result), result.strategy_detail) == (("distributed", "costs_unknown"), "nothing was measured")
    (submitted,) = _bodies(asked, "runs.submit")
    assert submitted["evaluation"]["shipped"] is not None
    (question,) = _bodies(asked, "strategy.choose")
    assert question == {
        "address": "other:7400",
        "token_file": None,
        "ca": None,
        "bound": None,
        "program": "Answering",
        "metric": "metric",
        "lm": question["lm"],
        "dataset_digest": submitted["evaluation"]["file"]["digest"],
        "examples": 3,
        "num_threads": 2,
    }
    assert question["lm"].startswith("mine/model")


def test_a_cluster_that_is_away_is_replaced_by_this_machine_and_that_is_said() -> None:
    with pytest.warns(UserWarning, match=r"on this machine \(local\): no node answers at nowhere:1") as told:
        result = _evaluate(address="nowhere:1")(program.Answering())
    assert _place(result) == ("local", "cluster_unavailable")
    assert (result.score, bool(result.run_id)) == (100.0, True)
    (one,) = [warning for warning in told if warning.category is UserWarning]
    assert one.filename == __file__, "at the line that evaluates"


def test_a_cluster_that_is_away_is_looked_for_again(asked: list[Any]) -> None:
    evaluate = _evaluate(address="nowhere:1")
    for _ in range(2):
        with pytest.warns(UserWarning, match="no node answers"):
            evaluate(program.Answering())
    assert len(_bodies(asked, "strategy.choose")) == 2
    assert len(_bodies(asked, "connect")) == 1, "the embedded node is known by then"


def test_what_is_faster_here_stays_here_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(), caplog.at_level(logging.INFO, logger="dspex"):
        warnings.simplefilter("error", UserWarning)
        result = _evaluate(address="quick:1")(program.Answering())
    assert _place(result) == ("local", "expected_faster")
    assert "executing on this machine (local): here 0.10 s, there 3.00 s" in caplog.text


def test_a_cluster_that_has_not_answered_yet_is_said_to_be_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dspex"), pytest.raises(dspex.DspexError, match="no node answers"):
        _evaluate(address="nowhere:1", detach=True)(program.Answering())
    assert "asking the cluster at nowhere:1 (distributed): detach=True is for the node" in caplog.text
    assert "executed by" not in caplog.text


class Failing(dspy.Module):  # type: ignore[misc]
    def forward(self, question: str) -> Any:
        raise ValueError(question)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ({}, "dspex run results"),
        ({"address": "quick:1"}, "dspex run --local results"),
        ({"address": "other:7400", "strategy": "local"}, "dspex run --local results"),
        ({"address": "other:7400"}, "dspex run results"),
    ],
)
def test_what_is_printed_for_a_run_leads_to_where_it_is(arguments: dict[str, Any], command: str) -> None:
    with pytest.raises(Exception, match="Execution cancelled") as raised:
        _evaluate(max_errors=1, **arguments)(Failing())
    assert f"{command} {raised.value.run_id}" in "".join(raised.value.__notes__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "bound"), [({"detach": True}, "detach=True"), ({"environment": "gpu"}, "environment='gpu'")]
)
def test_what_is_the_clusters_business_goes_there(asked: list[Any], arguments: dict[str, Any], bound: str) -> None:
    result = _evaluate(address="other:7400", **arguments)(program.Answering())
    assert _place(result) == ("distributed", "needs_cluster")
    (question,) = _bodies(asked, "strategy.choose")
    assert question["bound"] == bound
    with pytest.raises(dspex.DspexError, match="no node answers"):
        _evaluate(address="nowhere:1", **arguments)(program.Answering())


def test_a_client_process_that_is_there_is_asked(asked: list[Any]) -> None:
    evaluate = _evaluate(address="other:7400")
    for _ in range(2):
        evaluate(program.Answering())
    assert len(_bodies(asked, "strategy.choose")) == 2
    assert len(_bodies(asked, "connect")) == 1


class Holding(dspy.Module):  # type: ignore[misc]
    """Has what no other process can have."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, question: str) -> Any:
        return dspy.Prediction(answer=str(len(question)))


def test_what_cannot_be_shipped_is_judged_by_where_it_was_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSPEX_ADDRESS", "other:7400")
    with pytest.warns(UserWarning, match="cannot be shipped"):
        result = _evaluate(strategy="local")(Holding())
    assert (result.score, result.run_id, _place(result)) == (100.0, None, (None, ""))
    for strategy in ("auto", "distributed"):
        with pytest.raises(dspex.DspexError, match="cannot be shipped"):
            _evaluate(strategy=strategy)(Holding())
