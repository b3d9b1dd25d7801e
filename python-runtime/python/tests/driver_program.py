"""What the tests of dspex.Evaluate ship: programs, metrics and LMs of a module on the driver's sys.path."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import answering_lms
import dspy
import pydantic


class Engine(answering_lms.Engine):
    """Answers with the length of the question, as ChatAdapter wants it; raises where it is told to."""

    def answer(self, messages: answering_lms.Messages, temperature: Any) -> str:
        return answer_to(messages[-1][1])


class ForwardLM(answering_lms.ForwardLM):
    def answer(self, messages: answering_lms.Messages, temperature: Any) -> str:
        return answer_to(messages[-1][1])


def answer_to(prompt: str) -> str:
    if "break the LM" in prompt:
        raise ValueError("the LM is broken")
    field = "verdict" if "verdict" in prompt else "answer"
    question = prompt.partition("[[ ## question ## ]]")[2].strip().partition("\n")[0]
    return f"[[ ## {field} ## ]]\n{len(question)}\n\n[[ ## completed ## ]]"


def make_lm(**kwargs: Any) -> Any:
    return answering_lms.make("mine/model", Engine, ForwardLM, **kwargs)


class Shade(pydantic.BaseModel):
    name: str


class Answering(dspy.Module):  # type: ignore[misc]
    """Two steps, so that calls have parents and histories have several owners."""

    def __init__(self) -> None:
        super().__init__()
        self.first = dspy.Predict("question -> answer")
        self.second = dspy.Predict("question, draft -> answer")

    def forward(self, question: str) -> Any:
        if question.startswith("raise"):
            raise KeyError(question)
        if question.startswith("sleep"):
            time.sleep(float(question.split()[1]))
        if question.startswith("die"):
            os._exit(9)
        if question.startswith("print"):
            print("printed by", question)
        draft = self.first(question=question)
        return self.second(question=question, draft=draft.answer)


def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(prediction.answer == str(len(example.question)))


def devset(count: int = 8) -> list[Any]:
    return [dspy.Example(question="q" * number, label=number).with_inputs("question") for number in range(1, count + 1)]


def close(example: Any, prediction: Any) -> float:
    return 1 / (1 + abs(example.label - len(example.question)))


def scored(example: Any, prediction: Any) -> Any:
    return dspy.Prediction(score=1 / 3, feedback=f"for {example.question}")


def whole(example: Any, prediction: Any) -> int:
    return 3


def yes(example: Any, prediction: Any) -> bool:
    return True


def fraction(example: Any, prediction: Any) -> float:
    return 0.1


def numpy_score(example: Any, prediction: Any) -> Any:
    import numpy

    return numpy.float64(0.25)


def has_shade(example: Any, prediction: Any) -> bool:
    return bool(example.tags == {1, 2} and type(example.shade) is Shade)


def sees_history(example: Any, prediction: Any) -> int:
    return len(dspy.settings.lm.history)


def evaluates(example: Any, prediction: Any) -> float:
    """A metric that evaluates by itself, with the same class."""
    inner = dspy.Evaluate(devset=devset(2), metric=metric, num_threads=2)(Answering())
    return float(inner.score) / 100


class Shading(dspy.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.step = dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        return dspy.Prediction(shade=Shade(name=question), maker=self)


def nothing(example: Any, prediction: Any) -> None:
    return None


def text(example: Any, prediction: Any) -> str:
    return "good"


class Odd(Exception):
    """Its constructor takes what `args` does not hold."""

    def __init__(self, *, first: int, second: int) -> None:
        super().__init__()
        self.first = first
        self.second = second


class Locked(Exception):
    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = threading.Lock()


class Raising(dspy.Module):  # type: ignore[misc]
    """Raises the exception that it is asked for."""

    def forward(self, question: str) -> Any:
        if question == "Odd":
            raise Odd(first=1, second=2)
        if question == "Locked":
            raise Locked("holds a lock")
        if question == "SystemExit":
            raise SystemExit(3)
        if question == "Local":

            class Local(Exception):
                pass

            raise Local("made in a function")
        from dspy.utils import exceptions

        kind = getattr(exceptions, question)
        if question == "AdapterParseError":
            signature = dspy.Signature("question -> answer")
            raise kind(adapter_name="Mine", signature=signature, lm_response="{", message="cannot parse")
        raise kind(message="told to", model="mine/model")


class Unloadable(dspy.Module):  # type: ignore[misc]
    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("only the driver can load this")


class Locking(dspy.Module):  # type: ignore[misc]
    def forward(self, question: str) -> Any:
        return dspy.Prediction(answer=question, lock=threading.Lock())


class Telling(dspy.Module):  # type: ignore[misc]
    def forward(self, question: str) -> Any:
        variables = [name for name in os.environ if name.startswith("DSPEX_SECRET")]
        return dspy.Prediction(api_key=dspy.settings.lm.kwargs["api_key"], variables=variables)
