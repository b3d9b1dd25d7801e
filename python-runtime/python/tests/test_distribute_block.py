"""Where dspex.distribute holds and where it does not, and what stays in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import distributed
import driver_program as program
import dspy
import pytest
from dspy.teleprompt import BootstrapFewShot
from dspy.utils.parallelizer import ParallelExecutor

import dspex
from dspex.costs import Costs

pytestmark = pytest.mark.usefixtures("node")
DSPYS = ParallelExecutor.execute, BootstrapFewShot._bootstrap


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    with dspy.context(lm=program.make_lm()):
        yield dspy.settings.lm


def _is_remote() -> bool:
    executor = ParallelExecutor(num_threads=2, disable_progress_bar=True)
    return os.getpid() not in {pid for pid, _ in executor.execute(distributed.where, [1, 2])}


def _restored() -> bool:
    return (ParallelExecutor.execute, BootstrapFewShot._bootstrap) == DSPYS


def test_afterwards_all_is_dspys_again() -> None:
    def work() -> None:
        with dspex.distribute(local=False):
            assert not _restored()
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert _restored()
    assert not _is_remote()
    dspex.Evaluate(devset=program.devset(1), metric=program.metric)(program.Answering())
    assert _restored()


def test_the_inner_block_holds_and_may_be_the_same_one() -> None:
    with dspex.distribute(local=False) as outer:
        with dspex.distribute(local=True) as inner:
            assert not _is_remote()
            with outer:
                assert _is_remote()
            assert not _is_remote()
        assert _is_remote()
    assert _restored()
    assert (len(outer.batches), len(inner.batches)) == (2, 2)


def test_other_threads_are_left_alone() -> None:
    seen = []
    with dspex.distribute(local=False):
        thread = threading.Thread(target=lambda: seen.append(_is_remote()))
        thread.start()
        thread.join()
        assert _is_remote()
    assert seen == [False]


def test_it_decorates_functions() -> None:
    distribution = dspex.distribute(local=False)

    @distribution
    def work(depth: int) -> list[bool]:
        return [_is_remote(), *(work(depth - 1) if depth else [])]

    assert work(1) == [True, True]
    assert _restored()
    assert len(distribution.batches) == 2


def test_who_replaces_the_method_meanwhile_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    with dspex.distribute(local=False):
        ours = ParallelExecutor.execute

        def traced(self: Any, function: Any, data: Any) -> Any:
            seen.append(len(data))
            return ours(self, function, data)

        monkeypatch.setattr(ParallelExecutor, "execute", traced)
        assert _is_remote()
    assert not _is_remote()
    assert seen == [2, 2]
    monkeypatch.undo()
    # What stands there now is ours, and it passes everything on.
    assert not _is_remote()
    ParallelExecutor.execute = DSPYS[0]


def test_what_cannot_be_shipped_is_named_and_stays_here() -> None:
    keeping = distributed.Keeping()
    examples = program.devset(3)
    evaluate = dspy.Evaluate(devset=examples, metric=program.metric, num_threads=2)
    with dspex.distribute(local=False) as distribution, pytest.warns(UserWarning, match=r"^program\.lock: ") as warned:
        assert evaluate(keeping).score == 100.0
    assert warned[0].filename == __file__
    (batch,) = distribution.batches
    assert batch.run_id is None
    assert "program.lock" in (batch.reason or "")
    with dspex.distribute(fallback="error"), pytest.raises(dspex.DspexError, match=r"item 0.*lock") as raised:
        keeping.batch(examples, num_threads=2, disable_progress_bar=True)
    assert raised.value.reason == "UNSHIPPABLE"


def test_a_secret_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE_TOKEN", "a-very-secret-value")
    executor = ParallelExecutor(num_threads=2, disable_progress_bar=True)
    with dspex.distribute(local=False), pytest.raises(dspex.DspexError, match="MINE_TOKEN"):
        executor.execute(distributed.step, ["with a-very-secret-value"])
    # Those of an LM travel beside the pickle.
    lm = dspy.LM("mine/model", api_key="a-very-secret-value")
    with dspy.context(lm=lm), dspex.distribute(local=False):
        assert executor.execute(distributed.key, [1, lm]) == [(True, False)] * 2


def test_a_metric_that_changes_what_is_here_gets_a_warning() -> None:
    seen = []

    def metric(example: Any, prediction: Any) -> bool:
        seen.append(prediction)
        return True

    with dspex.distribute(local=False), pytest.warns(UserWarning, match="captured variable `seen`"):
        dspy.Evaluate(devset=program.devset(1), metric=metric)(program.Answering())
    assert seen == []


def test_a_few_quick_items_stay_here_once_that_is_known() -> None:
    executor = ParallelExecutor(num_threads=2, disable_progress_bar=True)
    with dspex.distribute(workers=2) as distribution:
        for items in (10, 3, 2):
            executor.execute(distributed.step, list(range(items)))
        executor.execute(distributed.where, list(range(2)))
    first, second, third, other = distribution.batches
    assert first.run_id, "nothing is known before the first batch"
    assert second.run_id, "the first may have started the node"
    assert third.run_id is None
    assert "a run takes" in (third.reason or "")
    assert other.run_id, "nothing is known of this function"
    assert [batch.items for batch in distribution.batches] == [10, 3, 2, 2]


def test_slow_items_and_dangerous_ones_go_to_workers() -> None:
    costs = Costs()
    assert costs.why_local(distributed.step, 1, 2) is None, "nothing is known"
    costs.learn_run(distributed.step, 4, 2, work=0.4, elapsed=9.0)
    assert costs.why_local(distributed.step, 1, 2) is None, "it may have started the node"
    costs.learn_run(distributed.step, 4, 2, work=0.4, elapsed=0.5)
    assert costs.why_local(distributed.where, 1, 2) is None, "nothing is known of this function"
    assert costs.why_local(distributed.step, 4, 4) is not None, "four that wait at once take 100 ms, a run 300"
    assert costs.why_local(distributed.step, 40, 4) is None, "they take longer than a run does beside them"
    costs.learn_local(distributed.step, 4, elapsed=0.4)
    assert costs.why_local(distributed.step, 4, 4) is None, "they compute, and threads do not help"
    assert costs.why_local(distributed.step, 2, 4) is not None
    costs.learn_danger()
    assert costs.why_local(distributed.step, 2, 4) is None


def test_what_runs_inside_of_a_batch_is_dspys_own() -> None:
    executor = ParallelExecutor(num_threads=1, disable_progress_bar=True)
    for local in (False, True):
        with dspex.distribute(local=local) as distribution:
            assert executor.execute(distributed.nested, [1]) == [[2, 3]]
        assert [batch.name for batch in distribution.batches] == ["batch of nested"]


def test_a_batch_that_fails_here_is_listed_as_well() -> None:
    executor = ParallelExecutor(num_threads=1, max_errors=1, disable_progress_bar=True)
    with dspex.distribute(local=True) as distribution, pytest.raises(Exception, match="Execution cancelled"):
        executor.execute(distributed.step, [1, "raise"])
    (batch,) = distribution.batches
    assert (batch.items, batch.failed, batch.reason) == (2, 1, "distribute(local=True)")


def test_runs_are_named_after_what_they_execute() -> None:
    with dspex.distribute(local=False) as distribution:
        dspy.Evaluate(devset=program.devset(1), metric=program.metric)(program.Answering())
        program.Answering().batch(program.devset(1), disable_progress_bar=True)
    assert [batch.name for batch in distribution.batches] == ["batch of Answering", "batch of Parallel"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"fallback": "panic"}, ValueError),
        ({"lm_on": "moon"}, ValueError),
        ({"workers": 0}, ValueError),
        ({"speculation": 0}, ValueError),
        ({"timeout": 0}, ValueError),
        ({"retries": 1.5}, TypeError),
        ({"local": "yes"}, TypeError),
        ({"address": 5}, TypeError),
        ({"environment": 5}, TypeError),
    ],
)
def test_arguments_are_checked_where_they_are_given(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        dspex.distribute(**arguments)
