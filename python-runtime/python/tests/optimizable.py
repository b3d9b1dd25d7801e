"""A program that an optimizer can improve, without a network: whether an answer is right depends on the whole prompt.

Each answer is a function of the prompt and the temperature, so that equal requests get equal answers wherever they are
made. Workers import this file.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

import answering_lms
import dspy
import numpy

_FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]")


def reply(messages: list[tuple[str, str]], temperature: Any) -> str:
    """In the form that the last message asks for."""
    digest = hashlib.sha256(json.dumps([messages, temperature]).encode()).hexdigest()
    last = messages[-1][1]
    if "garble" in last:
        return "nothing that an adapter could read"
    asked = last.rpartition("Respond with the corresponding output fields")[2]
    fields = [name for name in dict.fromkeys(_FIELD.findall(asked)) if name != "completed"]
    # What makes an instruction a good one.
    is_careful = "carefully" in messages[0][1]
    parts = [f"[[ ## {name} ## ]]\n{_value(name, last, digest, is_careful)}" for name in fields]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _value(name: str, last: str, digest: str, is_careful: bool) -> str:
    if name == "answer":
        question = last.partition("[[ ## question ## ]]")[2].strip().partition("\n")[0]
        return str(len(question)) if is_careful or int(digest[:4], 16) % 5 < 3 else "no idea"
    if name == "module_advice":
        names = re.findall(r'"module_name": "(\w+)"', last) or ["first"]
        return json.dumps({each: f"advice {digest[:6]} for {each}" for each in names})
    return f"{name} {digest[:8]}"


class Engine(answering_lms.Engine):
    def answer(self, messages: answering_lms.Messages, temperature: Any) -> str:
        return reply(messages, temperature)


class ForwardLM(answering_lms.ForwardLM):
    def answer(self, messages: answering_lms.Messages, temperature: Any) -> str:
        return reply(messages, temperature)


def make_lm(**kwargs: Any) -> Any:
    return answering_lms.make("mine/optimizable", Engine, ForwardLM, **kwargs)


class Counting(dspy.Module):  # type: ignore[misc]
    """Two predictors, so that demos and traces belong to one or the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> hint")
        self.second = dspy.Predict("question, hint -> answer")

    def forward(self, question: str) -> Any:
        if question.startswith("raise"):
            raise KeyError(question)
        return self.second(question=question, hint=self.first(question=question).hint)


class Revising(dspy.Module):  # type: ignore[misc]
    """One predictor that is called twice: its second call sees what the first one gave."""

    def __init__(self) -> None:
        super().__init__()
        self.step = dspy.Predict("question, draft -> answer")

    def forward(self, question: str) -> Any:
        if question.startswith("raise"):
            raise KeyError(question)
        draft = self.step(question=question, draft="none yet").answer
        return self.step(question=question, draft=draft)


def metric(example: Any, prediction: Any, trace: Any = None) -> float:
    return float(prediction.answer == example.answer)


def feedback(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
    score = metric(gold, pred)
    return dspy.Prediction(score=score, feedback=f"{score} for {gold.question}")


class Proposer:
    """Proposes instructions for GEPA by itself: a script, no model."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, candidate: Any, reflective_dataset: Any, components_to_update: Any) -> dict[str, str]:
        self.count += 1
        how = "carefully" if self.count > 2 else "somehow"
        return {name: f"Instruction {self.count}: find the {name} {how}." for name in components_to_update}


class Listener(Proposer):
    """What it proposes is a function of all that it is told, so it depends on every trace."""

    def __call__(self, candidate: Any, reflective_dataset: Any, components_to_update: Any) -> dict[str, str]:
        told = hashlib.sha256(repr([candidate, reflective_dataset, components_to_update]).encode()).hexdigest()
        proposed = super().__call__(candidate, reflective_dataset, components_to_update)
        return {name: f"{text} It was told {told[:12]}." for name, text in proposed.items()}


def vectors(texts: list[str]) -> Any:
    """An embedding in which texts of similar length are near to each other."""
    return numpy.array([[math.cos(len(text) / 16), math.sin(len(text) / 16)] for text in texts])


def trainset(count: int) -> list[Any]:
    return [
        dspy.Example(question="q" * number, answer=str(number)).with_inputs("question")
        for number in range(1, count + 1)
    ]


def compiled_by_gepa(program: dspy.Module, proposer: Any) -> Any:
    optimizer = dspy.GEPA(
        metric=feedback,
        max_metric_calls=50,
        reflection_minibatch_size=3,
        reflection_lm=dspy.settings.lm,
        instruction_proposer=proposer,
        num_threads=4,
    )
    examples = trainset(12)
    return optimizer.compile(program, trainset=examples[:6], valset=examples[6:])
