"""Stock optimizers in dspex.distribute: the program that they compile is the one that dspy compiles by itself."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import dspy
import optimizable
import pytest

import dspex

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(autouse=True)
def lm() -> Iterator[Any]:
    lm = optimizable.make_lm()
    with dspy.context(lm=lm, num_threads=4):
        yield lm


def _bootstrap() -> Any:
    optimizer = dspy.BootstrapFewShot(metric=optimizable.metric, max_bootstrapped_demos=4, max_labeled_demos=6)
    return optimizer.compile(optimizable.Counting(), trainset=optimizable.trainset(16))


def _random_search() -> Any:
    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=optimizable.metric,
        max_bootstrapped_demos=3,
        max_labeled_demos=4,
        num_candidate_programs=3,
        num_threads=4,
    )
    return optimizer.compile(optimizable.Counting(), trainset=optimizable.trainset(12))


def _compile_miprov2(count: int, **how: Any) -> Any:
    optimizer = dspy.MIPROv2(
        metric=optimizable.metric,
        auto=None,
        num_candidates=3,
        max_bootstrapped_demos=2,
        max_labeled_demos=2,
        num_threads=4,
    )
    examples = optimizable.trainset(count)
    return optimizer.compile(optimizable.Counting(), trainset=examples[:8], valset=examples[8:], **how)


def _miprov2() -> Any:
    return _compile_miprov2(14, num_trials=4, minibatch=False)


def _miprov2_minibatch() -> Any:
    """Each trial scores a part of the valset that it draws; some are scored on all of it in between and at the end."""
    return _compile_miprov2(16, num_trials=5, minibatch=True, minibatch_size=3, minibatch_full_eval_steps=2)


def _simba() -> Any:
    optimizer = dspy.SIMBA(
        metric=optimizable.metric, bsize=6, num_candidates=3, max_steps=2, max_demos=2, num_threads=4
    )
    return optimizer.compile(optimizable.Counting(), trainset=optimizable.trainset(12), seed=1)


def _gepa() -> Any:
    return optimizable.compiled_by_gepa(optimizable.Counting(), optimizable.Proposer())


def _copro() -> Any:
    optimizer = dspy.COPRO(metric=optimizable.metric, breadth=3, depth=2)
    arguments = {"num_threads": 4, "display_progress": False, "display_table": 0}
    return optimizer.compile(optimizable.Counting(), trainset=optimizable.trainset(6), eval_kwargs=arguments)


def _infer_rules() -> Any:
    optimizer = dspy.InferRules(
        metric=optimizable.metric, num_candidates=2, num_rules=2, num_threads=4, max_labeled_demos=2
    )
    return optimizer.compile(optimizable.Counting(), trainset=optimizable.trainset(12))


# How many batches each takes at least. More than one: some come from programs that earlier batches have made.
OPTIMIZERS = [
    (_bootstrap, 1),
    (_random_search, 6),
    (_miprov2, 5),
    (_miprov2_minibatch, 8),
    (_simba, 5),
    (_gepa, 8),
    (_copro, 4),
    (_infer_rules, 3),
]


@pytest.mark.parametrize(("compile_program", "batches"), OPTIMIZERS, ids=[each.__name__[1:] for each, _ in OPTIMIZERS])
def test_the_compiled_program_is_that_of_dspy(compile_program: Callable[[], Any], batches: int) -> None:
    theirs = _state(compile_program)
    with dspex.distribute(workers=2, local=False) as distribution:
        ours = _state(compile_program)
    assert ours == theirs
    assert json.loads(ours)[0] != json.loads(json.dumps(optimizable.Counting().dump_state())), "nothing was compiled"
    assert len(distribution.batches) >= batches
    assert all(batch.run_id for batch in distribution.batches)


def _state(compile_program: Callable[[], Any]) -> str:
    # Some of dspy draws from the generator of all.
    random.seed(7)
    program = compile_program()
    return json.dumps([program.dump_state(), _tried(program)], sort_keys=True)


def _tried(program: Any) -> list[Any]:
    """All candidates on the way and their scores, where the optimizer says: the best one alone may be right by luck."""
    lists = [getattr(program, name, None) or [] for name in ("candidate_programs", "mb_candidate_programs")]
    return [[each["score"], each["program"].dump_state()] for tried in lists for each in tried]
