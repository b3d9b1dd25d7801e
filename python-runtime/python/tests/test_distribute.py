"""dspex.distribute beside dspy by itself: the same batches give the same results, errors and texts."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import distributed
import driver_program as program
import dspy
import pytest
from dspy.utils.parallelizer import ParallelExecutor

import dspex

pytestmark = pytest.mark.usefixtures("node")
CANCELLED = "Execution cancelled due to errors or interruption."


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    lm = program.make_lm()
    with dspy.context(lm=lm):
        yield lm


def _distribute(**more: Any) -> Any:
    return dspex.distribute(workers=2, local=False, **more)


BOTH: list[Callable[[], AbstractContextManager[Any]]] = [nullcontext, _distribute]


def _executor(**more: Any) -> Any:
    return ParallelExecutor(**{"num_threads": 3, "disable_progress_bar": True, **more})


def test_results_are_in_order_with_none_for_failures_and_what_each_raised() -> None:
    items = [3, "raise", (1, "a"), "none", "return", {"k": {1, 2}}, ("raise", 2), 4]
    seen = []
    for block in BOTH:
        executor = _executor()
        with block():
            results = executor.execute(distributed.step, items)
        errors = {index: (type(error), str(error)) for index, error in executor.exceptions_map.items()}
        seen.append((results, sorted(executor.failed_indices), errors, executor.error_count))
    assert seen[0] == seen[1]
    assert seen[1][0] == [3, None, (1, "a"), None, None, {"k": {1, 2}}, None, 4]
    assert seen[1][1] == [1, 4, 6]
    assert seen[1][3] == 2, "an exception that is returned is no error"


def test_an_exception_with_its_own_constructor_comes_back_as_itself() -> None:
    from dspy.utils.exceptions import AdapterParseError

    pairs = [(program.Raising(), {"question": name}) for name in ("Odd", "AdapterParseError")]
    with _distribute():
        parallel = dspy.Parallel(num_threads=2, return_failed_examples=True, disable_progress_bar=True)
        results, failed, exceptions = parallel(pairs)
    assert results == [None, None]
    assert [example["question"] for example in failed] == ["Odd", "AdapterParseError"]
    assert (type(exceptions[0]), exceptions[0].second) == (program.Odd, 2)
    assert type(exceptions[1]) is AdapterParseError
    assert exceptions[1].lm_response == "{"


@pytest.mark.parametrize("max_errors", [1, 3])
def test_too_many_errors_end_a_batch_as_in_dspy(max_errors: int) -> None:
    for block in BOTH:
        executor = _executor(max_errors=max_errors, num_threads=2)
        with block(), pytest.raises(Exception, match=CANCELLED) as raised:
            executor.execute(distributed.step, ["raise"] * 6)
        assert type(raised.value) is Exception
        assert raised.value.args == (CANCELLED,)
        assert executor.cancel_jobs.is_set()
        assert executor.error_count >= max_errors


def test_parallel_gives_failed_examples_and_module_batch_the_rest() -> None:
    seen = []
    examples = [*program.devset(3), dspy.Example(question="raise me").with_inputs("question")]
    for block in BOTH:
        module = program.Answering()
        parallel = dspy.Parallel(num_threads=2, return_failed_examples=True, disable_progress_bar=True)
        with block():
            first = parallel([(module, example) for example in examples])
            again = parallel([(module, examples[-1])])
            batch = module.batch(examples, num_threads=2, return_failed_examples=True, disable_progress_bar=True)
            tuples = dspy.Parallel(num_threads=2, disable_progress_bar=True)(
                [(distributed.step, (7,)), (module, {"question": "qq"})]
            )
        assert first[1][0] is examples[-1]
        seen.append([repr(first), repr(again), repr(batch), repr(tuples)])
    assert seen[0] == seen[1]
    assert "KeyError" in seen[1][1]


def test_evaluate_is_that_of_dspy() -> None:
    examples = [*program.devset(3), dspy.Example(question="raise", label=1).with_inputs("question")]
    seen = []
    for block in BOTH:
        evaluate = dspy.Evaluate(devset=examples, metric=program.close, num_threads=2, failure_score=-1.0)
        with block():
            result = evaluate(program.Answering())
        assert all(example is ours for (example, _, _), ours in zip(result.results, examples, strict=True))
        seen.append(
            (result.score, repr(result), [(repr(prediction), score) for _, prediction, score in result.results])
        )
    assert seen[0] == seen[1]


@pytest.mark.parametrize("metric", [program.scored, program.whole, program.yes])
def test_scores_keep_their_types(metric: Any) -> None:
    results = []
    for block in BOTH:
        with block():
            results.append(dspy.Evaluate(devset=program.devset(3), metric=metric, num_threads=2)(program.Answering()))
    assert results[0].score == results[1].score
    assert [type(score) for _, _, score in results[0].results] == [type(score) for _, _, score in results[1].results]
    assert repr(results[0].results) == repr(results[1].results)


def test_a_score_that_cannot_be_summed_raises_what_dspy_raises() -> None:
    for block in BOTH:
        evaluate = dspy.Evaluate(devset=program.devset(2), metric=program.nothing, num_threads=2)
        with block(), pytest.raises(TypeError):
            evaluate(program.Answering())


@pytest.mark.parametrize("evaluates", [False, True])
def test_the_progress_bar_says_the_same(evaluates: bool, capsys: pytest.CaptureFixture[str]) -> None:
    examples = [*program.devset(4), dspy.Example(question="raise", label=1).with_inputs("question")]
    texts = []
    for block in BOTH:
        with block():
            if evaluates:
                evaluate = dspy.Evaluate(devset=examples, metric=program.yes, num_threads=1, display_progress=True)
                evaluate(program.Answering())
            else:
                _executor(num_threads=1, disable_progress_bar=False).execute(distributed.step, [1, "raise", 2])
        printed = capsys.readouterr().out
        texts.append(list(dict.fromkeys(re.findall(r"(Average Metric: [^:]+|Processed \d+ / \d+ examples):", printed))))
    assert texts[0] == texts[1]
    assert len(texts[0]) > 1


def test_cancelling_the_executor_ends_the_batch() -> None:
    executor = _executor()
    timer = threading.Timer(1.0, executor.cancel_jobs.set)
    started = time.monotonic()
    with _distribute() as distribution:
        timer.start()
        with pytest.raises(Exception, match=CANCELLED):
            executor.execute(distributed.step, ["sleep", "sleep", 3])
    assert time.monotonic() - started < 55, "it has waited for what sleeps"
    assert distribution.batches[0].run_id


def test_ctrl_c_is_prompt_and_cancels(caplog: pytest.LogCaptureFixture) -> None:
    executor = _executor()
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    started = time.monotonic()
    timer.start()
    with _distribute(), caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        executor.execute(distributed.step, ["sleep", "sleep", 3])
    assert time.monotonic() - started < 55, "it has waited for what sleeps"
    assert executor.cancel_jobs.is_set()
    assert "SIGINT received. Cancelling." in caplog.text


class _Interrupting:
    """An item during whose pickling somebody types Ctrl-C."""

    def __reduce__(self) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return str, ("never seen",)


def test_ctrl_c_before_there_is_a_run_cancels_as_well(caplog: pytest.LogCaptureFixture) -> None:
    executor = _executor()
    with _distribute(), caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        executor.execute(distributed.step, [1, _Interrupting()])
    assert executor.cancel_jobs.is_set()
    assert "SIGINT received. Cancelling." in caplog.text


def test_one_thread_is_the_main_thread_of_a_worker() -> None:
    with _distribute():
        assert _executor(num_threads=1).execute(distributed.alarmed, [1, 2]) == ["set", "set"]
        places = _executor(num_threads=1).execute(distributed.where, [1, 2, 3])
    assert all(is_main for _, is_main in places)
    assert os.getpid() not in {pid for pid, _ in places}


def test_several_threads_are_several_workers() -> None:
    with _distribute():
        places = _executor(num_threads=4).execute(distributed.where, list(range(24)))
    assert os.getpid() not in {pid for pid, _ in places}
    assert len({pid for pid, _ in places}) <= 2


def test_a_worker_that_dies_takes_one_item_along() -> None:
    executor = _executor(num_threads=2)
    with _distribute(retries=0):
        results = executor.execute(distributed.step, [1, "die", 2])
    assert results == [1, None, 2]
    assert isinstance(executor.exceptions_map[1], dspex.RemoteError)


def test_what_cannot_come_back_is_made_here(caplog: pytest.LogCaptureFixture) -> None:
    with _distribute():
        results = _executor().execute(distributed.step, [1, "lock", 2])
    assert [results[0], results[2]] == [1, 2]
    assert isinstance(results[1], type(threading.Lock()))
    assert "executed again in this process" in caplog.text


def test_an_empty_batch_is_empty() -> None:
    with _distribute() as distribution:
        assert _executor().execute(distributed.step, []) == []
    assert distribution.batches == []
