"""BootstrapFewShot in dspex.distribute: examples are attempted at once, and committed as if one after the other."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import distributed
import dspy
import optimizable
import pytest
from dspy.utils import DummyLM

import dspex

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    lm = optimizable.make_lm()
    with dspy.context(lm=lm):
        yield lm


def _compiled(optimizer: Any, trainset: list[Any], **more: Any) -> str:
    made = optimizer.compile(optimizable.Counting(), trainset=trainset, **more)
    return json.dumps([made.dump_state(), repr(optimizer.validation), optimizer.error_count], sort_keys=True)


def _both(make: Any, trainset: list[Any], caplog: Any = None, capsys: Any = None, **more: Any) -> list[Any]:
    """What dspy compiles by itself and in the block, and what it says about it."""
    seen: list[Any] = []
    for block in (nullcontext(), dspex.distribute(workers=2, local=False, speculation=4)):
        if caplog is not None:
            caplog.clear()
        with block as distribution:
            try:
                compiled: Any = _compiled(make(), trainset, **more)
            except Exception as error:
                compiled = (type(error), str(error))
        told = [] if caplog is None else [each.message for each in caplog.records if "bootstrap" in each.name]
        said = "" if capsys is None else re.findall(r"Bootstrapped.*", capsys.readouterr().out)
        seen.append((compiled, told, said))
    assert distribution is not None
    return [*seen, distribution.batches]


def _optimizer(**more: Any) -> Any:
    settings = {"metric": optimizable.metric, "max_bootstrapped_demos": 3, "max_labeled_demos": 5, **more}
    return dspy.BootstrapFewShot(**settings)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"metric": None},
        {"metric_threshold": 0.5},
        {"metric": None, "metric_threshold": 0.5},
        {"max_rounds": 3},
        {"max_labeled_demos": 0},
        {"teacher_settings": {"lm": optimizable.make_lm(temperature=0.7)}},
        {"max_bootstrapped_demos": 100},
    ],
    ids=lambda more: " ".join(more) or "by default",
)
def test_the_demos_are_those_of_dspy(more: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    theirs, ours, batches = _both(lambda: _optimizer(**more), optimizable.trainset(10), capsys=capsys)
    assert ours == theirs
    assert ours[2], "dspy says how many attempts it took"
    assert batches
    assert all(batch.run_id and batch.items <= 4 and batch.failed == 0 for batch in batches)


def test_errors_are_told_and_counted_in_the_order_of_the_trainset(caplog: pytest.LogCaptureFixture) -> None:
    examples = optimizable.trainset(9)
    for index in (1, 2, 5):
        examples[index] = dspy.Example(question=f"raise {index}", answer="x").with_inputs("question")
    with caplog.at_level(logging.ERROR):
        theirs, ours, _ = _both(lambda: _optimizer(max_bootstrapped_demos=9), examples, caplog=caplog)
    assert ours == theirs
    assert len(ours[1]) == 3


@pytest.mark.parametrize("max_errors", [1, 2])
def test_too_many_errors_raise_the_one_that_dspy_raises(max_errors: int) -> None:
    examples = optimizable.trainset(8)
    for index in (2, 3, 6):
        examples[index] = dspy.Example(question=f"raise {index}", answer="x").with_inputs("question")
    theirs, ours, _ = _both(lambda: _optimizer(max_bootstrapped_demos=9, max_errors=max_errors), examples)
    assert ours == theirs
    assert ours[0] == (KeyError, f"'raise {max_errors + 1}'")


def test_demos_that_dspy_leaves_out_for_good_after_an_error_are_left_out() -> None:
    """It takes the example out of the teacher's demos, and puts it back only where the teacher did not raise."""
    examples = optimizable.trainset(12)
    for index in (0, 4, 5):
        examples[index] = dspy.Example(question=f"raise {index}", answer="x").with_inputs("question")
    theirs, ours, batches = _both(lambda: _optimizer(max_bootstrapped_demos=20, max_labeled_demos=12), examples)
    assert ours == theirs
    # What was attempted with demos that are no longer those of the teacher is attempted again.
    assert sum(batch.items for batch in batches) > len(examples)


def test_a_metric_that_raises_is_an_error_of_its_example() -> None:
    def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
        if len(example.question) == 3:
            raise RuntimeError("no opinion")
        return len(trace) == 2

    theirs, ours, _ = _both(lambda: _optimizer(metric=metric), optimizable.trainset(6))
    assert ours == theirs


def test_what_a_program_holds_only_here_is_bootstrapped_here(lm: Any) -> None:
    keeping = distributed.Keeping()
    optimizer = dspy.BootstrapFewShot(metric=None, max_bootstrapped_demos=2, max_labeled_demos=0)
    with dspex.distribute(local=False) as distribution, pytest.warns(UserWarning, match=r"^teacher\.lock"):
        made = optimizer.compile(keeping, trainset=optimizable.trainset(4))
    assert len(made.answer.demos) == 2
    assert distribution.batches == []


def test_nothing_is_attempted_ahead_with_an_lm_of_the_driver() -> None:
    seen = []
    for block in (nullcontext(), dspex.distribute(local=False)):
        lm = DummyLM([{"answer": str(number), "hint": "h"} for number in range(40)])
        with dspy.context(lm=lm), block:
            optimizer = dspy.BootstrapFewShot(metric=optimizable.metric, max_bootstrapped_demos=3)
            seen.append((_compiled(optimizer, optimizable.trainset(6)), len(lm.history)))
    assert seen[0] == seen[1]


def test_without_speculation_it_is_dspys_own() -> None:
    with dspex.distribute(local=False, speculation=1) as distribution:
        _compiled(_optimizer(), optimizable.trainset(6))
    assert distribution.batches == []


def test_knn_few_shot_finds_the_demos_of_dspy_for_each_question() -> None:
    """It bootstraps with the nearest examples whenever it is called: here ahead, and on workers inside of a batch."""
    vectorizer = dspy.Embedder(optimizable.vectors, caching=False)
    settings = {"metric": optimizable.metric, "max_bootstrapped_demos": 2, "max_labeled_demos": 3}
    seen = []
    for block in (nullcontext(), dspex.distribute(workers=2, local=False, speculation=3)):
        knn = dspy.KNNFewShot(k=3, trainset=optimizable.trainset(14), vectorizer=vectorizer, **settings)
        compiled = knn.compile(optimizable.Counting())
        with block as distribution, dspy.context(trace=[]):
            called = repr(compiled(question="q" * 5))
            traced = len(dspy.settings.trace)
            evaluate = dspy.Evaluate(devset=optimizable.trainset(8), metric=optimizable.metric, num_threads=4)
            evaluated = evaluate(compiled)
        told = [(repr(prediction), score) for _, prediction, score in evaluated.results]
        seen.append((called, traced, evaluated.score, told))
    assert seen[0] == seen[1]
    assert len({prediction for prediction, _ in seen[1][3]}) > 4, "the answers depend on the demos"
    assert distribution is not None
    assert [batch.items for batch in distribution.batches][-1] == 8
    assert len(distribution.batches) > 1, "its demos were attempted ahead"
    assert all(batch.run_id for batch in distribution.batches)
