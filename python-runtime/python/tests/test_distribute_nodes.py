"""What dspex.distribute asks of a node, and what it does without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import distributed
import driver_program as program
import dspy
import pytest
from dspy.utils.parallelizer import ParallelExecutor

import dspex
from dspex.client import connection


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


def _executor() -> Any:
    return ParallelExecutor(num_threads=3, max_errors=4, disable_progress_bar=True)


def test_arguments_travel_with_each_batch(node: None, asked: list[Any]) -> None:
    with dspex.distribute(workers=1, timeout=30.5, retries=0, local=False) as distribution:
        _executor().execute(distributed.step, [1, 2])
    (submitted,) = [body for method, body in asked if method == "runs.submit"]
    evaluation = submitted["evaluation"]
    assert {key: evaluation[key] for key in ("num_threads", "workers", "timeout_ms", "retries", "max_errors")} == {
        "num_threads": 3,
        "workers": 1,
        "timeout_ms": 30_500,
        "retries": 0,
        "max_errors": 4,
    }
    assert (evaluation["metric"], evaluation["failure_score"]) == ("pickle:completed", 0.0)
    assert submitted["detach"] is False, "a driver that vanishes takes its batch along"
    assert [batch.name for batch in distribution.batches] == ["batch of step"]
    assert "runs.serve" not in [method for method, _ in asked], "nobody asks this driver anything"


def test_a_node_elsewhere_gets_the_project_and_no_environment(double: None, asked: list[Any]) -> None:
    modules = [program.Answering() for _ in range(2)]
    with dspex.distribute("other:7400", environment="gpu", local=False):
        parallel = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        results = parallel([(module, {"question": "qq"}) for module in modules])
    assert [result.answer for result in results] == ["2", "2"]
    assert next(body for method, body in asked if method == "connect")["address"] == "other:7400"
    (submitted,) = [body for method, body in asked if method == "runs.submit"]
    assert submitted["caller"]["environment"] == {}
    shipped = submitted["evaluation"]["shipped"]
    assert shipped["bundle"]
    assert shipped["environment"] == "gpu"
    (packed,) = [body for method, body in asked if method == "bundles.put"]
    # Named by the items only: the function is dspy's.
    assert any(file.endswith("driver_program.py") for file in packed["files"])


def test_at_a_cluster_what_cannot_be_shipped_is_an_error(double: None) -> None:
    evaluate = dspy.Evaluate(devset=program.devset(1), metric=program.metric, num_threads=2)
    with dspex.distribute("other:7400"), pytest.raises(dspex.DspexError, match=r"^program\.lock: ") as raised:
        evaluate(distributed.Keeping())
    assert (raised.value.reason, raised.value.metadata["path"]) == ("UNSHIPPABLE", "program.lock")


def test_without_a_program_threads_do_it_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("DSPEX_PROGRAM", str(tmp_path / "missing"))
    monkeypatch.setattr(connection, "_clients", {})
    monkeypatch.setattr(sys, "platform", "linux")
    with dspex.distribute(fallback="threads") as distribution, pytest.warns(UserWarning, match="there is no node"):
        assert _executor().execute(distributed.step, [1, 2]) == [1, 2]
    assert "missing" in (distribution.batches[0].reason or "")
    with dspex.distribute(), pytest.raises(dspex.DspexError) as raised:
        _executor().execute(distributed.step, [1])
    assert raised.value.reason == "PROGRAM_NOT_FOUND"


def test_a_module_that_has_changed_on_disk_is_refused(node: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from dspex import imported

    monkeypatch.setattr(imported, "change", lambda file: "has changed" if file.endswith("distributed.py") else None)
    with dspex.distribute(local=False), pytest.raises(dspex.DspexError, match=r"distributed\.py") as raised:
        _executor().execute(distributed.step, [1])
    assert raised.value.reason == "MODULE_CHANGED"
