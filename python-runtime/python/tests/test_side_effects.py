"""A metric that changes what is not its own is told, and others are left in peace."""

from __future__ import annotations

import collections
import functools
import re
from typing import Any

import driver_program as program
import dspy
import pytest

import dspex
from dspex.shipping.side_effects import side_effects

seen: list[Any] = []
counts: dict[Any, int] = {}
total = 0
tally: collections.Counter[str] = collections.Counter()
log: dict[str, list[Any]] = {"scores": []}
WORDS = {"a": 1}
judge = dspy.Predict("answer -> verdict")


class State:
    calls = 0


state = State()


def appends(example: Any, prediction: Any) -> int:
    seen.append(example)
    return 1


def assigns(example: Any, prediction: Any) -> int:
    global total
    total += 1
    return total


def sets_an_item(example: Any, prediction: Any) -> int:
    counts[example.question.lower()] = counts.get(example.question, 0) + len(prediction.answer)
    return 1


def adds_to_an_item(example: Any, prediction: Any) -> int:
    for word in example.question.split():
        counts[word] += 1
    return 1


def reaches_in(example: Any, prediction: Any) -> int:
    log["scores"].append(1)
    return 1


def sets_an_attribute(example: Any, prediction: Any) -> int:
    state.calls += 1
    return 1


def tallies(example: Any, prediction: Any) -> int:
    tally.update([example.question])
    return 1


def calls_one_that_does(example: Any, prediction: Any) -> int:
    return appends(example, prediction)


def _capturing() -> Any:
    number, scores = 0, []

    def metric(example: Any, prediction: Any) -> int:
        nonlocal number
        number += 1
        scores.append(number)
        return number

    return metric


class Counting:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, example: Any, prediction: Any) -> int:
        self.calls.append(example)
        return 1

    def score(self, example: Any, prediction: Any) -> int:
        self.last = prediction
        return 1


CHANGING = [
    (appends, ["changes the global variable `seen`"]),
    (assigns, ["changes the global variable `total`"]),
    (sets_an_item, ["changes the global variable `counts`"]),
    (adds_to_an_item, ["changes the global variable `counts`"]),
    (reaches_in, ["changes the global variable `log`"]),
    (sets_an_attribute, ["changes the global variable `state`"]),
    (tallies, ["changes the global variable `tally`"]),
    (calls_one_that_does, ["changes the global variable `seen`"]),
    (functools.partial(appends), ["changes the global variable `seen`"]),
    (lambda example, prediction: seen.append(1), ["changes the global variable `seen`"]),
    (_capturing(), ["changes the captured variable `number`", "changes the captured variable `scores`"]),
    (Counting(), ["changes its own object Counting (its calls)"]),
    (Counting().score, ["changes its own object Counting"]),
]


@pytest.mark.parametrize(("metric", "effects"), CHANGING)
def test_changes_are_told(metric: Any, effects: list[str]) -> None:
    assert side_effects(metric) == effects


def _exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return example.answer.strip().lower() == prediction.answer.strip().lower()


def _locals(example: Any, prediction: Any) -> float:
    found, distinct, by_word = [], set(), {}
    found.append(WORDS["a"])
    distinct.add(1)
    by_word["x"] = by_word.setdefault("y", 2)
    by_word.update(WORDS)

    def inner() -> int:
        found.append(2)
        return len(found)

    prediction.note = "on the prediction"
    return inner() / len(re.sub("a", "b", prediction.answer))


def _copies(example: Any, prediction: Any) -> int:
    WORDS.copy()["x"] = 1
    (WORDS | {})["y"] = 2
    dict(WORDS)["z"] = 3
    [word for word in seen if word].append(1)
    sorted(seen).pop()
    return max(WORDS.get("a", 0), 1)


def _judged(example: Any, prediction: Any) -> bool:
    return bool(judge(answer=prediction.answer).verdict == "good")


QUIET = [_exact, _locals, _copies, _judged, dspy.evaluate.answer_exact_match, dspy.evaluate.SemanticF1(), len]


@pytest.mark.parametrize("metric", QUIET)
def test_common_metrics_are_left_in_peace(metric: Any) -> None:
    assert side_effects(metric) == []


@pytest.mark.usefixtures("node")
def test_the_user_is_warned_and_told_what_to_do() -> None:
    with dspy.context(lm=program.make_lm()):
        evaluate = dspex.Evaluate(devset=program.devset(2), metric=appends)
        with pytest.warns(UserWarning, match="changes the global variable `seen`.*metric_on='driver'") as warned:
            assert evaluate(program.Answering()).score == 100.0
    assert warned[0].filename == __file__
    assert seen == [], "it changed in the workers only"
